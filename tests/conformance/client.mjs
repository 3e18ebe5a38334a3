// The client that the suite tests: the official SDK on stdio, the proxy behind it, the suite's URL (last argument) behind that.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { environment, proxyArguments, proxyCommand, startGate } from './launch.mjs';

const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const isModern = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === '2026-07-28';
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const gate = await startGate(process.argv.at(-1));

// Not the SDK's own class: that one would look for the server's era with a process of its own.
class Proxy extends StdioClientTransport {}

async function connected(capabilities = {}, answers = {}) {
  const client = new Client(
    { name: 'conformance', version: '1.0.0' },
    { capabilities, ...(isModern && { versionNegotiation: { mode: 'auto' } }) },
  );
  for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, async () => answer);
  await client.connect(
    new Proxy({ command: proxyCommand, args: proxyArguments(gate.url), env: environment, stderr: 'inherit' }),
  );
  return client;
}

async function listed(client) {
  return (await client.listTools()).tools;
}

async function callEach(client, tools, args = {}) {
  for (const { name } of tools) await client.callTool({ name, arguments: args });
}

/** What may fail without the scenario's being at an end: its checks are made at the server. */
async function perhaps(promise) {
  await promise.catch((error) => console.error('as it may:', error.message));
}

const form = { elicitation: { form: { applyDefaults: true } } };
const scenarios = {
  async initialize() {
    const client = await connected();
    await listed(client);
    return client;
  },
  async tools_call() {
    const client = await connected();
    await listed(client);
    await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
    return client;
  },
  async 'elicitation-sep1034-client-defaults'() {
    const client = await connected(form, { 'elicitation/create': { action: 'accept', content: {} } });
    // The server asks on the standing stream, which is open by the time this is answered.
    await listed(client);
    await callEach(client, [{ name: 'test_client_elicitation_defaults' }]);
    return client;
  },
  async 'sse-retry'() {
    const client = await connected();
    await listed(client);
    await callEach(client, [{ name: 'test_reconnection' }]);
    return client;
  },
  async 'json-schema-2020-12-preservation'() {
    const client = await connected();
    const tool = (await listed(client)).find(({ name }) => name === 'json_schema_2020_12_tool');
    await client.callTool({ name: 'json_schema_echo', arguments: { schema: tool.inputSchema } });
    return client;
  },
  async 'json-schema-ref-no-deref'() {
    return scenarios.initialize();
  },
  async 'request-metadata'() {
    const client = await connected(
      { roots: { listChanged: true }, sampling: {}, elicitation: {} },
      { 'roots/list': { roots: [] }, 'elicitation/create': { action: 'decline' } },
    );
    await perhaps(listed(client));
    return client;
  },
  async 'sep-2322-client-request-state'() {
    const answer = { action: 'accept', content: { confirmed: true } };
    const client = await connected({ elicitation: {} }, { 'elicitation/create': answer });
    await listed(client);
    await callEach(client, ['echo_state', 'no_state', 'unrelated'].map((name) => ({ name: `test_mrtr_${name}` })));
    await perhaps(callEach(client, [{ name: 'test_mrtr_no_result_type' }]));
    return client;
  },
  async 'http-standard-headers'() {
    const client = await connected();
    await callEach(client, await listed(client));
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name, arguments: {} });
    return client;
  },
  async 'http-custom-headers'() {
    const client = await connected();
    await listed(client);
    for (const call of context.toolCalls ?? []) await client.callTool(call);
    return client;
  },
  async 'http-invalid-tool-headers'() {
    const client = await connected();
    for (const tool of await listed(client)) await perhaps(callEach(client, [tool], { region: 'us-west1' }));
    return client;
  },
};

const run = scenarios[scenario];
if (!run) throw new Error(`nothing is known of the scenario ${scenario}`);
const client = await run();
await client.close();
gate.end();
