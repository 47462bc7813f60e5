import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import {
  CLIENT_HELLO,
  fields,
  frame,
  grpcFields,
  grpcStatus,
  messageFrame,
  type ReadFrame,
  readFrames,
  requestFrame,
  SETTINGS_ACK,
  serverHeaders,
  TYPE,
} from '../../test/support/http2-frames.ts';
import {
  type RawClient,
  rawUnix,
  serveUnix,
  type TestHostOptions,
  testHost,
  untilAborted,
  workloadHandlers,
} from '../../test/support/rpc.ts';
import { ManualClock } from '../base/clock.ts';
import { ok } from '../base/result.ts';
import { JWTSVIDResponse, SpiffeWorkloadAPIService } from '../gen/workload.ts';
import { PREFACE } from './authority/frames.ts';
import { encodeLiterals } from './authority/hpack.ts';
import type { RpcHost } from './host.ts';
import { serveReflection } from './reflection.ts';
import { Encoded } from './service.ts';

const JWT = '/SpiffeWorkloadAPI/FetchJWTSVID';

/** A Workload API whose FetchJWTSVID answers the id of the connection that it sees. */
async function serve(
  context: TestContext,
  options: TestHostOptions = {},
): Promise<{ host: RpcHost; path: string }> {
  const host = testHost(options);
  host.addService(
    SpiffeWorkloadAPIService,
    workloadHandlers({
      fetchJwtsvid: (_, { connection }) =>
        ok({ svids: [{ spiffeId: '', svid: connection.id, hint: '' }] }),
    }),
  );
  return { host, path: (await serveUnix(context, host)).address };
}

function answered(streamId: number): (bytes: Buffer) => boolean {
  return (bytes) => grpcStatus(bytes, streamId) !== undefined;
}

/** The connection id that FetchJWTSVID answered on a stream. */
function idOf(bytes: Buffer, streamId: number): string | undefined {
  const data = readFrames(bytes).find((f) => f.type === TYPE.data && f.streamId === streamId);
  return data && JWTSVIDResponse.decode(data.payload.subarray(5)).svids[0]?.svid;
}

/** Whether the server still answers an honest caller. */
async function assertServes(context: TestContext, path: string): Promise<void> {
  const client = rawUnix(context, path);
  client.socket.write(
    Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost', JWT), messageFrame(1)]),
  );
  assert.equal(grpcStatus(await client.until(answered(1)), 1), '0');
  client.socket.destroy();
}

/** Resolves when the host has no connection left. */
async function emptied(host: RpcHost): Promise<void> {
  while (host.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
}

test('requests with good, bad and no authority are answered on one connection', async (context) => {
  const { path } = await serve(context);
  const orders = [
    ['/a.sock', 'localhost', undefined, ''],
    ['', undefined, 'x', '/a.sock'],
  ];
  for (const authorities of orders) {
    const client = rawUnix(context, path);
    client.socket.write(CLIENT_HELLO);
    for (const [index, authority] of authorities.entries()) {
      const streamId = 2 * index + 1;
      client.socket.write(
        Buffer.concat([requestFrame(streamId, authority, JWT), messageFrame(streamId)]),
      );
      assert.equal(grpcStatus(await client.until(answered(streamId)), streamId), '0');
    }
  }
});

test('a client that waits for SETTINGS gets them, acknowledges both, and is served', async (context) => {
  const { path } = await serve(context);
  for (const authority of ['localhost', '/a.sock']) {
    const client = rawUnix(context, path);
    client.socket.write(CLIENT_HELLO);
    const greeting = await client.until((bytes) => bytes.length >= 9);
    assert.deepEqual(readFrames(greeting)[0], {
      type: TYPE.settings,
      flags: 0,
      streamId: 0,
      payload: Buffer.alloc(0),
    });
    client.socket.write(SETTINGS_ACK);
    client.socket.write(Buffer.concat([requestFrame(1, authority, JWT), messageFrame(1)]));
    const isSettings = (f: { type: number; flags: number }) =>
      f.type === TYPE.settings && f.flags === 0;
    await client.until((bytes) => readFrames(bytes).filter(isSettings).length === 2);
    client.socket.write(SETTINGS_ACK);
    client.socket.write(Buffer.concat([requestFrame(3, 'localhost', JWT), messageFrame(3)]));
    const bytes = await client.until(answered(3));
    assert.deepEqual([grpcStatus(bytes, 1), grpcStatus(bytes, 3)], ['0', '0'], authority);
    assert.ok(readFrames(bytes).every(({ type }) => type !== TYPE.goaway));
  }
});

test('a refusal before the first message is one HEADERS frame with END_STREAM', async (context) => {
  const { host, path } = await serve(context);
  host.mount(() => {});
  for (const authority of ['localhost', '/a.sock']) {
    const client = rawUnix(context, path);
    const request = requestFrame(1, authority, '/SpiffeWorkloadAPI/None');
    client.socket.write(Buffer.concat([CLIENT_HELLO, request, messageFrame(1)]));
    const bytes = await client.until(answered(1));
    const ours = readFrames(bytes).filter(({ streamId }) => streamId === 1);
    assert.deepEqual(
      ours.map(({ type, flags }) => [type, flags]),
      [[TYPE.headers, 0x5]],
    );
    assert.equal(grpcStatus(bytes, 1), '12');
  }
});

test('a request split at every offset of HEADERS and CONTINUATION is answered', async (context) => {
  const { path } = await serve(context);
  for (const authority of ['localhost', '/tmp/agent.sock']) {
    const block = encodeLiterals(grpcFields(authority, JWT));
    const client = rawUnix(context, path);
    client.socket.write(CLIENT_HELLO);
    for (let at = 0; at <= block.length; at++) {
      const streamId = 2 * at + 1;
      client.socket.write(
        Buffer.concat([
          frame(TYPE.headers, 0, streamId, block.subarray(0, at)),
          frame(TYPE.continuation, 0x4, streamId, block.subarray(at)),
          messageFrame(streamId),
        ]),
      );
      const bytes = await client.until(answered(streamId));
      assert.equal(grpcStatus(bytes, streamId), '0', `${authority} split at ${at}`);
    }
  }
});

const half = frame(TYPE.headers, 0, 5, encodeLiterals(grpcFields('localhost', JWT)));
const HOSTILE: [string, Buffer[]][] = [
  ['CONTINUATION without HEADERS', [frame(TYPE.continuation, 4, 5)]],
  ['PING inside a block', [half, frame(TYPE.ping, 0, 0, Buffer.alloc(8))]],
  ['CONTINUATION of another stream', [half, frame(TYPE.continuation, 4, 7)]],
  [
    'a flood of empty CONTINUATIONs',
    [half, ...Array.from({ length: 5000 }, () => frame(TYPE.continuation, 0, 5))],
  ],
  ['HEADERS on stream 0', [requestFrame(0, 'localhost')]],
  ['HEADERS on an even stream', [requestFrame(2, 'localhost')]],
  ['HEADERS of 16,385 octets', [frame(TYPE.headers, 4, 5, Buffer.alloc(16_385))]],
  ['HEADERS of 16 MiB', [frame(TYPE.headers, 4, 5, Buffer.alloc(2 ** 24 - 1))]],
  ['a block that is broken', [frame(TYPE.headers, 4, 5, Buffer.of(0x80))]],
  ['a size update above 4096', [frame(TYPE.headers, 4, 5, Buffer.of(0x3f, 0xe2, 0x1f, 0x82))]],
  ['padding that does not fit', [frame(TYPE.headers, 0xc, 5, Buffer.of(9, 1))]],
  ['priority cut short', [frame(TYPE.headers, 0x24, 5, Buffer.of(1, 2))]],
  [
    'a stream that depends on itself',
    [frame(TYPE.priority, 0, 5, Buffer.of(0, 0, 0, 5, 1)), frame(TYPE.data, 0, 0)],
  ],
  ['DATA on stream 0', [frame(TYPE.data, 0, 0, Buffer.of(1))]],
  ['DATA on an idle stream', [messageFrame(99)]],
  ['RST of an idle stream', [frame(TYPE.rst, 0, 99, Buffer.alloc(4))]],
  ['SETTINGS of seven octets', [frame(TYPE.settings, 0, 0, Buffer.alloc(7))]],
  ['an ACK with a payload', [frame(TYPE.settings, 1, 0, Buffer.alloc(6))]],
  ['PING of nine octets', [frame(TYPE.ping, 0, 0, Buffer.alloc(9))]],
  ['a window that overflows', [frame(TYPE.windowUpdate, 0, 0, Buffer.of(0x7f, 0xff, 0xff, 0xff))]],
  ['a window update of zero', [frame(TYPE.windowUpdate, 0, 0, Buffer.alloc(4))]],
  ['PUSH_PROMISE', [frame(TYPE.pushPromise, 4, 1, Buffer.of(0, 0, 0, 2, 0x82))]],
];

for (const [name, frames] of HOSTILE) {
  test(`the connection ends on ${name}`, async (context) => {
    const { host, path } = await serve(context);
    for (const authority of ['localhost', '/a.sock']) {
      const client = rawUnix(context, path);
      client.socket.write(CLIENT_HELLO);
      client.socket.write(Buffer.concat([requestFrame(1, authority, JWT), messageFrame(1)]));
      await client.until(answered(1));
      for (const hostile of frames) client.socket.write(hostile);
      client.socket.end();
      await client.closed;
      assert.ok(
        readFrames(client.received()).some(({ type }) => type === TYPE.goaway),
        `${authority}: no GOAWAY`,
      );
    }
    await emptied(host);
    await assertServes(context, path);
  });
}

test('oversized header lists are refused, and the process goes on', async (context) => {
  const { host, path } = await serve(context);
  const bomb = Buffer.concat([
    encodeLiterals(grpcFields('/a.sock', JWT)),
    Buffer.concat([
      Buffer.of(0x40),
      encodeLiterals([{ name: 'n', value: 'v'.repeat(3900) }]).subarray(1),
    ]),
    Buffer.alloc(12_000, 0xbe),
  ]);
  const many = fields(...Array.from({ length: 2000 }, (_, i) => [`h${i}`, ''] as const));
  const blocks = [
    bomb,
    encodeLiterals([...grpcFields('localhost', JWT), ...many]).subarray(0, 16_384),
  ];
  for (const block of blocks) {
    for (const first of ['localhost', '/a.sock']) {
      const client = rawUnix(context, path);
      client.socket.write(
        Buffer.concat([CLIENT_HELLO, requestFrame(1, first, JWT), messageFrame(1)]),
      );
      await client.until(answered(1));
      client.socket.write(frame(TYPE.headers, 0x5, 3, block));
      const ended = (bytes: Buffer): boolean =>
        readFrames(bytes).some(
          (f) => f.type === TYPE.goaway || (f.type === TYPE.rst && f.streamId === 3),
        ) || serverHeaders(bytes).has(3);
      const bytes = await client.until(ended);
      assert.notEqual(grpcStatus(bytes, 3), '0');
      client.socket.destroy();
    }
  }
  await emptied(host);
  await assertServes(context, path);
});

test('stream ids that go back, and paths that are not text, do no harm', async (context) => {
  const { host, path } = await serve(context);
  const paths = ['/\xff\xfe', '*', 'a b', '/\xc3\xa9', `/${'x'.repeat(9000)}`, '//', '/a?b#c'];
  for (const authority of ['localhost', '/a.sock']) {
    for (const bad of paths) {
      const client = rawUnix(context, path);
      client.socket.write(
        Buffer.concat([CLIENT_HELLO, requestFrame(1, authority, bad), messageFrame(1)]),
      );
      await client.until((bytes) => readFrames(bytes).some(({ streamId }) => streamId === 1));
      client.socket.destroy();
    }
    const client = rawUnix(context, path);
    const request = [
      requestFrame(9, authority, JWT),
      messageFrame(9),
      requestFrame(3, authority, JWT),
    ];
    client.socket.write(Buffer.concat([CLIENT_HELLO, ...request, messageFrame(3)]));
    client.socket.end();
    await client.closed;
    assert.equal(grpcStatus(client.received(), 3), undefined);
  }
  await emptied(host);
  await assertServes(context, path);
});

/** Sends requests that are reset at once; answers how many until GOAWAY came, or all. */
async function floodOfResets(client: RawClient, authority: string, most: number): Promise<number> {
  const gone = (bytes: Buffer): boolean =>
    readFrames(bytes).some(({ type }) => type === TYPE.goaway);
  client.socket.write(CLIENT_HELLO);
  let sent = 0;
  while (sent < most) {
    const frames: Buffer[] = [];
    for (let i = 0; i < 100; i++, sent++) {
      const streamId = 2 * sent + 1;
      const reset = frame(TYPE.rst, 0, streamId, Buffer.of(0, 0, 0, 8));
      frames.push(requestFrame(streamId, authority), reset);
    }
    // The answer to the ping says that the server has read the batch.
    const ping = Buffer.alloc(8);
    ping.writeUInt32BE(sent);
    client.socket.write(Buffer.concat([...frames, frame(TYPE.ping, 0, 0, ping)]));
    const isPong = (f: ReadFrame): boolean => f.type === TYPE.ping && f.payload.equals(ping);
    const bytes = await client.until((b) => gone(b) || readFrames(b).some(isPong));
    if (gone(bytes)) return sent;
  }
  return sent;
}

test('resets above the limit end the connection with GOAWAY, below it they do not', async (context) => {
  const { host, path } = await serve(context, { limits: { resetBurst: 400, resetPerSecond: 1 } });
  for (const authority of ['localhost', '/a.sock']) {
    const client = rawUnix(context, path);
    const sent = await floodOfResets(client, authority, 2000);
    assert.ok(sent >= 400 && sent <= 700, `${authority}: ${sent}`);
    client.socket.destroy();
  }
  await emptied(host);
  await assertServes(context, path);
  const patient = await serve(context);
  const client = rawUnix(context, patient.path);
  assert.equal(await floodOfResets(client, 'localhost', 3000), 3000);
});

test('a wrong preface is answered by closing', async (context) => {
  const { host, path } = await serve(context);
  const wrong = Buffer.concat([PREFACE]);
  wrong[5] = 0x58;
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'),
    wrong,
    Buffer.alloc(64, 0x16),
  ]) {
    const client = rawUnix(context, path);
    client.socket.write(bytes);
    await client.closed;
  }
  await emptied(host);
});

test('300 connections of random bytes leave nothing behind', async (context) => {
  const { host, path } = await serve(context);
  const clients: RawClient[] = [];
  for (let i = 0; i < 300; i++) {
    const client = rawUnix(context, path);
    const start = [Buffer.alloc(0), PREFACE, CLIENT_HELLO][i % 3] ?? PREFACE;
    const bad = i % 2 === 0 ? [requestFrame(1, '/a.sock', JWT)] : [];
    client.socket.write(Buffer.concat([start, ...bad, randomBytes(1 + (i % 400))]));
    if (i % 5 === 0) client.socket.end();
    clients.push(client);
  }
  await assertServes(context, path);
  for (const { socket, closed } of clients) {
    socket.destroy();
    await closed;
  }
  await emptied(host);
  await assertServes(context, path);
});

test('a caller cannot pass for another connection by anything it sends', async (context) => {
  const { path } = await serve(context);
  const seen = new Map<string, number>();
  for (let i = 0; i < 40; i++) {
    const authority = i % 2 === 0 ? 'localhost' : '/a.sock';
    const forged = [
      'remote-address',
      'x-forwarded-for',
      'connection-id',
      'signet-connection',
      'peer',
      'host',
    ];
    const list = fields(
      ...grpcFields(authority, JWT).map((f) => [f.name, f.value] as const),
      ...forged.map((name) => [name, 'test-1'] as const),
    );
    const client = rawUnix(context, path);
    client.socket.write(CLIENT_HELLO);
    for (const streamId of [1, 3, 5]) {
      client.socket.write(
        Buffer.concat([
          frame(TYPE.headers, 4, streamId, encodeLiterals(list)),
          messageFrame(streamId),
        ]),
      );
    }
    const bytes = await client.until((b) => [1, 3, 5].every((streamId) => answered(streamId)(b)));
    const ids = new Set([1, 3, 5].map((streamId) => idOf(bytes, streamId)));
    assert.equal(ids.size, 1);
    for (const id of ids) seen.set(id ?? '', (seen.get(id ?? '') ?? 0) + 1);
  }
  assert.equal(seen.size, 40);
});

test('a connection that sends no preface, or one octet at a time, is closed in time', async (context) => {
  const clock = new ManualClock(0);
  const { path } = await serve(context, { clock });
  const silent = rawUnix(context, path);
  const slow = rawUnix(context, path);
  const midHeaders = rawUnix(context, path);
  const repaired = rawUnix(context, path);
  slow.socket.write(PREFACE.subarray(0, 3));
  midHeaders.socket.write(Buffer.concat([CLIENT_HELLO, frame(TYPE.ping, 0, 0, Buffer.alloc(8))]));
  await midHeaders.until((bytes) => readFrames(bytes).some(({ type }) => type === TYPE.ping));
  midHeaders.socket.write(requestFrame(1, 'localhost').subarray(0, 20));
  repaired.socket.write(Buffer.concat([CLIENT_HELLO, requestFrame(1, '/a', JWT), messageFrame(1)]));
  await repaired.until(answered(1));
  repaired.socket.write(
    Buffer.concat([frame(TYPE.ping, 0, 0, Buffer.alloc(8)), requestFrame(3, '/a').subarray(0, 5)]),
  );
  await repaired.until((bytes) =>
    readFrames(bytes).some(({ type, flags }) => type === TYPE.ping && flags === 1),
  );
  const honest = rawUnix(context, path);
  honest.socket.write(
    Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost', JWT), messageFrame(1)]),
  );
  await honest.until(answered(1));
  // The server has taken all of them once it has answered the last.
  clock.advance(10_001);
  for (const client of [silent, slow, midHeaders, repaired]) await client.closed;
  honest.socket.write(Buffer.concat([requestFrame(3, 'localhost', JWT), messageFrame(3)]));
  assert.equal(grpcStatus(await honest.until(answered(3)), 3), '0');
});

test('a call whose message does not arrive in time ends its connection, a bidirectional one waits', async (context) => {
  const clock = new ManualClock(0);
  const { host, path } = await serve(context, { clock });
  serveReflection(host, []);
  const streams = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const dial = async (authority: string, method: string): Promise<RawClient> => {
    const client = rawUnix(context, path);
    client.socket.write(
      Buffer.concat([CLIENT_HELLO, requestFrame(1, authority, JWT), messageFrame(1)]),
    );
    await client.until(answered(1));
    const begun = messageFrame(3, Buffer.alloc(100)).subarray(0, 9 + 20);
    begun.writeUIntBE(20, 0, 3);
    begun.writeUInt8(0, 4);
    client.socket.write(Buffer.concat([requestFrame(3, authority, method), begun]));
    client.socket.write(frame(TYPE.ping, 0, 0, Buffer.alloc(8)));
    await client.until((b) =>
      readFrames(b).some(({ type, flags }) => type === TYPE.ping && flags === 1),
    );
    return client;
  };
  const slow = [await dial('localhost', JWT), await dial('/a.sock', JWT)];
  const patient = await dial('localhost', streams);
  clock.advance(9_999);
  assert.equal(host.connectionCount, 3);
  clock.advance(1);
  for (const client of slow) await client.closed;
  patient.socket.write(Buffer.concat([requestFrame(5, 'localhost', JWT), messageFrame(5)]));
  assert.equal(grpcStatus(await patient.until(answered(5)), 5), '0');
  clock.advance(100_000);
  assert.equal(host.connectionCount, 1);
});

test('a client that spoke HTTP/2 and makes no call is kept, and its pings are answered', async (context) => {
  const clock = new ManualClock(0);
  const { path } = await serve(context, { clock });
  const client = rawUnix(context, path);
  client.socket.write(CLIENT_HELLO);
  await client.until((bytes) => bytes.length >= 9);
  clock.advance(60_000);
  client.socket.write(Buffer.concat([SETTINGS_ACK, frame(TYPE.ping, 0, 0, Buffer.alloc(8, 7))]));
  await client.until((bytes) =>
    readFrames(bytes).some(({ type, flags }) => type === TYPE.ping && flags === 1),
  );
  client.socket.write(Buffer.concat([requestFrame(1, 'localhost', JWT), messageFrame(1)]));
  assert.equal(grpcStatus(await client.until(answered(1)), 1), '0');
});

test('at shutdown a raw stream ends with UNAVAILABLE, as does a call whose message comes late', async (context) => {
  const { host, path } = await serve(context);
  const clients: RawClient[] = [];
  for (const authority of ['localhost', '/a.sock']) {
    const client = rawUnix(context, path);
    const stream = Buffer.concat([CLIENT_HELLO, requestFrame(1, authority), messageFrame(1)]);
    client.socket.write(Buffer.concat([stream, requestFrame(3, authority, JWT)]));
    await client.until((bytes) => serverHeaders(bytes).has(1));
    clients.push(client);
  }
  const stopped = host.shutdown(10_000);
  for (const client of clients) {
    await client.until((bytes) => readFrames(bytes).some(({ type }) => type === TYPE.goaway));
    client.socket.write(messageFrame(3));
    await client.closed;
    assert.equal(grpcStatus(client.received(), 1), '14');
    assert.equal(grpcStatus(client.received(), 3), '14');
  }
  await stopped;
});

test('at shutdown a client that reads nothing is cut off after the grace', async (context) => {
  const big = new Encoded(Buffer.alloc(1024 * 1024));
  for (const authority of ['localhost', '/a.sock']) {
    const host = testHost();
    const full = Promise.withResolvers<void>();
    host.addService(
      SpiffeWorkloadAPIService,
      workloadHandlers({
        fetchX509Bundles: async (_, stream, call) => {
          while (stream.write(big));
          full.resolve();
          await untilAborted(call);
          return ok(undefined);
        },
      }),
    );
    const client = rawUnix(context, (await serveUnix(context, host)).address);
    client.socket.pause();
    const window = Buffer.of(0x7f, 0, 0, 0);
    const request = requestFrame(1, authority, '/SpiffeWorkloadAPI/FetchX509Bundles');
    const wide = [
      frame(TYPE.windowUpdate, 0, 0, window),
      request,
      messageFrame(1),
      frame(TYPE.windowUpdate, 0, 1, window),
    ];
    client.socket.write(Buffer.concat([CLIENT_HELLO, ...wide]));
    await full.promise;
    await host.shutdown(30);
    assert.equal(host.connectionCount, 0);
  }
});

/** HEADERS of a call and all but the last byte of its request. */
function unfinished(streamId: number): Buffer {
  const message = frame(TYPE.data, 0, streamId, Buffer.of(0, 0, 0, 0, 2, 0));
  return Buffer.concat([requestFrame(streamId, 'localhost', JWT), message]);
}

test('calls of one uid that wait for their request are limited, over all its connections', async (context) => {
  const { host, path } = await serve(context, { limits: { maxOpenRequestsPerPeer: 3 } });
  const [first, second] = [rawUnix(context, path), rawUnix(context, path)];
  const two = Buffer.concat([unfinished(1), unfinished(3)]);
  for (const client of [first, second]) client.socket.write(Buffer.concat([CLIENT_HELLO, two]));
  const ends = [first.until(answered(3)), second.until(answered(3))];
  const refused = await Promise.race(ends);
  assert.equal(grpcStatus(refused, 3), '8');
  assert.ok(serverHeaders(refused).get(3)?.includes('signet-error-code: TOO_MANY_OPEN_REQUESTS'));
  assert.equal(grpcStatus(refused, 1), undefined);
  // Each that has sent its request whole makes room for another, each that goes too.
  const last = first.received().length === refused.length ? first : second;
  last.socket.write(frame(TYPE.data, 1, 1, Buffer.of(0)));
  await last.until(answered(1));
  last.socket.write(Buffer.concat([unfinished(5), unfinished(7)]));
  assert.equal(grpcStatus(await last.until(answered(7)), 7), '8');
  assert.equal(grpcStatus(last.received(), 5), undefined);
  first.socket.destroy();
  second.socket.destroy();
  await emptied(host);
  await assertServes(context, path);
});

test('bytes that one uid’s unfinished requests hold are limited, and counted out at their end', async (context) => {
  // Prefix and two bytes each: two fit.
  const { host, path } = await serve(context, { limits: { maxRequestBytesPerPeer: 14 } });
  const client = rawUnix(context, path);
  client.socket.write(Buffer.concat([CLIENT_HELLO, ...[1, 3, 5].map(unfinished)]));
  const refused = await client.until(answered(5));
  assert.equal(grpcStatus(refused, 5), '8');
  assert.ok(serverHeaders(refused).get(5)?.includes('signet-error-code: TOO_MANY_REQUEST_BYTES'));
  assert.equal(grpcStatus(refused, 3), undefined);
  client.socket.write(frame(TYPE.data, 1, 1, Buffer.of(0)));
  await client.until(answered(1));
  client.socket.write(Buffer.concat([unfinished(7), unfinished(9)]));
  assert.equal(grpcStatus(await client.until(answered(9)), 9), '8');
  assert.equal(grpcStatus(client.received(), 7), undefined);
  client.socket.destroy();
  await emptied(host);
  const next = rawUnix(context, path);
  next.socket.write(Buffer.concat([CLIENT_HELLO, ...[1, 3, 5].map(unfinished)]));
  const again = await next.until(answered(5));
  assert.equal(grpcStatus(again, 3), undefined);
});

test('1,000 streams of one uid are open at once, each begun before the first request', async (context) => {
  const { path } = await serve(context, { limits: { maxStreamsPerConnection: 100 } });
  const clients = Array.from({ length: 10 }, () => rawUnix(context, path));
  const ids = Array.from({ length: 100 }, (_, index) => 2 * index + 1);
  const stream = '/SpiffeWorkloadAPI/FetchX509SVID';
  const ping = frame(TYPE.ping, 0, 0, Buffer.alloc(8));
  const hasPing = (bytes: Buffer): boolean =>
    readFrames(bytes).some(({ type }) => type === TYPE.ping);
  for (const { socket } of clients) {
    const requests = ids.map((id) => requestFrame(id, 'localhost', stream));
    socket.write(Buffer.concat([CLIENT_HELLO, ...requests, ping]));
  }
  await Promise.all(clients.map((client) => client.until(hasPing)));
  for (const { socket } of clients) socket.write(Buffer.concat(ids.map((id) => messageFrame(id))));
  for (const client of clients) {
    const bytes = await client.until(
      (all) => readFrames(all).filter(({ type }) => type === TYPE.data).length === ids.length,
    );
    for (const id of ids) assert.equal(grpcStatus(bytes, id), undefined);
  }
});

test('the limit of streams is told to the client', async (context) => {
  const { path } = await serve(context, { limits: { maxStreamsPerConnection: 7 } });
  const client = rawUnix(context, path);
  client.socket.write(
    Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost', JWT), messageFrame(1)]),
  );
  const [settings] = readFrames(await client.until(answered(1)));
  assert.equal(settings?.type, TYPE.settings);
  const values = settings?.payload ?? Buffer.alloc(0);
  const ids = Array.from({ length: values.length / 6 }, (_, i) => values.readUInt16BE(6 * i));
  assert.equal(values.readUInt32BE(6 * ids.indexOf(3) + 2), 7);
});

test('metadata that no metadata may be reaches neither stderr nor the log', async (context) => {
  const printed = context.mock.method(console, 'error', () => {});
  const { path } = await serve(context);
  const client = rawUnix(context, path);
  const list = [...grpcFields('localhost', JWT), ...fields(['x!secret', 'token-of-mine'])];
  client.socket.write(
    Buffer.concat([CLIENT_HELLO, frame(TYPE.headers, 4, 1, encodeLiterals(list)), messageFrame(1)]),
  );
  assert.equal(grpcStatus(await client.until(answered(1)), 1), '0');
  assert.equal(printed.mock.callCount(), 0);
});
