import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CLIENT_HELLO,
  fields,
  frame,
  grpcFields,
  messageFrame,
  type ReadFrame,
  readFrames,
  requestFrame,
  SETTINGS_ACK,
  TYPE,
} from '../../../test/support/http2-frames.ts';
import { AuthorityFilter } from './filter.ts';
import { POISON, PREFACE } from './frames.ts';
import { encodeLiterals, type HeaderField, HpackDecoder } from './hpack.ts';

const PATH = '/SpiffeWorkloadAPI/FetchX509SVID';

/** What comes out for what goes in, in chunks. */
function filtered(chunks: readonly Buffer[], swallowAck = false): Buffer {
  const out: Buffer[] = [];
  const filter = new AuthorityFilter((bytes) => out.push(bytes), swallowAck);
  for (const chunk of chunks) filter.push(chunk);
  return Buffer.concat(out);
}

/** The field lists of the blocks in a client's byte string after the preface. */
function lists(bytes: Buffer): (readonly HeaderField[])[] {
  const decoder = new HpackDecoder();
  const found: (readonly HeaderField[])[] = [];
  let block: Buffer[] = [];
  for (const { type, flags, payload } of framesOf(bytes)) {
    if (type !== TYPE.headers && type !== TYPE.continuation) continue;
    const skip = type === TYPE.headers && flags & 0x20 ? 5 : 0;
    block.push(payload.subarray(skip));
    if (!(flags & 0x4)) continue;
    found.push(decoder.decode(Buffer.concat(block))?.fields ?? []);
    block = [];
  }
  return found;
}

function framesOf(bytes: Buffer): ReadFrame[] {
  return readFrames(bytes.subarray(PREFACE.length));
}

function isPoisoned(bytes: Buffer): boolean {
  return bytes.subarray(-POISON.length).equals(POISON);
}

const REPAIRED = [{ name: ':authority', value: 'localhost' }, ...grpcFields(undefined, PATH)];

test('good traffic goes on unchanged, however it is cut', () => {
  const traffic = Buffer.concat([
    CLIENT_HELLO,
    frame(TYPE.windowUpdate, 0, 0, Buffer.of(0, 0, 1, 0)),
    requestFrame(1, 'localhost'),
    messageFrame(1),
    frame(TYPE.ping, 0, 0, Buffer.alloc(8)),
    requestFrame(3, 'run%2Fa.sock'),
    messageFrame(3, Buffer.alloc(3000, 7)),
    frame(TYPE.rst, 0, 1, Buffer.of(0, 0, 0, 8)),
  ]);
  fc.assert(
    fc.property(fc.array(fc.nat(traffic.length), { maxLength: 30 }), (cuts) => {
      const ends = [...new Set([0, ...cuts, traffic.length])].sort((a, b) => a - b);
      const chunks = ends.slice(1).map((end, index) => traffic.subarray(ends[index] ?? 0, end));
      assert.ok(filtered(chunks).equals(traffic));
    }),
  );
  assert.ok(filtered([...traffic].map((byte) => Buffer.of(byte))).equals(traffic));
});

test('an authority that nghttp2 takes is left alone, one that it resets becomes localhost', () => {
  const good = ['localhost', 'dummy.com:80', '%2Ftmp%2Fx.sock', "a~!$&'()*+,;=[::1]@b_-", 'x'];
  const bad = ['', '/tmp/a.sock', 'a/b', 'a b', 'a"b', 'a#b', 'a?b', 'ü', 'a\0', 'unix:///a', '{}'];
  for (const authority of good) {
    const bytes = Buffer.concat([CLIENT_HELLO, requestFrame(1, authority)]);
    assert.ok(filtered([bytes]).equals(bytes), authority);
  }
  for (const authority of bad) {
    const bytes = Buffer.concat([CLIENT_HELLO, requestFrame(1, authority)]);
    assert.deepEqual(lists(filtered([bytes])), [REPAIRED], authority);
  }
});

test('a missing authority is filled in, unless there is a host', () => {
  const without = Buffer.concat([CLIENT_HELLO, requestFrame(1, undefined)]);
  assert.deepEqual(lists(filtered([without])), [REPAIRED]);
  const host = encodeLiterals([...grpcFields(undefined, PATH), { name: 'host', value: 'h' }]);
  const hosted = Buffer.concat([CLIENT_HELLO, frame(TYPE.headers, 4, 1, host)]);
  assert.ok(filtered([hosted]).equals(hosted));
});

test('a repair drops a host that nghttp2 would refuse and keeps one that it takes', () => {
  for (const [host, kept] of [
    ['/bad', false],
    ['good', true],
  ] as const) {
    const block = encodeLiterals([...grpcFields('/a.sock', PATH), { name: 'host', value: host }]);
    const [list] = lists(filtered([CLIENT_HELLO, frame(TYPE.headers, 4, 1, block)]));
    assert.equal(
      list?.some(({ name }) => name === 'host'),
      kept,
    );
  }
});

test('two authorities and a list without :method are not repaired', () => {
  const cases = [
    fields([':method', 'POST'], [':authority', '/a'], [':authority', '/b']),
    fields([':authority', '/a'], [':path', '/']),
  ];
  for (const list of cases) {
    const bytes = Buffer.concat([CLIENT_HELLO, frame(TYPE.headers, 4, 1, encodeLiterals(list))]);
    assert.ok(filtered([bytes]).equals(bytes));
  }
});

test('from the first repair on every block is written as literals, trailers too', () => {
  const indexed = Buffer.concat([Buffer.of(0x40, 1, 0x61, 1, 0x62), Buffer.of(0xbe)]);
  const out = filtered([
    CLIENT_HELLO,
    requestFrame(1, '/a.sock'),
    frame(TYPE.headers, 0x5, 1, indexed),
    frame(
      TYPE.headers,
      0x4,
      3,
      Buffer.concat([encodeLiterals(grpcFields('ok', PATH)), Buffer.of(0xbe)]),
    ),
  ]);
  const [first, trailers, second] = framesOf(out).filter(({ type }) => type === TYPE.headers);
  assert.deepEqual(lists(out), [
    REPAIRED,
    fields(['a', 'b'], ['a', 'b']),
    [...grpcFields('ok', PATH), { name: 'a', value: 'b' }],
  ]);
  for (const block of [first, trailers, second]) assert.equal(block?.payload[0], 0);
  // END_STREAM of the trailers is kept.
  assert.equal((trailers?.flags ?? 0) & 1, 1);
});

test('entries indexed before the first repair are still known after it', () => {
  const block = Buffer.concat([
    encodeLiterals(grpcFields('ok', PATH)),
    Buffer.of(0x40, 1, 0x61, 1, 0x62),
  ]);
  const bad = Buffer.concat([encodeLiterals(grpcFields('/a', PATH)), Buffer.of(0xbe)]);
  const out = filtered([
    CLIENT_HELLO,
    frame(TYPE.headers, 4, 1, block),
    frame(TYPE.headers, 4, 3, bad),
  ]);
  assert.deepEqual(lists(out)[1], [...REPAIRED, { name: 'a', value: 'b' }]);
});

test('a bad request split into HEADERS and CONTINUATION at every offset is repaired', () => {
  const block = encodeLiterals(grpcFields('/tmp/agent.sock', PATH));
  for (let at = 0; at <= block.length; at++) {
    const bytes = Buffer.concat([
      CLIENT_HELLO,
      frame(TYPE.headers, 0x1, 1, block.subarray(0, at)),
      frame(TYPE.continuation, 0x4, 1, block.subarray(at)),
    ]);
    const out = filtered([bytes]);
    assert.deepEqual(lists(out), [REPAIRED], `split at ${at}`);
    assert.equal(framesOf(out).find(({ type }) => type === TYPE.headers)?.flags, 0x5);
  }
});

test('padding is taken off and the five priority octets are kept', () => {
  const priority = Buffer.of(0x80, 0, 0, 0, 41);
  const block = encodeLiterals(grpcFields('/a.sock', PATH));
  const payload = Buffer.concat([Buffer.of(7), priority, block, Buffer.alloc(7)]);
  const out = filtered([CLIENT_HELLO, frame(TYPE.headers, 0x4 | 0x8 | 0x20, 1, payload)]);
  const headers = framesOf(out).find(({ type }) => type === TYPE.headers);
  assert.equal(headers?.flags, 0x24);
  assert.ok(headers?.payload.subarray(0, 5).equals(priority));
  assert.deepEqual(lists(out), [REPAIRED]);
});

test('padding and priority that do not fit end the connection', () => {
  const cases: [string, number, Buffer][] = [
    ['no room for the pad length', 0x8, Buffer.alloc(0)],
    ['padding longer than the rest', 0x8, Buffer.of(1)],
    ['priority cut short', 0x20, Buffer.alloc(4)],
    ['padding reaches into the priority', 0x28, Buffer.of(1, 0, 0, 0, 0, 0)],
  ];
  for (const [name, flags, payload] of cases) {
    assert.ok(
      isPoisoned(filtered([CLIENT_HELLO, frame(TYPE.headers, flags | 4, 1, payload)])),
      name,
    );
  }
});

test('a rewritten list longer than a frame leaves as HEADERS and CONTINUATIONs', () => {
  const long = Array.from({ length: 5 }, (_, i) => ({ name: `h${i}`, value: 'v'.repeat(9000) }));
  const block = encodeLiterals([...grpcFields('/a.sock', PATH), ...long]);
  const chunks: Buffer[] = [CLIENT_HELLO];
  for (let at = 0; at < block.length; at += 16_384) {
    const type = at === 0 ? TYPE.headers : TYPE.continuation;
    const end = at + 16_384 >= block.length ? 0x4 : 0;
    chunks.push(frame(type, end, 1, block.subarray(at, at + 16_384)));
  }
  const out = filtered(chunks);
  assert.deepEqual(lists(out), [[...REPAIRED, ...long]]);
  assert.ok(framesOf(out).every(({ payload }) => payload.length <= 16_384));
  assert.equal(
    framesOf(out).filter(({ flags, type }) => type !== TYPE.settings && flags & 4).length,
    1,
  );
});

test('only odd stream ids above the highest are requests', () => {
  const trailersLike = encodeLiterals(fields([':method', 'POST'], [':authority', '/a']));
  for (const [streamId, name] of [
    [2, 'even'],
    [3, 'seen'],
    [1, 'lower'],
  ] as const) {
    const bytes = Buffer.concat([
      CLIENT_HELLO,
      requestFrame(3, 'localhost'),
      frame(TYPE.headers, 0x4, streamId, trailersLike),
    ]);
    assert.ok(filtered([bytes]).equals(bytes), name);
  }
});

test('hostile framing ends the connection and passes nothing more on', () => {
  const half = frame(TYPE.headers, 0, 1, encodeLiterals(grpcFields('ok', PATH)));
  const cases: [string, Buffer[]][] = [
    ['CONTINUATION without HEADERS', [frame(TYPE.continuation, 4, 1)]],
    ['DATA inside a block', [half, messageFrame(1)]],
    ['HEADERS inside a block', [half, requestFrame(3, 'ok')]],
    ['PING inside a block', [half, frame(TYPE.ping, 0, 0, Buffer.alloc(8))]],
    ['CONTINUATION of another stream', [half, frame(TYPE.continuation, 4, 3)]],
    ['HEADERS on stream 0', [requestFrame(0, 'ok')]],
    ['a broken block', [frame(TYPE.headers, 4, 1, Buffer.of(0x80))]],
  ];
  for (const [name, frames] of cases) {
    const out = filtered([CLIENT_HELLO, ...frames, requestFrame(9, '/later'), messageFrame(9)]);
    assert.ok(isPoisoned(out), name);
    assert.ok(
      framesOf(out).every(({ streamId }) => streamId !== 9),
      name,
    );
  }
});

test('a block of 64 KiB is taken, of one octet more it ends the connection', () => {
  const filler = (size: number): Buffer => {
    const base = encodeLiterals(grpcFields('ok', PATH));
    // Size updates to 0 may repeat at a block's start and cost nothing.
    return Buffer.concat([Buffer.alloc(size - base.length, 0x20), base]);
  };
  for (const [size, refused] of [
    [65_535, false],
    [65_536, false],
    [65_537, true],
  ] as const) {
    const block = filler(size);
    const chunks: Buffer[] = [CLIENT_HELLO];
    for (let at = 0; at < size; at += 16_384) {
      const type = at === 0 ? TYPE.headers : TYPE.continuation;
      chunks.push(frame(type, at + 16_384 >= size ? 4 : 0, 1, block.subarray(at, at + 16_384)));
    }
    assert.equal(isPoisoned(filtered(chunks)), refused, String(size));
  }
});

test('128 frames in a block are taken, 129 end the connection', () => {
  const block = encodeLiterals(grpcFields('/a', PATH));
  for (const [frames, refused] of [
    [127, false],
    [128, false],
    [129, true],
  ] as const) {
    const chunks = [CLIENT_HELLO, frame(TYPE.headers, 0, 1, block)];
    for (let i = 0; i < frames - 2; i++) chunks.push(frame(TYPE.continuation, 0, 1));
    chunks.push(frame(TYPE.continuation, 4, 1));
    assert.equal(isPoisoned(filtered(chunks)), refused, String(frames));
  }
});

test('a frame of 16,384 octets is taken, of one octet more it ends the connection', () => {
  const base = encodeLiterals(grpcFields('/a', PATH));
  for (const [size, refused] of [
    [16_383, false],
    [16_384, false],
    [16_385, true],
  ] as const) {
    const block = Buffer.concat([Buffer.alloc(size - base.length, 0x20), base]);
    const out = filtered([CLIENT_HELLO, frame(TYPE.headers, 4, 1, block)]);
    assert.equal(isPoisoned(out), refused, String(size));
  }
});

test('a list past its cap is never repaired; after a repair it is made one that is reset', () => {
  const bomb = Buffer.concat([
    encodeLiterals(grpcFields('/a', PATH)),
    Buffer.concat([
      Buffer.of(0x40),
      encodeLiterals([{ name: 'n', value: 'v'.repeat(3900) }]).subarray(1),
    ]),
    Buffer.alloc(100, 0xbe),
  ]);
  const alone = Buffer.concat([CLIENT_HELLO, frame(TYPE.headers, 4, 1, bomb)]);
  assert.ok(filtered([alone]).equals(alone));
  const after = filtered([CLIENT_HELLO, requestFrame(1, '/a'), frame(TYPE.headers, 4, 3, bomb)]);
  assert.deepEqual(lists(after)[1], fields([':authority', '']));
});

/** Indexes a field of nearly the whole dynamic table; 0xbe refers to it from then on. */
const LARGE_ENTRY = Buffer.concat([
  Buffer.of(0x40),
  encodeLiterals([{ name: 'n', value: 'v'.repeat(4000) }]).subarray(1),
]);

test('short references to a large entry end the connection before they fill the memory', () => {
  const request = encodeLiterals(grpcFields('ok', PATH));
  const chunks = [CLIENT_HELLO, requestFrame(1, '/a')];
  chunks.push(frame(TYPE.headers, 4, 3, Buffer.concat([request, LARGE_ENTRY])));
  const amplifying = frame(TYPE.headers, 4, 5, Buffer.alloc(16, 0xbe));
  for (let i = 0; i < 2000; i++) chunks.push(amplifying);
  const received = chunks.reduce((sum, { length }) => sum + length, 0);
  const out = filtered([Buffer.concat(chunks)]);
  assert.ok(isPoisoned(out));
  assert.ok(out.length < 33 * received + 256 * 1024, `${received} in, ${out.length} out`);
});

test('4,000 calls of a client that indexes all its fields are repaired, each as the first', () => {
  // What grpc-java sends: every field indexed with the first call, one octet each from then on.
  const list = [
    ...grpcFields('/run/signet/agent/public/api.sock', PATH),
    ...fields(
      ['user-agent', 'grpc-java-netty/1.68.1'],
      ['grpc-accept-encoding', 'gzip'],
      ['workload.spiffe.io', 'true'],
    ),
  ];
  const first = list.map((field) => {
    const literal = encodeLiterals([field]);
    literal[0] = 0x40;
    return literal;
  });
  const later = Buffer.from(list.map((_, index) => 0x80 + 62 + index));
  const hello = Buffer.concat([CLIENT_HELLO, frame(TYPE.headers, 4, 1, Buffer.concat(first))]);
  const out: Buffer[] = [];
  const filter = new AuthorityFilter((bytes) => out.push(bytes), false);
  filter.push(hello);
  for (let call = 1; call < 4000; call++) {
    filter.push(frame(TYPE.headers, 4, 2 * call + 1, later));
    filter.push(messageFrame(2 * call + 1));
  }
  const found = lists(Buffer.concat(out));
  assert.equal(found.length, 4000);
  const sorted = (fields: readonly HeaderField[] | undefined): string[] =>
    (fields ?? []).map(({ name, value }) => `${name}: ${value}`).sort();
  assert.deepEqual(sorted(found.at(-1)), sorted(found[0]));
  assert.equal(found.at(-1)?.[0]?.value, 'localhost');
});

test('a filter that is stopped from where its bytes go looks at nothing more', () => {
  let emitted = 0;
  const filter = new AuthorityFilter(() => {
    emitted++;
    if (emitted === 4) filter.stop();
  }, false);
  const frames = Array.from({ length: 50 }, (_, i) => requestFrame(2 * i + 1, '/a'));
  filter.push(Buffer.concat([CLIENT_HELLO, ...frames]));
  assert.equal(emitted, 4);
  assert.equal(filter.midFrame, false);
});

test('bytes that are no preface go on untouched, for nghttp2 to answer', () => {
  const http1 = Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  assert.ok(filtered([http1]).equals(http1));
  for (let at = 0; at < PREFACE.length; at++) {
    const wrong = Buffer.concat([PREFACE, requestFrame(1, '/a')]);
    wrong[at] = (wrong[at] ?? 0) ^ 1;
    assert.ok(filtered([...wrong].map((byte) => Buffer.of(byte))).equals(wrong), `octet ${at}`);
  }
});

test('exactly one ACK is swallowed where our SETTINGS went out, and none elsewhere', () => {
  const bytes = Buffer.concat([CLIENT_HELLO, SETTINGS_ACK, SETTINGS_ACK]);
  assert.ok(filtered([bytes], true).equals(Buffer.concat([CLIENT_HELLO, SETTINGS_ACK])));
  assert.ok(filtered([bytes], false).equals(bytes));
});

test('midFrame tells an unfinished preface, frame header and block from a pause', () => {
  const filter = new AuthorityFilter(() => {}, false);
  const steps: [Buffer, boolean][] = [
    [PREFACE.subarray(0, 10), true],
    [PREFACE.subarray(10), false],
    [frame(TYPE.settings, 0, 0).subarray(0, 4), true],
    [frame(TYPE.settings, 0, 0).subarray(4), false],
    [frame(TYPE.headers, 0, 1, Buffer.of(0x82)), true],
    [frame(TYPE.continuation, 4, 1), false],
    [messageFrame(1).subarray(0, 11), false],
  ];
  for (const [bytes, expected] of steps) {
    filter.push(bytes);
    assert.equal(filter.midFrame, expected);
  }
});

test('random bytes after the preface never throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (chunks) => {
      filtered([CLIENT_HELLO, ...chunks.map((chunk) => Buffer.from(chunk))]);
    }),
    { numRuns: 500 },
  );
});
