// A client on the TypeScript SDK that a test drives by JSON lines: {id, method, params}
// makes the SDK's own call for the method and is answered by {id, result} or {id, error};
// {cancel: id} aborts one. What comes unasked is {event, value}.
//
//   client.mjs v1|v2 REVISION (--url URL | COMMAND ARGS...)
import { createInterface } from 'node:readline';

const [sdk, revision, ...rest] = process.argv.slice(2);
const modern = revision >= '2026-07-28';
const say = message => process.stdout.write(JSON.stringify(message) + '\n');
const event = (name, value) => say({ event: name, value: String(value) });

const v1 = sdk === 'v1';
const { Client } = await import(v1 ? '@modelcontextprotocol/sdk/client/index.js' : '@modelcontextprotocol/client');
const { StdioClientTransport } = await import(v1 ? '@modelcontextprotocol/sdk/client/stdio.js' : '@modelcontextprotocol/client/stdio');
const { StreamableHTTPClientTransport } = await import(v1 ? '@modelcontextprotocol/sdk/client/streamableHttp.js' : '@modelcontextprotocol/client');
const types = v1 ? await import('@modelcontextprotocol/sdk/types.js') : {};

// of names a method as the SDK wants it: v1 by a schema, v2 by its name.
const schemas = {
  'elicitation/create': types.ElicitRequestSchema,
  'sampling/createMessage': types.CreateMessageRequestSchema,
  'roots/list': types.ListRootsRequestSchema,
  'notifications/message': types.LoggingMessageNotificationSchema,
  'notifications/resources/updated': types.ResourceUpdatedNotificationSchema,
  'notifications/tools/list_changed': types.ToolListChangedNotificationSchema
};
const of = method => (v1 ? schemas[method] : method);

const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const options = { capabilities };
if (!v1 && modern) options.versionNegotiation = { mode: { pin: revision } };
const client = new Client({ name: 'typescript', version: '1' }, options);
client.setRequestHandler(of('elicitation/create'), async ({ params }) => {
  if (params.mode === 'url') return { action: params.url === 'https://example.com/sign-in' ? 'accept' : 'decline' };
  return { action: 'accept', content: { name: 'Ada' } };
});
client.setRequestHandler(of('sampling/createMessage'), async () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'word' } }));
client.setRequestHandler(of('roots/list'), async () => ({ roots: [{ uri: 'file:///world' }] }));
client.setNotificationHandler(of('notifications/message'), ({ params }) => event('log', `${params.level} ${params.logger} ${params.data}`));
client.setNotificationHandler(of('notifications/resources/updated'), ({ params }) => event('updated', params.uri));
client.setNotificationHandler(of('notifications/tools/list_changed'), () => event('changed', 'tools'));

// cut makes the next stream break after its first event with an id.
let cut = false;
async function fetchAndCut(url, init) {
  const response = await fetch(url, init);
  if (!cut || init?.method !== 'POST' || !response.headers.get('content-type')?.startsWith('text/event-stream')) return response;
  cut = false;
  event('cut', 'yes');
  let text = '';
  const reader = response.body.getReader();
  let over = false;
  const body = new ReadableStream({
    async pull(controller) {
      if (over) {
        await reader.cancel();
        return controller.error(new TypeError('the network broke'));
      }
      const { done, value } = await reader.read();
      if (done) return controller.close();
      for (const byte of value) {
        text += String.fromCharCode(byte);
        controller.enqueue(new Uint8Array([byte]));
        if (text.endsWith('\n\n') && text.includes('id:')) {
          over = true;
          return;
        }
      }
    }
  });
  return new Response(body, { status: response.status, headers: response.headers });
}

const transport =
  rest[0] === '--url'
    ? new StreamableHTTPClientTransport(new URL(rest[1]), { fetch: fetchAndCut })
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1) });
if (!modern) {
  // The SDK always offers its newest revision.
  const send = transport.send.bind(transport);
  transport.send = (message, ...more) => {
    if (message.method === 'initialize') message = { ...message, params: { ...message.params, protocolVersion: revision } };
    return send(message, ...more);
  };
}
await client.connect(transport);

const running = new Map(); // id -> AbortController
const calls = {
  initialize: async () => ({
    instructions: client.getInstructions(),
    capabilities: client.getServerCapabilities(),
    protocolVersion: v1 ? transport.protocolVersion : client.getNegotiatedProtocolVersion?.()
  }),
  'tools/list': params => client.listTools(params),
  'tools/call': ({ name, progress, logLevel }, signal) => {
    const params = { name, arguments: {} };
    if (logLevel) params._meta = { 'io.modelcontextprotocol/logLevel': logLevel };
    const options = { signal };
    if (progress) options.onprogress = p => event('progress', p.progress);
    return v1 ? client.callTool(params, undefined, options) : client.callTool(params, options);
  },
  // 'tools/task' calls a tool as a task and waits for its result, which only v1 knows.
  'tools/task': async ({ name }) => {
    await client.listTools(); // the SDK wants to know which tools are tasks
    for await (const { type, result, error } of client.experimental.tasks.callToolStream({ name, arguments: {} }, types.CallToolResultSchema, { task: { ttl: 60000 } })) {
      if (type === 'result') return result;
      if (type === 'error') throw error;
    }
  },
  'resources/list': () => client.listResources(),
  'resources/templates/list': () => client.listResourceTemplates(),
  'resources/read': params => client.readResource(params),
  'prompts/list': () => client.listPrompts(),
  'prompts/get': params => client.getPrompt(params),
  'completion/complete': params => client.complete(params),
  'logging/setLevel': ({ level }) => client.setLoggingLevel(level),
  ping: () => client.ping(),
  follow: async filter => {
    if (modern) await client.listen(filter);
    else for (const uri of filter.resourceSubscriptions ?? []) await client.subscribeResource({ uri });
    return {};
  },
  cut: async () => {
    cut = true;
    return {};
  }
};

say({ event: 'ready' });
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params, cancel } = JSON.parse(line);
  if (cancel) {
    running.get(cancel)?.abort('the test wants it');
    continue;
  }
  const controller = new AbortController();
  running.set(id, controller);
  Promise.resolve()
    .then(() => calls[method](params ?? {}, controller.signal))
    .then(result => say({ id, result: result ?? {} }))
    .catch(error => say({ id, error: String(error) }))
    .finally(() => running.delete(id));
}
await client.close();
process.exit(0);
