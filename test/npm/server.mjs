// A server with a little of every feature on the TypeScript SDK, the same as
// test/peers/cmd/world is on the Go SDKs.
//
//   server.mjs v1|v2 [-addr HOST:PORT]     HTTP at /mcp, or stdio
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import * as z from 'zod/v4';

const [sdk, , addr] = process.argv.slice(2);
const v1 = sdk === 'v1';
const server = v1 ? await import('@modelcontextprotocol/sdk/server/mcp.js') : await import('@modelcontextprotocol/server');
const { McpServer, ResourceTemplate } = server;
const { completable } = v1 ? await import('@modelcontextprotocol/sdk/server/completable.js') : server;
const types = v1 ? await import('@modelcontextprotocol/sdk/types.js') : {};
const { InMemoryTaskStore } = v1 ? await import('@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js') : {};
const taskStore = v1 ? new InMemoryTaskStore() : undefined;

const note = 'test://note';
const data = Buffer.from([0, 1, 254, 255]).toString('base64');
const page = 'https://example.com/sign-in';
const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
const question = { messages: [{ role: 'user', content: { type: 'text', text: 'Say a word' } }], maxTokens: 10 };
const text = value => ({ content: [{ type: 'text', text: String(value) }] });
const settle = () => new Promise(resolve => setTimeout(resolve, 50));
let begun = 0;
let ended = 0;
let grown = 0; // tools that the tool grow has added

const live = new Set(); // servers with a session
let notifyModern = { resourceUpdated() {}, toolsChanged() {} }; // of the HTTP handler of 2026-07-28

function build() {
  const s = new McpServer(
    { name: 'typescript', version: '1' },
    {
      instructions: 'Look around.',
      capabilities: {
        logging: {}, resources: { subscribe: true, listChanged: true }, tools: { listChanged: true },
        ...(v1 && { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } })
      },
      ...(v1 && { taskStore })
    }
  );
  live.add(s);
  const tool = (name, fn) => s.registerTool(name, {}, fn.length > 0 ? ctx => fn(ctx) : () => fn());
  const notify = (ctx, n) => (v1 ? ctx.sendNotification(n) : ctx.mcpReq.notify(n));
  const meta = ctx => (v1 ? ctx._meta : ctx.mcpReq._meta);
  const signal = ctx => (v1 ? ctx.signal : ctx.mcpReq.signal);
  const progress = async (ctx, n, total) => {
    const progressToken = meta(ctx)?.progressToken;
    if (progressToken !== undefined) await notify(ctx, { method: 'notifications/progress', params: { progressToken, progress: n, total } });
  };
  tool('content', async () => ({
    content: [
      { type: 'text', text: 'text' },
      { type: 'image', data, mimeType: 'image/png' },
      { type: 'resource', resource: { uri: note, text: 'a note' } }
    ]
  }));
  tool('audio', async () => ({ content: [{ type: 'audio', data, mimeType: 'audio/wav' }] }));
  tool('link', async () => ({ content: [{ type: 'resource_link', uri: note, name: 'note' }] }));
  s.registerTool('structured', { outputSchema: v1 ? { n: z.number() } : z.object({ n: z.number() }) }, async () => ({
    content: [{ type: 'text', text: '{"n":1}' }],
    structuredContent: { n: 1 }
  }));
  tool('fail', async () => {
    throw new Error('it failed');
  });
  tool('count', async ctx => {
    for (const n of [1, 2, 3]) await progress(ctx, n, 3);
    return text('counted');
  });
  tool('log', async ctx => {
    for (const [level, what] of [['debug', 'detail'], ['warning', 'careful']]) {
      if (v1) await s.server.sendLoggingMessage({ level, logger: 'world', data: what }, ctx.sessionId);
      else await ctx.mcpReq.log(level, what, 'world');
    }
    return text('logged');
  });
  tool('hang', async ctx => {
    await progress(ctx, 1);
    begun++;
    await new Promise(resolve => signal(ctx).addEventListener('abort', resolve));
    ended++;
    return text('aborted');
  });
  tool('ended', async () => text(`${begun} ${ended}`));
  const hello = r => text(r.content?.name ? `Hello ${r.content.name}` : r.action);
  if (v1) {
    const { ElicitResultSchema, CreateMessageResultSchema, ListRootsResultSchema } = types;
    tool('form', async ctx =>
      hello(await ctx.sendRequest({ method: 'elicitation/create', params: { message: 'Who are you?', requestedSchema: schema } }, ElicitResultSchema)));
    tool('page', async ctx =>
      hello(await ctx.sendRequest({ method: 'elicitation/create', params: { mode: 'url', message: 'Sign in', url: page, elicitationId: 'page' } }, ElicitResultSchema)));
    tool('sample', async ctx => text((await ctx.sendRequest({ method: 'sampling/createMessage', params: question }, CreateMessageResultSchema)).content.text));
    tool('roots', async ctx => text((await ctx.sendRequest({ method: 'roots/list' }, ListRootsResultSchema)).roots[0].uri));
    tool('ping', async ctx => {
      await ctx.sendRequest({ method: 'ping' }, types.EmptyResultSchema);
      return text('pong');
    });
  } else {
    const { inputRequired } = server;
    const ask = (name, request, answered) =>
      tool(name, async ctx => {
        const r = ctx.mcpReq.inputResponses?.q;
        return r ? answered(r) : inputRequired({ inputRequests: { q: request } });
      });
    ask('form', inputRequired.elicit({ message: 'Who are you?', requestedSchema: schema }), hello);
    ask('page', inputRequired.elicitUrl({ message: 'Sign in', url: page }), hello);
    ask('sample', inputRequired.createMessage(question), r => text((Array.isArray(r.content) ? r.content[0] : r.content).text));
    ask('roots', inputRequired.listRoots(), r => text(r.roots[0].uri));
    tool('ping', async () => {
      await s.server.ping();
      return text('pong');
    });
  }
  if (v1) {
    s.experimental.tasks.registerToolTask('task', { execution: { taskSupport: 'optional' } }, {
      createTask: async ({ taskStore }) => {
        const task = await taskStore.createTask({ ttl: 60000, pollInterval: 100 });
        setTimeout(() => taskStore.storeTaskResult(task.taskId, 'completed', text('worked')), 50);
        return { task };
      },
      getTask: async ({ taskStore, taskId }) => taskStore.getTask(taskId),
      getTaskResult: async ({ taskStore, taskId }) => taskStore.getTaskResult(taskId)
    });
  }
  tool('touch', async () => {
    for (const one of live) await one.server.sendResourceUpdated({ uri: note }).catch(() => {});
    notifyModern.resourceUpdated(note);
    return text('touched');
  });
  tool('trace', async ctx => text(meta(ctx)?.traceparent ?? ''));
  const grow = (one, n) => one.registerTool(`grown${n}`, {}, async () => text(''));
  for (let n = 1; n <= grown; n++) grow(s, n);
  tool('grow', async () => {
    grown++;
    for (const one of live) grow(one, grown); // which tells who listens
    notifyModern.toolsChanged();
    return text('grown');
  });
  s.registerResource('note', note, { mimeType: 'text/plain' }, async () => ({ contents: [{ uri: note, text: 'a note' }] }));
  s.registerResource('blob', 'test://blob', {}, async () => ({ contents: [{ uri: 'test://blob', blob: data }] }));
  s.registerResource('item', new ResourceTemplate('test://item/{id}', { list: undefined }), {}, async (uri, { id }) => ({
    contents: [{ uri: uri.href, text: `item ${id}` }]
  }));
  const who = completable(z.string(), value => [value + 'da', value + 'lan']);
  s.registerPrompt('greet', { argsSchema: v1 ? { who } : z.object({ who }) }, ({ who }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Hello ${who}` } }]
  }));
  const [subscribe, unsubscribe] = v1 ? [types.SubscribeRequestSchema, types.UnsubscribeRequestSchema] : ['resources/subscribe', 'resources/unsubscribe'];
  s.server.setRequestHandler(subscribe, async () => ({}));
  s.server.setRequestHandler(unsubscribe, async () => ({}));
  return s;
}

// A store of events in memory, so that a client can resume a stream.
class Events {
  all = [];
  async storeEvent(stream, message) {
    this.all.push({ stream, message });
    return String(this.all.length);
  }
  async replayEventsAfter(last, { send }) {
    const stream = this.all[last - 1]?.stream;
    for (let i = Number(last); i < this.all.length; i++) if (this.all[i].stream === stream) await send(String(i + 1), this.all[i].message);
    return stream;
  }
  async getStreamIdForEventId(id) {
    return this.all[id - 1]?.stream;
  }
}

if (!addr) {
  if (v1) {
    const { StdioServerTransport } = await import('@modelcontextprotocol/sdk/server/stdio.js');
    await build().connect(new StdioServerTransport());
  } else {
    const { serveStdio } = await import('@modelcontextprotocol/server/stdio');
    serveStdio(build);
  }
} else {
  const Transport = v1
    ? (await import('@modelcontextprotocol/sdk/server/streamableHttp.js')).StreamableHTTPServerTransport
    : (await import('@modelcontextprotocol/node')).NodeStreamableHTTPServerTransport;
  let modern;
  if (!v1) {
    const handler = server.createMcpHandler(build, { legacy: 'reject' });
    notifyModern = handler.notify;
    modern = (await import('@modelcontextprotocol/node')).toNodeHandler(handler);
  }
  const sessions = new Map(); // id -> transport
  const [host, port] = addr.split(':');
  createServer(async (req, res) => {
    if (modern && (req.headers['mcp-protocol-version'] ?? '') >= '2026-07-28') return modern(req, res);
    let transport = sessions.get(req.headers['mcp-session-id']);
    if (!transport) {
      transport = new Transport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: id => sessions.set(id, transport),
        eventStore: new Events(),
        retryInterval: 100
      });
      await build().connect(transport);
    }
    await transport.handleRequest(req, res);
  }).listen(Number(port), host);
}
