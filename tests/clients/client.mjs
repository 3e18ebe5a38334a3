// The official TypeScript SDK as an MCP client would use it, the proxy behind it. Arguments: the proxy, the server's URL.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import assert from 'node:assert/strict';
import { transport, way } from './connect.mjs';

const client = new Client({ name: 'typescript-sdk', version: '1' }, { capabilities: { elicitation: {} } });
let questions = 0;
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  questions += 1;
  assert.equal(request.params.message, 'What is your name?');
  return { action: 'accept', content: { name: 'Ada' } };
});
await client.connect(transport(1));
assert.equal(client.getServerVersion().name, 'verifying-server');

const { tools } = await client.listTools();
assert.ok(tools.some(({ name }) => name === 'add'));

const text = (result) => result.content[0].text;
assert.equal(text(await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } })), '5');

const progress = [];
const counted = await client.callTool({ name: 'count', arguments: { to: 4, delay_ms: 20 } }, undefined, {
  onprogress: ({ progress: number }) => progress.push(number),
});
assert.equal(text(counted), 'counted to 4');
assert.deepEqual(progress, [1, 2, 3, 4]);

assert.match(text(await client.callTool({ name: 'ask', arguments: {} })), /Ada/);
assert.equal(questions, 1);

const all = await Promise.all(
  Array.from({ length: 30 }, (_, n) => client.callTool({ name: 'add', arguments: { a: n, b: 1000 } })),
);
assert.deepEqual(all.map(text), Array.from({ length: 30 }, (_, n) => String(n + 1000)));

const slow = new AbortController();
const cancelled = client.callTool({ name: 'slow', arguments: { ms: 5000 } }, undefined, { signal: slow.signal });
setTimeout(() => slow.abort(), 200);
await assert.rejects(cancelled);
await client.ping();
await client.close();
console.log(`TypeScript SDK ${way}: initialize, list, call, progress, elicitation, 30 at once, cancel, ping`);
