// A proxy that listens, with a token of its own making. Arguments: options for it after `--with`, a client, and what it gets: the proxy, the
// server's URL. The client finds LISTENER and TOKEN in its environment.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';

const words = process.argv.slice(2);
const options = words[0] === '--with' ? words.splice(0, 2)[1].split(' ') : [];
const [proxy, url] = words.slice(-2);
const listening = spawn(
  proxy,
  [url, '--region', 'us-east-1', '--service-name', 'execute-api', '--listen', '127.0.0.1:0', ...options],
  {
    env: {
      TMPDIR: process.env.TMPDIR,
      AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    },
    stdio: ['ignore', 'inherit', 'pipe'],
  },
);
const ended = once(listening, 'exit');
let LISTENER, file;
for await (const line of createInterface(listening.stderr)) {
  LISTENER ??= /listening on (\S+)/.exec(line)?.[1];
  file ??= /token.* (\/\S+)/.exec(line)?.[1];
  if (LISTENER && file) break;
}
listening.stderr.resume();
assert.ok(LISTENER && file, 'the proxy does not say where it listens');
assert.equal(statSync(file).mode & 0o777, 0o600);
const TOKEN = readFileSync(file, 'utf8').trim();

const [program, ...args] = words;
const client = spawn(program, args, { env: { ...process.env, LISTENER, TOKEN }, stdio: 'inherit' });
const [code] = await once(client, 'exit');
listening.kill('SIGTERM');
assert.deepEqual(await ended, [0, null]);
process.exit(code ?? 1);
