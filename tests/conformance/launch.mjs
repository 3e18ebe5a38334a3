// Starts the gate and the proxy, and ends them again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const { SIGV4_PROXY: PROXY, GATE } = process.env;
if (!PROXY || !GATE) throw new Error('SIGV4_PROXY and GATE must name the two programs; see make conformance');

// AWS's documented example keys: the gate knows no others.
export const environment = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  AWS_EC2_METADATA_DISABLED: 'true',
};

const target = (url) => ['--target-url', url, '--region', 'us-east-1', '--service-name', 'execute-api'];

export const proxyArguments = (url) => [...target(url), '--log-level', 'error'];

export const proxyCommand = PROXY;

/** A gate before `url`: its own URL, and how to end it. */
export async function startGate(url) {
  const child = spawn(GATE, [url], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    new Promise((first) => createInterface(child.stdout).once('line', (line) => first([line]))),
    new Promise((_, fail) => child.once('exit', (code) => fail(new Error(`the gate ended with ${code}`)))),
  ]);
  return { url: line, end: () => child.stdin.end() };
}

export function startProxy(url) {
  return spawn(PROXY, proxyArguments(url), { env: environment, stdio: ['pipe', 'pipe', 'inherit'] });
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** A proxy that listens: its own URL, and how to end it, which gives its exit code. The suite sends the origin of a page on it. */
export async function startListener(url) {
  const address = `127.0.0.1:${await freePort()}`;
  const origins = [address, address.replace('127.0.0.1', 'localhost')].flatMap((host) => ['--allow-origin', `http://${host}`]);
  const listen = ['--listen', address, '--no-listen-token', ...origins];
  const child = spawn(PROXY, [...target(url), ...listen], { env: environment, stdio: ['ignore', 'inherit', 'pipe'] });
  const ended = new Promise((exit) => child.once('exit', exit));
  const found = new Promise((found) => createInterface(child.stderr).on('line', (line) => {
    const own = /^INFO: listening on (\S+)/.exec(line)?.[1];
    if (own) found(own);
    if (!/^(INFO|WARN): /.test(line)) console.error(line);
  }));
  const failed = ended.then((code) => {
    throw new Error(`the listener ended with ${code}`);
  });
  failed.catch(() => {});
  return {
    url: await Promise.race([found, failed]),
    async end() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** Any server of ours: prints its URL on the first line, lives until its stdin ends. */
export async function startServer(file) {
  const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const url = await new Promise((first) => createInterface(child.stdout).once('line', first));
  return { url, end: () => child.stdin.end() };
}
