// A client of 2025-11-25 on the TypeScript SDK, v1, that calls tools as tasks and
// prints what becomes of them.
//
//	tasks.mjs URL
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema, CreateTaskResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const capabilities = { elicitation: { form: {} }, tasks: { requests: { elicitation: { create: {} } } } };
const client = new Client({ name: 'typescript', version: '1' }, { capabilities });
client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
  console.log('asked', params.message, params.task ?? 'no task', 'io.modelcontextprotocol/related-task' in params._meta);
  return { action: 'accept', content: { confirm: true, name: 'Ada' } };
});
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
await client.listTools(); // the SDK wants to know which tools are tasks

async function run(name, args) {
  const stream = client.experimental.tasks.callToolStream({ name, arguments: args }, CallToolResultSchema, { task: { ttl: 60000 } });
  for await (const { type, task, result, error } of stream) {
    if (type === 'taskCreated') console.log(name, 'created', task.status, task.ttl);
    if (type === 'result') console.log(name, 'result', result.content[0].text);
    if (type === 'error') console.log(name, 'error', error.message.replace(/Task \S+/, 'Task'));
  }
}
await run('confirm_delete', { filename: 'x' });
await run('test_tool_with_task', {});
await run('slow_compute', { seconds: 0.1, label: 'it' });
await run('failing_job', {});

const { task } = await client.request({ method: 'tools/call', params: { name: 'slow_compute', arguments: { seconds: 60 }, task: {} } }, CreateTaskResultSchema);
console.log('cancel', (await client.experimental.tasks.cancelTask(task.taskId)).status);
await client.close();
