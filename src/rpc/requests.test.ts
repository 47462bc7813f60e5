import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { requestsOf } from './requests.ts';

/** A stream of messages as grpc-js makes it: each read brings one, and more are ready. */
function wireOf(messages: number): { wire: Duplex; reads: () => number } {
  let reads = 0;
  const wire = new Duplex({
    objectMode: true,
    read() {
      reads++;
      this.push(reads <= messages ? Buffer.of(reads) : null);
    },
    write(_chunk, _encoding, done) {
      done();
    },
  });
  return { wire, reads: () => reads };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('no message is read before it is asked for', async () => {
  const { wire, reads } = wireOf(5);
  const requests = requestsOf(
    wire,
    () => {},
    (bytes: Buffer) => bytes[0],
  )[Symbol.asyncIterator]();
  await settled();
  assert.equal(reads(), 0);
  assert.deepEqual(await requests.next(), { done: false, value: 1 });
  await settled();
  assert.equal(reads(), 1);
  assert.deepEqual(await requests.next(), { done: false, value: 2 });
  await settled();
  assert.equal(reads(), 2);
});

test('all messages come in order, then the end, and the end again', async () => {
  const { wire } = wireOf(3);
  const requests = requestsOf(
    wire,
    () => {},
    (bytes: Buffer) => bytes[0],
  );
  const seen: number[] = [];
  for await (const request of requests) seen.push(request);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(await requests[Symbol.asyncIterator]().next(), { done: true, value: undefined });
});

test("the call's end ends a reader that waits", async () => {
  const wire = new Duplex({ objectMode: true, read() {}, write: (_c, _e, done) => done() });
  let end = (): void => {};
  const requests = requestsOf(
    wire,
    (action) => {
      end = action;
    },
    (bytes: Buffer) => bytes[0],
  );
  const next = requests[Symbol.asyncIterator]().next();
  end();
  assert.deepEqual(await next, { done: true, value: undefined });
});

test('a message that cannot be decoded ends the requests', async () => {
  const { wire } = wireOf(3);
  const requests = requestsOf(
    wire,
    () => {},
    (bytes: Buffer) => (bytes[0] === 2 ? undefined : bytes[0]),
  );
  const seen: number[] = [];
  for await (const request of requests) seen.push(request);
  assert.deepEqual(seen, [1]);
});
