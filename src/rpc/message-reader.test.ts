import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageReader, readMessagesCompactly } from './message-reader.ts';

function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

test('messages come out as they went in, however they are cut', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 4 });
  fc.assert(
    fc.property(messages, fc.array(fc.nat(12_000), { maxLength: 20 }), (sent, cuts) => {
      const bytes = Buffer.concat(sent.map(framed));
      const ends = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])];
      ends.sort((a, b) => a - b);
      const reader = new MessageReader(3000);
      const read = ends
        .slice(1)
        .flatMap((end, index) => reader.write(bytes.subarray(ends[index] ?? 0, end)));
      assert.deepEqual(
        read.map((message) => message.toString('hex')),
        sent.map((message) => framed(message).toString('hex')),
      );
    }),
    { numRuns: 50 },
  );
});

test('a message of the limit is taken, of one byte more refused at its prefix', () => {
  for (const [length, refused] of [
    [99, false],
    [100, false],
    [101, true],
    [0xffffffff, true],
  ] as const) {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(length, 1);
    const write = (): unknown => new MessageReader(100).write(prefix);
    if (refused) assert.throws(write, { code: 'MESSAGE_TOO_LONG' });
    else assert.deepEqual(write(), []);
  }
});

test('parts are copied: nothing holds on to the read that they came with', () => {
  const reader = new MessageReader(100);
  const part = framed(Buffer.from('ab'));
  assert.deepEqual(reader.write(part.subarray(0, 6)), []);
  part.fill(0x78);
  assert.deepEqual(reader.write(Buffer.from('b')), [framed(Buffer.from('ab'))]);
  const whole = framed(Buffer.from('cd'));
  const [message] = reader.write(whole);
  whole.fill(0x78);
  assert.deepEqual(message, framed(Buffer.from('cd')));
});

test('a library that has no decoder where it was is told of, not passed over', () => {
  const call = { nextCall: { nextCall: undefined } };
  assert.throws(
    () => readMessagesCompactly(call as never, new MessageReader(100)),
    /adapt readMessagesCompactly/,
  );
});
