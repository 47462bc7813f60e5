import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CLIENT_HELLO,
  frame,
  grpcFields,
  messageFrame,
  requestFrame,
  SETTINGS_ACK,
  TYPE,
} from '../../../test/support/http2-frames.ts';
import { examine } from './examine.ts';
import { PREFACE } from './frames.ts';
import { encodeLiterals } from './hpack.ts';

const WINDOW = frame(TYPE.windowUpdate, 0, 0, Buffer.of(0, 0, 1, 0));

function kind(parts: readonly Buffer[], greeted = false): string {
  return examine(Buffer.concat(parts), greeted).kind;
}

test('a good first request gives the socket to nghttp2 with all bytes so far', () => {
  const bytes = Buffer.concat([
    CLIENT_HELLO,
    WINDOW,
    requestFrame(1, 'localhost'),
    messageFrame(1),
  ]);
  const verdict = examine(bytes, false);
  assert.ok(verdict.kind === 'native' && verdict.bytes.equals(bytes));
});

test('every shorter part of it waits for more', () => {
  const whole = Buffer.concat([CLIENT_HELLO, WINDOW, requestFrame(1, 'localhost')]);
  for (let length = 0; length < whole.length; length++) {
    const verdict = examine(whole.subarray(0, length), false);
    assert.equal(verdict.kind, 'more', `${length} octets`);
    assert.equal(verdict.kind === 'more' && verdict.greets, length >= PREFACE.length);
  }
});

test('where our SETTINGS went out, the ACK has to come and is left out', () => {
  const request = requestFrame(1, 'localhost');
  const before = Buffer.concat([CLIENT_HELLO, SETTINGS_ACK, request, messageFrame(1)]);
  const after = Buffer.concat([CLIENT_HELLO, request, messageFrame(1), SETTINGS_ACK]);
  const bare = Buffer.concat([CLIENT_HELLO, request, messageFrame(1)]);
  for (const bytes of [before, after]) {
    const verdict = examine(bytes, true);
    assert.ok(verdict.kind === 'native' && verdict.bytes.equals(bare));
  }
  assert.equal(kind([bare], true), 'more');
});

test('a second ACK is left in', () => {
  const bytes = [CLIENT_HELLO, SETTINGS_ACK, SETTINGS_ACK, requestFrame(1, 'localhost')];
  const verdict = examine(Buffer.concat(bytes), true);
  const expected = Buffer.concat([CLIENT_HELLO, SETTINGS_ACK, requestFrame(1, 'localhost')]);
  assert.ok(verdict.kind === 'native' && verdict.bytes.equals(expected));
});

test('anything unusual gets the filter', () => {
  const block = encodeLiterals(grpcFields('localhost', '/a'));
  const cases: [string, Buffer[]][] = [
    ['a bad authority', [requestFrame(1, '/a.sock')]],
    ['no authority', [requestFrame(1, undefined)]],
    ['a block in two frames', [frame(TYPE.headers, 0, 1, block)]],
    ['an even stream', [requestFrame(2, 'localhost')]],
    ['a broken block', [frame(TYPE.headers, 4, 1, Buffer.of(0x80))]],
    ['padding that does not fit', [frame(TYPE.headers, 0xc, 1, Buffer.of(9))]],
    ['PING first', [frame(TYPE.ping, 0, 0, Buffer.alloc(8))]],
    ['CONTINUATION first', [frame(TYPE.continuation, 4, 1)]],
    ['a frame of 16,385 octets', [frame(TYPE.settings, 0, 0, Buffer.alloc(16_385))]],
  ];
  for (const [name, frames] of cases) assert.equal(kind([CLIENT_HELLO, ...frames]), 'filter', name);
});

test('a second request before the ACK gets the filter', () => {
  const two = [requestFrame(1, 'localhost'), requestFrame(3, 'localhost')];
  assert.equal(kind([CLIENT_HELLO, ...two], true), 'filter');
});

test('a wrong preface goes to nghttp2 as it is', () => {
  const http1 = Buffer.from('GET / HTTP/1.1\r\n\r\n');
  const verdict = examine(http1, false);
  assert.ok(verdict.kind === 'native' && verdict.bytes.equals(http1));
});
