// A server that starts cold: what reaches it waits until COLD ms after the first connection. Arguments: a client, and what it
// gets: the proxy, the server's URL.
import { spawn } from 'node:child_process';
import net from 'node:net';

const COLD = 3000;
const command = process.argv.slice(2, -1);
const url = new URL(process.argv.at(-1));
const { port, hostname } = url;
let warm;
const relay = net.createServer(async (client) => {
  client.on('error', () => {});
  warm ??= new Promise((resolve) => setTimeout(resolve, COLD));
  await warm;
  const server = net.connect(port, hostname);
  server.on('error', () => client.destroy());
  client.pipe(server).pipe(client);
});
relay.listen(0, '127.0.0.1', () => {
  url.port = relay.address().port;
  const [program, ...args] = command;
  const child = spawn(program, [...args, url.href], { stdio: 'inherit' });
  child.on('exit', (code) => process.exit(code ?? 1));
});
