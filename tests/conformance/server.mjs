// A server with everything the suite asks servers about, on the official SDK; both eras at one URL, on loopback.
import http from 'node:http';
import { randomBytes, randomUUID } from 'node:crypto';
import {
  CLIENT_CAPABILITIES_META_KEY, McpServer, ProtocolError, ResourceTemplate, acceptedContent, classifyInboundRequest,
  createMcpHandler, createRequestStateCodec, fromJsonSchema, inputRequired, isInitializeRequest,
} from '@modelcontextprotocol/server';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import * as z from 'zod';

const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const wav = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const says = (text) => ({ type: 'text', text });
const image = { type: 'image', data: png, mimeType: 'image/png' };
const resource = (uri, mimeType, text) => ({ type: 'resource', resource: { uri, mimeType, text } });
const content = (...parts) => ({ content: parts });
const object = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required });
const string = { type: 'string' };

const state = createRequestStateCodec({ key: randomBytes(32) });
const sealed = (data) => state.mint({ ...data, once: randomUUID() });
const asksFor = {
  name: inputRequired.elicit({ message: 'What is your name?', requestedSchema: object({ name: string }) }),
  confirmation: inputRequired.elicit({ message: 'Please confirm', requestedSchema: object({ ok: { type: 'boolean' } }) }),
  color: inputRequired.elicit({ message: 'What is your favorite color?', requestedSchema: object({ color: string }) }),
  context: inputRequired.elicit({ message: 'Which context?', requestedSchema: object({ context: string }) }),
  completion: (text) => inputRequired.createMessage({ messages: [{ role: 'user', content: says(text) }], maxTokens: 64 }),
  roots: inputRequired.listRoots(),
};

/** Events of one session, kept so that a stream can be taken up. */
function eventStore() {
  const events = [];
  return {
    async storeEvent(stream, message) {
      const id = `${stream}_${events.length}`;
      events.push({ id, stream, message });
      return id;
    },
    async replayEventsAfter(last, { send }) {
      const at = events.findIndex(({ id }) => id === last);
      const { stream } = events[at];
      for (const event of events.slice(at + 1)) {
        if (event.stream === stream && event.message?.jsonrpc) await send(event.id, event.message);
      }
      return stream;
    },
  };
}

function plainTools(tool) {
  tool('test_simple_text', () => content(says('This is a simple text response for testing.')));
  tool('test_image_content', () => content(image));
  tool('test_audio_content', () => content({ type: 'audio', data: wav, mimeType: 'audio/wav' }));
  tool('test_embedded_resource', () =>
    content(resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')));
  tool('test_multiple_content_types', () =>
    content(says('Multiple content types test:'), image,
      resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')));
  tool('test_error_handling', () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  tool('test_tool_with_logging', async (_, { mcpReq }) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
      await pause(50);
    }
    return content(says('logged'));
  });
  tool('test_tool_with_progress', async (_, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
      const params = { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` };
      await mcpReq.notify({ method: 'notifications/progress', params });
      await pause(50);
    }
    return content(says(`${progressToken}`));
  });
  tool('test_reconnection', async (_, context) => {
    context.http?.closeSSE?.();
    await pause(100);
    return content(says('Reconnection test completed successfully.'));
  });
  tool('test_x_mcp_header', ({ region }) => content(says(`region=${region}`)), fromJsonSchema(
    object({ region: { ...string, 'x-mcp-header': 'Region' }, level: { type: 'integer' } }, [])));
  tool('json_schema_2020_12_tool', (given) => content(says(JSON.stringify(given))), fromJsonSchema({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string, city: string } } },
    properties: {
      name: string, address: { $ref: '#/$defs/address' },
      contactMethod: { type: 'string', enum: ['phone', 'email'] }, phone: string, email: string,
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
    then: { required: ['phone'] },
    else: { required: ['email'] },
    additionalProperties: false,
  }));
}

/** Servers before 2026-07-28 ask the client while a call is open. */
function askingTools(tool) {
  const ask = (mcpReq, method, params, tell) =>
    mcpReq.send({ method, params }).then(tell, (error) => `${method} failed: ${error.message}`);
  const elicit = (mcpReq, message, properties, required) =>
    ask(mcpReq, 'elicitation/create', { message, requestedSchema: object(properties, required) },
      ({ action, content }) => `action=${action}, content=${JSON.stringify(content ?? {})}`);
  tool('test_sampling', async ({ prompt }, { mcpReq }) => {
    const params = { messages: [{ role: 'user', content: says(prompt) }], maxTokens: 100 };
    const told = await ask(mcpReq, 'sampling/createMessage', params, ({ content }) => `LLM response: ${content.text}`);
    return content(says(told));
  }, z.object({ prompt: z.string() }));
  tool('test_elicitation', async ({ message }, { mcpReq }) =>
    content(says(`User response: ${await elicit(mcpReq, message, { response: string })}`)),
  z.object({ message: z.string() }));
  const form = (name, properties) =>
    tool(name, async (_, { mcpReq }) =>
      content(says(`Elicitation completed: ${await elicit(mcpReq, 'Please fill in', properties, [])}`)));
  form('test_elicitation_sep1034_defaults', {
    name: { ...string, default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { ...string, enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  });
  const titled = (noun) => ['First', 'Second', 'Third'].map((title, at) => ({ const: `value${at + 1}`, title: `${title} ${noun}` }));
  const options = ['option1', 'option2', 'option3'];
  form('test_elicitation_sep1330_enums', {
    untitledSingle: { ...string, enum: options },
    titledSingle: { ...string, oneOf: titled('Option') },
    legacyEnum: { ...string, enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
    untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { ...string, enum: options } },
    titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled('Choice') } },
  });
}

/** Since 2026-07-28 a result may ask for input, and the client calls again with it. */
function roundTripTools(tool) {
  const roundTrips = (name, handle) => tool(`test_input_required_result_${name}`, async (_, { mcpReq }) =>
    handle(mcpReq.inputResponses, mcpReq));
  const given = acceptedContent;
  const done = (text) => content(says(text));

  tool('test_missing_capability', (_, { mcpReq }) =>
    mcpReq.inputResponses?.q ? done('done') : inputRequired({ inputRequests: { q: asksFor.completion('pong?') } }));
  tool('test_streaming_elicitation', () => done('nothing else is asked on this stream'));
  tool('test_logging_tool', async (_, { mcpReq }) => {
    await mcpReq.log('info', 'test_logging_tool ran');
    return done('logged');
  });
  roundTrips('elicitation', (answers) => {
    const name = given(answers, 'user_name')?.name;
    return name ? done(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: asksFor.name } });
  });
  roundTrips('sampling', (answers) =>
    answers?.capital_question
      ? done(`Sampling response: ${answers.capital_question.content.text}`)
      : inputRequired({ inputRequests: { capital_question: asksFor.completion('What is the capital of France?') } }));
  roundTrips('list_roots', (answers) =>
    answers?.client_roots
      ? done(`Client exposed ${answers.client_roots.roots.length} root(s)`)
      : inputRequired({ inputRequests: { client_roots: asksFor.roots } }));
  roundTrips('request_state', async (answers, mcpReq) => {
    if (!given(answers, 'confirm')) {
      return inputRequired({ inputRequests: { confirm: asksFor.confirmation }, requestState: await sealed({}) });
    }
    if (mcpReq.requestState() === undefined) throw new ProtocolError(-32602, 'Invalid requestState');
    return done('state-ok');
  });
  roundTrips('tampered_state', async (answers, mcpReq) =>
    mcpReq.requestState() !== undefined && given(answers, 'confirm')
      ? done('integrity-ok')
      : inputRequired({ inputRequests: { confirm: asksFor.confirmation }, requestState: await sealed({}) }));
  const all = () => ({
    user_name: asksFor.name, greeting: asksFor.completion('Generate a greeting'), client_roots: asksFor.roots,
  });
  roundTrips('multiple_inputs', async (answers) =>
    given(answers, 'user_name') && answers.greeting && answers.client_roots
      ? done(`${answers.greeting.content.text} ${given(answers, 'user_name').name}`)
      : inputRequired({ inputRequests: all(), requestState: await sealed({}) }));
  roundTrips('multi_round', async (answers, mcpReq) => {
    const { round = 0, name } = mcpReq.requestState() ?? {};
    if (round === 0) {
      return inputRequired({ inputRequests: { step1: asksFor.name }, requestState: await sealed({ round: 1 }) });
    }
    if (round === 1) {
      const requestState = await sealed({ round: 2, name: given(answers, 'step1')?.name });
      return inputRequired({ inputRequests: { step2: asksFor.color }, requestState });
    }
    return done(`Multi-round complete: ${name} likes ${given(answers, 'step2')?.color}`);
  });
  roundTrips('capabilities', (answers, mcpReq) => {
    if (answers) return done('fulfilled');
    const able = mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
    const needs = { user_name: 'elicitation', greeting: 'sampling', client_roots: 'roots' };
    const inputRequests = Object.fromEntries(Object.entries(all()).filter(([name]) => able[needs[name]]));
    return Object.keys(inputRequests).length ? inputRequired({ inputRequests }) : done('nothing to ask');
  });
  tool('test_trigger_tool_change', () => (modern.notify.toolsChanged(), done('told')));
  tool('test_trigger_prompt_change', () => (modern.notify.promptsChanged(), done('told')));
}

function resourcesAndPrompts(server) {
  const fixed = (name, mimeType, body) => {
    const uri = `test://${name}`;
    server.registerResource(name, uri, { description: name, mimeType }, () => ({ contents: [{ uri, mimeType, ...body }] }));
  };
  fixed('static-text', 'text/plain', { text: 'This is the content of the static text resource.' });
  fixed('static-binary', 'image/png', { blob: png });
  fixed('watched-resource', 'text/plain', { text: 'Watched resource content' });
  const mimeType = 'application/json';
  server.registerResource('template', new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { description: 'by id', mimeType }, ({ href: uri }, { id }) => ({
      contents: [{ uri, mimeType, text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
    }));
  for (const method of ['resources/subscribe', 'resources/unsubscribe', 'logging/setLevel']) {
    server.server.setRequestHandler(method, () => ({}));
  }
  server.server.setRequestHandler('completion/complete', () => ({ completion: { values: [], total: 0, hasMore: false } }));

  const messages = (...parts) => ({ messages: parts.map((part) => ({ role: 'user', content: part })) });
  const prompt = (name, handle, argsSchema) => server.registerPrompt(name, { description: name, argsSchema }, handle);
  prompt('test_simple_prompt', () => messages(says('This is a simple prompt for testing.')));
  prompt('test_prompt_with_arguments',
    ({ arg1, arg2 }) => messages(says(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
    z.object({ arg1: z.string(), arg2: z.string() }));
  prompt('test_prompt_with_embedded_resource',
    ({ resourceUri }) => messages(
      resource(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
      says('Please process the embedded resource above.')),
    z.object({ resourceUri: z.string() }));
  prompt('test_prompt_with_image', () => messages(image, says('Please analyze the image above.')));
  prompt('test_input_required_result_prompt', ({ mcpReq }) => {
    const context = acceptedContent(mcpReq.inputResponses, 'user_context')?.context;
    return context
      ? messages(says(`Use the following context: ${context}`))
      : inputRequired({ inputRequests: { user_context: asksFor.context } });
  });
}

function build() {
  const changes = { listChanged: true };
  const server = new McpServer({ name: 'conformance-server', version: '1.0.0' }, {
    capabilities: { tools: changes, resources: { ...changes, subscribe: true }, prompts: changes, logging: {}, completions: {} },
    requestState: { verify: state.verify },
  });
  const tool = (name, handle, inputSchema = z.object({})) =>
    server.registerTool(name, { description: name, inputSchema }, async (...given) => handle(...given));
  plainTools(tool);
  askingTools(tool);
  roundTripTools(tool);
  resourcesAndPrompts(server);
  return server;
}

const modern = createMcpHandler(build);
const serveModern = toNodeHandler(modern);
const sessions = new Map();

async function serve(request, response, body) {
  const { kind } = classifyInboundRequest({
    httpMethod: request.method,
    protocolVersionHeader: request.headers['mcp-protocol-version'],
    mcpMethodHeader: request.headers['mcp-method'],
    body,
  });
  if (kind !== 'legacy') return serveModern(request, response, body);
  const session = request.headers['mcp-session-id'];
  let transport = sessions.get(session);
  if (!session && isInitializeRequest(body)) {
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: eventStore(),
      retryInterval: 500,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await build().connect(transport);
  }
  if (transport) return transport.handleRequest(request, response, body);
  const [status, code] = session ? [404, -32001] : [400, -32000];
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message: 'no such session' } }));
}

// What arrived, for the differential test.
const seen = [];
const server = http.createServer(async (request, response) => {
  if (request.url === '/seen') return response.end(JSON.stringify(seen.splice(0)));
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const text = Buffer.concat(pieces).toString();
  const { method, headers } = request;
  seen.push({ method, headers, body: text });
  await serve(request, response, text ? JSON.parse(text) : undefined);
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/mcp`));
process.stdin.resume().on('end', () => process.exit());
