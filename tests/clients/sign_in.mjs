// Both official TypeScript clients without an SSO token: the user is asked in the client, signs in, and the call goes on.
// The identity center and the server are here. Arguments: the proxy; a Python with the official client of that language.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioClientTransport1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ElicitRequestSchema, ElicitationCompleteNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [command, python] = process.argv.slice(2);
const META = { resultType: 'complete', ttlMs: 0, cacheScope: 'private' };
let approved = false;
let asked = 0;
let lifetime = 1e7;

const center = {
  '/approve': () => {
    approve();
    return {};
  },
  '/client/register': () => ({ clientId: 'c', clientSecret: 's', clientSecretExpiresAt: 4e9 }),
  '/device_authorization': () => ({
    deviceCode: 'd', userCode: 'ABCD-EFGH', expiresIn: 600, interval: 1,
    verificationUriComplete: 'https://corp.awsapps.com/start/#/device?user_code=ABCD-EFGH',
  }),
  '/token': () => (approved ? { accessToken: 'a-token-of-the-user', expiresIn: 28800 } : undefined),
  '/federation/credentials': () => ({
    roleCredentials: { accessKeyId: 'ASIAIOSFODNN7EXAMPLE', secretAccessKey: 'k', sessionToken: 't', expiration: Date.now() + lifetime },
  }),
};
const methods = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'server', version: '1' } }),
  'server/discover': () => ({ ...META, supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, serverInfo: { name: 'server', version: '1' } }),
  'tools/list': () => ({ ...META, tools: [{ name: 'add', inputSchema: { type: 'object' } }] }),
  'tools/call': ({ arguments: { a, b } }) => ({ resultType: 'complete', content: [{ type: 'text', text: String(a + b) }] }),
};
const server = http.createServer(async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  const path = request.url.split('?')[0];
  const send = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(value === undefined ? '' : JSON.stringify(value));
  };
  if (center[path]) {
    const value = center[path]();
    return send(value ? 200 : 400, value ?? { error: 'authorization_pending' });
  }
  if (request.method !== 'POST') return send(405);
  assert.match(request.headers.authorization, /ASIAIOSFODNN7EXAMPLE/);
  const { id, method, params } = JSON.parse(body);
  if (id === undefined) return send(202);
  assert.ok(methods[method], `the server gets ${body}`);
  send(200, { jsonrpc: '2.0', id, result: methods[method](params) });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}`;

function signIn({ params }) {
  assert.equal(params.mode, 'url');
  assert.equal(params.url, 'https://corp.awsapps.com/start/#/device?user_code=ABCD-EFGH');
  assert.match(params.message, /ABCD-EFGH/);
  approve();
  return { action: 'accept' };
}

function approve() {
  asked += 1;
  [approved, lifetime] = [true, 1e7];
}

async function withoutToken(name, run) {
  const home = mkdtempSync(join(tmpdir(), 'sign-in-'));
  mkdirSync(join(home, '.aws'));
  const profile = '[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n';
  const session = '[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n';
  writeFileSync(join(home, '.aws/config'), profile + session);
  [approved, asked] = [false, 0];
  const env = { HOME: home, AWS_ENDPOINT_URL_SSO: url, AWS_ENDPOINT_URL_SSO_OIDC: url, AWS_EC2_METADATA_DISABLED: 'true' };
  const args = [`${url}/mcp`, '--region', 'us-east-1', '--service-name', 'execute-api', '--profile', 'dev'];
  await run({ command, args, env, stderr: process.env.DEBUG ? 'inherit' : 'ignore' });
  assert.equal(asked, 1, name);
  rmSync(home, { recursive: true });
}

await withoutToken('SDK 1', async (parameters) => {
  const client = new Client1({ name: 'typescript-sdk', version: '1' }, { capabilities: { elicitation: { url: {} } } });
  client.setRequestHandler(ElicitRequestSchema, signIn);
  let completed;
  client.setNotificationHandler(ElicitationCompleteNotificationSchema, ({ params }) => (completed = params.elicitationId));
  await client.connect(new StdioClientTransport1(parameters));
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map(({ name }) => name), ['aws_sign_in']);
  const { content } = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
  assert.equal(content[0].text, '5');
  assert.ok(completed, 'the client knows that the user has signed in');
  await client.close();
});

// Falls back to `initialize`, since nothing can be asked of the server yet.
await withoutToken('SDK 2', async (parameters) => {
  const client = client2('auto');
  await client.connect(new StdioClientTransport(parameters));
  const { content } = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
  assert.equal(content[0].text, '5');
  await client.close();
});

// 2026-07-28: the session ends while the client is connected, and the call is repeated.
await withoutToken('SDK 2, 2026-07-28', async (parameters) => {
  const cache = join(parameters.env.HOME, '.aws/sso/cache');
  const token = join(cache, 'ee0bfd2552fbd840c02cc48b6e823320543c450f.json');
  mkdirSync(cache, { recursive: true });
  writeFileSync(token, JSON.stringify({ accessToken: 'an-older-token', expiresAt: '2099-01-01T00:00:00Z' }));
  lifetime = 2000;
  const client = client2({ pin: '2026-07-28' });
  await client.connect(new StdioClientTransport(parameters));
  rmSync(token);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  const { content } = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
  assert.equal(content[0].text, '5');
  await client.close();
});

function client2(mode) {
  const options = { capabilities: { elicitation: { url: {} } }, versionNegotiation: { mode } };
  const client = new Client({ name: 'typescript-sdk', version: '2' }, options);
  client.setRequestHandler('elicitation/create', signIn);
  return client;
}

await withoutToken('Python SDK', async ({ command, args, env }) => {
  const client = spawn(python, [join(import.meta.dirname, 'sign_in.py'), url, command, ...args], { env, stdio: 'inherit' });
  const [code] = await once(client, 'exit');
  assert.equal(code, 0);
});
server.close();
console.log('TypeScript SDKs 1 and 2 and Python SDK without an SSO token: the user signs in, and the call goes on');
