import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { temporaryFolder } from '../../test/support/rpc.ts';
import { SignetError } from '../base/errors.ts';
import { batchResult, itemError, remoteError } from './remote.ts';
import { exitCodeOf, formatError } from './report.ts';

const settings = { peer: 'server', address: '/nowhere/api.sock', timeoutMs: 1500 } as const;

function sent(code: number, details: string, errorCode?: string) {
  const metadata = new Metadata();
  if (errorCode !== undefined) metadata.set('signet-error-code', errorCode);
  return { code, details, metadata };
}

test('a code of the table that the other side sends is the code of the refusal', () => {
  const error = remoteError(
    'minting',
    sent(status.ALREADY_EXISTS, 'taken', 'CLI_TIMEOUT'),
    settings,
  );
  assert.equal(error.code, 'CLI_TIMEOUT');
  assert.equal(error.statusName, 'AlreadyExists');
});

for (const code of ['NO_SUCH_CODE', 'constructor', '__proto__', 'toString', '']) {
  test(`a code that is not in the table (${JSON.stringify(code)}) is not believed`, () => {
    assert.equal(remoteError('x', sent(status.NOT_FOUND, '', code), settings).code, 'CLI_REFUSED');
  });
}

test('a status that there is not is unknown', () => {
  const error = remoteError('x', sent(99, 'odd'), settings);
  assert.deepEqual([error.code, error.statusName], ['CLI_REFUSED', 'Unknown']);
});

test('an unavailable server that answered is no missing server', () => {
  const error = remoteError('x', sent(status.UNAVAILABLE, 'shutting down'), settings);
  assert.equal(error.code, 'CLI_REFUSED');
  assert.match(formatError(error), /shutting down\n.*\n {2}next: Wait until/);
});

test('no answer in time says how long was waited', () => {
  const error = remoteError('x', sent(status.DEADLINE_EXCEEDED, 'Deadline exceeded'), settings);
  assert.equal(error.code, 'CLI_TIMEOUT');
  assert.match(error.message, /in 1\.5 s/);
});

const lost = sent(status.UNAVAILABLE, 'No connection established. Last error: connect');

test('a socket that is not there is told apart from one where nobody listens', (context) => {
  const absent = remoteError('x', lost, settings);
  assert.match(absent.message, /there is no such socket/);
  const address = deadSocket(context);
  const dead = remoteError('x', lost, { ...settings, address });
  assert.equal(dead.code, 'CLI_SERVER_UNREACHABLE');
  assert.match(dead.message, /nobody listens there/);
});

test('a file that is no socket is told', () => {
  const error = remoteError('x', lost, { ...settings, address: '/etc/passwd' });
  assert.match(error.message, /this is no socket/);
});

/** A socket file whose process is gone, as a crash leaves it. */
function deadSocket(context: TestContext): string {
  const path = `${temporaryFolder(context)}/dead.sock`;
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  return path;
}

test('text of a hostile server reaches the terminal as letters', () => {
  const text = 'no\x1b]0;owned\x07\r\nsignet: all is well\u202e';
  const error = remoteError('creating', sent(status.INVALID_ARGUMENT, text), settings);
  const printed = formatError(error);
  for (const character of ['\x1b', '\x07', '\r', '\u202e']) {
    assert.ok(!printed.includes(character), JSON.stringify(character));
  }
  assert.match(printed, /\\u001b\]0;owned\\u0007/);
});

test('an item without a status is refused: OK is said, not implied', () => {
  assert.equal(itemError('creating x', undefined)?.code, 'CLI_ANSWER_INVALID');
  assert.equal(itemError('creating x', { code: 0, message: '' }), undefined);
});

test('of a batch all refusals are told, and one alone stands for itself', () => {
  const one = new SignetError('CLI_REFUSED', 'first', { status: 'NotFound' });
  const two = new SignetError('CLI_REFUSED', 'second', { status: 'AlreadyExists' });
  assert.ok(batchResult([], 2).ok);
  const alone = batchResult([one], 1);
  assert.equal(alone.ok ? undefined : alone.error, one);
  const both = batchResult([one, two], 3);
  assert.ok(!both.ok);
  assert.equal(both.error.code, 'CLI_PARTLY_FAILED');
  assert.match(both.error.message, /2 of 3 failed\n {2}first \(NotFound\)\n {2}second \(Already/);
});

test('usage ends with 2, everything else with 1', () => {
  assert.equal(exitCodeOf(new SignetError('CLI_USAGE', '')), 2);
  assert.equal(exitCodeOf(new SignetError('CLI_UNSUPPORTED_FLAG', '')), 2);
  assert.equal(exitCodeOf(new SignetError('CLI_REFUSED', '')), 1);
  assert.equal(exitCodeOf(new SignetError('INTERNAL', '')), 1);
});
