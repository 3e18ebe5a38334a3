// The official TypeScript client, which begins with `server/discover`. On stdio it stands before a cold server.
// Arguments: the proxy, the server's URL.
import { Client } from '@modelcontextprotocol/client';
import assert from 'node:assert/strict';
import { transport, way } from './connect.mjs';

const versionNegotiation = { mode: 'auto' };
const client = new Client({ name: 'typescript-sdk', version: '2' }, { capabilities: {}, versionNegotiation });
const started = performance.now();
await client.connect(transport(2, ['--lazy']));
const took = Math.round(performance.now() - started);
assert.ok(took < 1000, `connected after ${took} ms`);

const { tools } = await client.listTools();
assert.ok(tools.some(({ name }) => name === 'add'));
const { content } = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
assert.equal(content[0].text, '5');
await client.close();
console.log(`TypeScript SDK 2 ${way}: discover and initialize in ${took} ms, list, call`);
