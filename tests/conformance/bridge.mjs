// HTTP on one side, the proxy's stdio on the other, so that the suite, which tests servers over HTTP, can test a proxy.
//
// What a pipe cannot carry is settled here and says nothing about the proxy: HTTP status, session ids, header checks.
import http from 'node:http';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { classifyInboundRequest } from '@modelcontextprotocol/server';
import { startProxy } from './launch.mjs';

const key = (id) => JSON.stringify(id);
const about = 'io.modelcontextprotocol/';

/** One proxy, and the HTTP exchanges that wait for it. */
class Pipe {
  constructor(url) {
    this.exchanges = new Map();
    this.unsent = [];
    this.impure = [];
    this.process = startProxy(url);
    createInterface(this.process.stdout).on('line', (line) => this.take(line));
    this.process.on('exit', () => this.exchanges.forEach(({ response }) => response.destroy()));
  }

  write(message) {
    this.process.stdin.write(`${JSON.stringify(message)}\n`);
  }

  take(line) {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      this.impure.push(line.slice(0, 200));
      return;
    }
    for (const one of [message].flat()) (one.method ? this.pass(one) : this.finish(one));
  }

  finish(answer) {
    const exchange = this.exchanges.get(key(answer.id));
    this.exchanges.delete(key(answer.id));
    exchange?.finish(exchange.id === undefined ? answer : { ...answer, id: exchange.id });
  }

  /** A message of the server: to the exchange that it belongs to, or to the standing stream. */
  pass(message) {
    const { params } = message;
    const open = [...this.exchanges.values()];
    const subscription = params?._meta?.[`${about}subscriptionId`];
    if (subscription !== undefined) {
      const exchange = this.exchanges.get(key(subscription));
      if (exchange?.id !== undefined) params._meta[`${about}subscriptionId`] = exchange.id;
      return exchange?.event(message);
    }
    if (message.method === 'notifications/progress') {
      return open.find(({ token }) => token === params.progressToken)?.event(message);
    }
    const belongsToACall = !/list_changed|resources\/updated|elicitation\/complete/.test(message.method);
    const call = belongsToACall && open.filter(({ listens }) => !listens).at(-1);
    if (call) call.event(message);
    else if (this.stream) event(this.stream, message);
    else this.unsent.push(message);
  }

  async end() {
    this.process.stdin.end();
    if (this.process.exitCode === null) await new Promise((exit) => this.process.once('exit', exit));
  }
}

const event = (response, message) => response.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);

function send(response, status, body, headers = {}) {
  response.writeHead(status, { ...(body && { 'content-type': 'application/json' }), ...headers });
  response.end(body && JSON.stringify(body));
}

const failure = (id, code, message) => ({ jsonrpc: '2.0', id, error: { code, message } });

/** The HTTP status that a server of 2026-07-28 gives this answer. */
function statusOf({ error }, { params }) {
  if (!error) return 200;
  if (error.code === -32601) return 404;
  const isIncomplete = typeof params?._meta?.[`${about}clientCapabilities`] !== 'object';
  return [-32020, -32021, -32022].includes(error.code) || (error.code === -32602 && isIncomplete) ? 400 : 200;
}

function exchange(pipe, body, response, { isModern, headers = {} }) {
  // Clients of the suite share one proxy, so two of them may use one id.
  const ours = pipe.exchanges.has(key(body.id)) ? `again-${randomUUID()}` : body.id;
  const open = {
    response,
    id: ours === body.id ? undefined : body.id,
    token: body.params?._meta?.progressToken,
    listens: body.method === 'subscriptions/listen',
    event(message) {
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
      event(response, message);
    },
    finish(answer) {
      if (!response.headersSent) return send(response, isModern ? statusOf(answer, body) : 200, answer, headers);
      event(response, answer);
      response.end();
    },
  };
  pipe.exchanges.set(key(ours), open);
  response.on('close', () => {
    // Since 2026-07-28 a closed stream takes the request back.
    if (isModern && pipe.exchanges.delete(key(ours))) {
      pipe.write({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: ours } });
    }
  });
  pipe.write({ ...body, id: ours });
}

export async function startBridge(url) {
  const sessions = new Map();
  const pipes = [];
  const newPipe = () => pipes[pipes.push(new Pipe(url)) - 1];
  let shared;

  function modern(body, response) {
    shared ??= newPipe();
    if (body.id !== undefined) return exchange(shared, body, response, { isModern: true });
    shared.write(body);
    send(response, 202);
  }

  function post(request, body, response) {
    const sort = classifyInboundRequest({
      httpMethod: 'POST',
      protocolVersionHeader: request.headers['mcp-protocol-version'],
      mcpMethodHeader: request.headers['mcp-method'],
      body,
    });
    const isRequest = body?.method !== undefined && body.id !== undefined;
    if (sort.kind === 'reject') {
      return send(response, sort.httpStatus, { ...failure(isRequest ? body.id : null, sort.code, sort.message) });
    }
    if (sort.kind === 'modern') return modern(body, response);
    const id = request.headers['mcp-session-id'];
    if (body.method === 'initialize' && !id) {
      const given = randomUUID();
      sessions.set(given, newPipe());
      return exchange(sessions.get(given), body, response, { headers: { 'mcp-session-id': given } });
    }
    const pipe = sessions.get(id);
    if (!pipe) return send(response, id ? 404 : 400, failure(null, -32000, 'no such session'));
    if (isRequest) return exchange(pipe, body, response, { headers: { 'mcp-session-id': id } });
    pipe.write(body);
    send(response, 202);
  }

  const server = http.createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const id = request.headers['mcp-session-id'];
    const pipe = sessions.get(id);
    if (request.method === 'POST') {
      let body;
      try {
        body = JSON.parse(Buffer.concat(pieces).toString());
      } catch {
        return send(response, 400, failure(null, -32700, 'Parse error'));
      }
      return post(request, body, response);
    }
    if (!pipe) return send(response, id ? 404 : 405, failure(null, -32000, 'no such session'));
    if (request.method === 'DELETE') {
      sessions.delete(id);
      await pipe.end();
      return send(response, 200);
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    pipe.stream = response;
    for (const message of pipe.unsent.splice(0)) event(response, message);
    response.on('close', () => delete pipe.stream);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${server.address().port}/mcp`,
    impure: () => pipes.flatMap(({ impure }) => impure),
    async end() {
      server.closeAllConnections();
      server.close();
      await Promise.all(pipes.map((pipe) => pipe.end()));
    },
  };
}
