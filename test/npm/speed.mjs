// The server of test/peers/cmd/server on the TypeScript SDK, v2: echo {text} and
// add {a, b}. cmd/compare measures it.
//
//   speed.mjs [-addr HOST:PORT]     HTTP at /mcp, or stdio
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod/v4';

const echo = z.object({ text: z.string() });
const pair = z.object({ a: z.number(), b: z.number() });
const sum = z.object({ sum: z.number() });
const answer = structuredContent => ({ content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent });

function build() {
  const server = new McpServer({ name: 'typescript', version: '1' });
  server.registerTool('echo', { inputSchema: echo, outputSchema: echo }, async ({ text }) => answer({ text }));
  server.registerTool('add', { inputSchema: pair, outputSchema: sum }, async ({ a, b }) => answer({ sum: a + b }));
  return server;
}

// As the Go servers do, but V8 does not count allocations.
process.on('SIGUSR1', () => {
  globalThis.gc?.();
  console.error(`memory 0 0 ${process.memoryUsage().heapUsed} 0`);
});

const at = process.argv.indexOf('-addr');
if (at < 0) {
  serveStdio(build);
} else {
  const modern = toNodeHandler(createMcpHandler(build, { legacy: 'reject' }));
  const sessions = new Map(); // id -> transport
  const [host, port] = process.argv[at + 1].split(':');
  const server = createServer(async (req, res) => {
    if ((req.headers['mcp-protocol-version'] ?? '') >= '2026-07-28') return modern(req, res);
    let transport = sessions.get(req.headers['mcp-session-id']);
    if (!transport) {
      transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        enableJsonResponse: true,
        onsessioninitialized: id => sessions.set(id, transport)
      });
      await build().connect(transport);
    }
    await transport.handleRequest(req, res);
  });
  server.listen(Number(port), host, () => console.error(`listening ${host}:${server.address().port}`));
}
