import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { ConnectorMessage, Event } from '../gen/signet/connector/v1/connector.ts';
import {
  MAX_MESSAGE_BYTES,
  MEASURED_CONNECTOR_SERVICE,
  MessagePace,
  sizeOf,
} from './message-pace.ts';

const { requestDeserialize: read } = MEASURED_CONNECTOR_SERVICE.session;

/** An event of so many bytes on the wire. */
function event(length: number): Buffer {
  const encode = (text: number): Buffer => {
    const value = { ...Event.fromJSON({}), message: 'x'.repeat(text) };
    return Buffer.from(ConnectorMessage.encode({ kind: { $case: 'event', value } }).finish());
  };
  const bytes = encode(length - (encode(length).length - length));
  assert.equal(bytes.length, length);
  return bytes;
}

describe('a message of a connector', () => {
  it('is read up to its longest, and not at all past it', () => {
    for (const length of [MAX_MESSAGE_BYTES - 1, MAX_MESSAGE_BYTES]) {
      assert.equal(read(event(length)).kind?.$case, 'event');
    }
    const tooLong = read(event(MAX_MESSAGE_BYTES + 1));
    assert.equal(tooLong.kind, undefined);
    assert.equal(sizeOf(tooLong), MAX_MESSAGE_BYTES + 1);
    assert.throws(() => read(Buffer.of(0xff)));
  });
});

describe('the pace of a session', () => {
  const small = read(Buffer.alloc(0));

  it('lets 200 messages through at once, then 50 a second', () => {
    const clock = new ManualClock(0);
    const pace = new MessagePace(clock);
    for (let at = 0; at < 200; at++) assert.equal(pace.take(small), 0);
    assert.equal(pace.take(small), 20);
    clock.advance(20);
    assert.equal(pace.take(small), 20);
    clock.advance(1020);
    for (let at = 0; at < 50; at++) assert.equal(pace.take(small), 0);
    assert.equal(pace.take(small), 20);
    clock.advance(3_600_000);
    for (let at = 0; at < 200; at++) assert.equal(pace.take(small), 0);
    assert.ok(pace.take(small) > 0, 'an hour of silence saves up no more than the burst');
  });

  it('counts long messages by their bytes: less than a mebibyte a second', () => {
    const clock = new ManualClock(0);
    const pace = new MessagePace(clock);
    const long = read(event(MAX_MESSAGE_BYTES));
    let waitedMs = 0;
    for (let at = 0; at < 60; at++) {
      const waitMs = pace.take(long);
      waitedMs += waitMs;
      clock.advance(waitMs);
    }
    assert.ok(waitedMs > 57_000 && waitedMs < 80_000, `${waitedMs} ms for 60 MiB`);
  });
});
