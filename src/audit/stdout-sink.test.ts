import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { temporaryFolder } from '../../test/support/state.ts';

const CHILD = join(import.meta.dirname, '../../test/support/stdout-sink-child.ts');
/** Far more than a pipe holds. */
const COUNT = 500;

const indexesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((each) => (JSON.parse(each) as { index: number }).index);
const upTo = Array.from({ length: COUNT }, (_, at) => at);

function start(context: TestContext, command: readonly string[]) {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  const told = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  return { child, next: async () => (await told.next()).value as string };
}

const OWN = [process.execPath, CHILD, String(COUNT)];
test('a reader that reads nothing holds up nothing else, and gets every line in the end', async (context) => {
  const { child, next } = start(context, OWN);
  for (let tick = 1; tick <= 5; tick++) assert.equal(await next(), `tick ${tick}`);
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  await once(child, 'close');
  assert.deepEqual(indexesOf(text), upTo);
});

test('the same for a pipe', async (context) => {
  const script = `"${process.execPath}" "${CHILD}" ${COUNT} | { read go <&3; cat; }`;
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  const [, stdout, stderr, gate] = child.stdio;
  assert.ok(stdout instanceof Socket && stderr instanceof Socket && gate instanceof Socket);
  const told = createInterface({ input: stderr })[Symbol.asyncIterator]();
  for (let tick = 1; tick <= 5; tick++) assert.equal((await told.next()).value, `tick ${tick}`);
  let text = '';
  stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  gate.end('go\n');
  await once(child, 'close');
  assert.deepEqual(indexesOf(text), upTo);
});

test('a reader that is gone is a failure and no end of the process', async (context) => {
  const { child, next } = start(context, OWN);
  assert.equal(await next(), 'tick 1');
  child.stdout.destroy();
  let said = await next();
  while (said.startsWith('tick')) said = await next();
  assert.equal(said, 'AUDIT_SINK_UNAVAILABLE');
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0);
});

test('a file as stdout is appended to', async (context) => {
  const path = join(await temporaryFolder(context), 'out');
  const file = openSync(path, 'w');
  const child = spawn(process.execPath, [CHILD, '3'], { stdio: ['ignore', file, 'ignore'] });
  await once(child, 'close');
  closeSync(file);
  assert.deepEqual(indexesOf(readFileSync(path, 'utf8')), [0, 1, 2]);
});
