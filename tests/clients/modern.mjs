// The official TypeScript client, which speaks MCP 2026-07-28 alone, before a server of earlier revisions. Arguments: the proxy,
// the server's URL.
import { Client } from '@modelcontextprotocol/client';
import assert from 'node:assert/strict';
import { transport, way } from './connect.mjs';

const versionNegotiation = { mode: { pin: '2026-07-28' } };
const client = new Client(
  { name: 'typescript-sdk', version: '2' },
  { capabilities: { elicitation: { form: {} } }, versionNegotiation },
);
let questions = 0;
client.setRequestHandler('elicitation/create', async ({ params }) => {
  questions += 1;
  assert.equal(params.message, 'What is your name?');
  return { action: 'accept', content: { name: 'Ada' } };
});
await client.connect(transport(2, ['--bridge', 'always']));
assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');

const { tools } = await client.listTools();
assert.ok(tools.some(({ name }) => name === 'add'));

const text = ({ content }) => content[0].text;
const call = (name, given, options) => client.callTool({ name, arguments: given }, options);
assert.equal(text(await call('add', { a: 2, b: 3 })), '5');

const progress = [];
const onprogress = ({ progress: number }) => progress.push(number);
assert.equal(text(await call('count', { to: 4, delay_ms: 20 }, { onprogress })), 'counted to 4');
assert.deepEqual(progress, [1, 2, 3, 4]);

assert.match(text(await call('ask', {})), /Ada/);
assert.equal(questions, 1);

const all = await Promise.all(Array.from({ length: 30 }, (_, n) => call('add', { a: n, b: 1000 })));
assert.deepEqual(all.map(text), Array.from({ length: 30 }, (_, n) => String(n + 1000)));

const slow = new AbortController();
const cancelled = call('slow', { ms: 5000 }, { signal: slow.signal });
setTimeout(() => slow.abort(), 200);
await assert.rejects(cancelled);
assert.equal(text(await call('add', { a: 1, b: 1 })), '2');
await client.close();
console.log(`TypeScript SDK 2 ${way}, 2026-07-28: discover, list, call, progress, elicitation, 30 at once, cancel`);
