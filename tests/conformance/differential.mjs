// One scripted session of the official client with the official server, directly and through the proxy, on stdio and over HTTP:
// what the client got and what the server saw must be the same.
import { isDeepStrictEqual } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { environment, proxyArguments, proxyCommand, startGate, startListener, startServer } from './launch.mjs';

class Proxy extends StdioClientTransport {}

/** Everything the client got, in order where the order is the server's. */
async function session(transport, isModern) {
  const got = [];
  const client = new Client({ name: 'differential', version: '1.0.0' }, {
    capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } },
    ...(isModern && { versionNegotiation: { mode: { pin: '2026-07-28' } } }),
  });
  client.setRequestHandler('sampling/createMessage', ({ params }) => {
    got.push(['asked', params]);
    return { role: 'assistant', model: 'm', content: { type: 'text', text: 'größe 🦀' } };
  });
  client.setRequestHandler('elicitation/create', ({ params }) => {
    got.push(['asked', params]);
    return { action: 'accept', content: { name: 'Ada', response: 'yes', color: 'blue', ok: true } };
  });
  client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///x', name: 'x' }] }));
  client.fallbackNotificationHandler = async ({ method, params }) => void got.push([method, params]);
  const take = async (what, promise) =>
    got.push([what, await promise.catch(({ code, message, data }) => ({ code, message, data }))]);
  const call = (name, given = {}, options) => take(name, client.callTool({ name, arguments: given }, options));

  await client.connect(transport);
  got.push(['server', client.getServerVersion(), client.getServerCapabilities(), client.getNegotiatedProtocolVersion()]);
  await take('tools', client.listTools());
  await take('resources', client.listResources());
  await take('templates', client.listResourceTemplates());
  await take('prompts', client.listPrompts());
  await take('resource', client.readResource({ uri: 'test://static-binary' }));
  await take('missing', client.readResource({ uri: 'test://größe/ä b' }));
  await take('prompt', client.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'a', arg2: '"\n' } }));
  for (const name of ['simple_text', 'image_content', 'multiple_content_types', 'error_handling']) await call(`test_${name}`);
  const onprogress = (progress) => got.push(['progress', progress]);
  await call('test_tool_with_progress', {}, { onprogress });
  await call('test_x_mcp_header', { region: 'größe', level: 7 });
  await call('test_x_mcp_header', { region: 'us-west1' });
  await call('no such tool');
  if (isModern) {
    for (const name of ['elicitation', 'sampling', 'list_roots', 'request_state', 'multi_round']) {
      await call(`test_input_required_result_${name}`);
    }
  } else {
    await call('test_tool_with_logging');
    await call('test_sampling', { prompt: 'say something' });
    await call('test_elicitation', { message: 'who?' });
    await call('test_reconnection');
  }
  await client.close();
  return got;
}

// What the signature, the transport or the clock decides is not the proxy's to keep.
const OF_THE_WAY = /^(host|connection|content-length|accept-encoding|accept-language|sec-fetch-mode|user-agent|authorization|x-amz-.*|transfer-encoding)$/;

function comparable(seen) {
  const sessions = [...new Set(seen.map(({ headers }) => headers['mcp-session-id']).filter(Boolean))];
  return seen
    .map(({ method, headers, body }) => {
      const kept = Object.entries(headers).filter(([name]) => !OF_THE_WAY.test(name));
      const numbered = kept.map(([name, value]) => [
        name,
        name === 'mcp-session-id' ? sessions.indexOf(value) : name === 'last-event-id' ? 'an id' : value,
      ]);
      return { method, headers: Object.fromEntries(numbered.sort()), body: timeless(body) };
    })
    // The standing stream and its end come when they come.
    .filter(({ method }) => method === 'POST');
}

/** Seals differ from run to run. */
function timeless(text) {
  return text.replace(/"requestState":"[^"]*"/g, '"requestState":"…"');
}

const normal = (got) => JSON.parse(timeless(JSON.stringify(got)).replace(/"(ttlMs|expiresAt)":\d+/g, '"$1":0'));

export async function differential(report) {
  for (const revision of ['2025-11-25', '2026-07-28']) {
    const isModern = revision === '2026-07-28';
    const server = await startServer(new URL('server.mjs', import.meta.url).pathname);
    const gate = await startGate(server.url);
    const seen = async () => comparable(await (await fetch(new URL('/seen', server.url))).json());

    const overHttp = (url) => new StreamableHTTPClientTransport(new URL(url));
    const run = async (transport) => ({ got: normal(await session(transport, isModern)), seen: await seen() });

    const direct = await run(overHttp(server.url));
    const stdio = { command: proxyCommand, args: proxyArguments(gate.url), env: environment, stderr: 'inherit' };
    const onStdio = await run(new Proxy(stdio));
    const listener = await startListener(gate.url);
    const throughListener = await run(overHttp(listener.url));
    await listener.end();
    gate.end();
    server.end();

    const compare = (what, one, other) => {
      const why = [];
      for (let at = 0; at < Math.max(one.length, other.length); at += 1) {
        if (!isDeepStrictEqual(one[at], other[at])) {
          why.push(`${at}: directly ${JSON.stringify(one[at])?.slice(0, 600)}`);
          why.push(`${at}: proxied  ${JSON.stringify(other[at])?.slice(0, 600)}`);
        }
      }
      report({ part: 'differential', revision, name: `${what} (${one.length})`, why });
    };
    for (const [way, { got, seen }] of Object.entries({ 'on stdio': onStdio, 'over HTTP': throughListener })) {
      compare(`what the client got ${way}`, direct.got, got);
      compare(`what the server saw ${way}`, direct.seen, seen);
    }
  }
}
