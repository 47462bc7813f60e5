import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { serveUnix, testHost, untilAborted, workloadHandlers } from '../../test/support/rpc.ts';
import { ManualClock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import { fail, ok } from '../base/result.ts';
import { Status } from '../gen/google/rpc/status.ts';
import {
  ServerReflectionClient,
  type ServerReflectionRequest,
  ServerReflectionService,
} from '../gen/grpc/reflection/v1/reflection.ts';
import {
  JWTSVIDResponse,
  SpiffeWorkloadAPIClient,
  SpiffeWorkloadAPIService,
} from '../gen/workload.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { openUnixChannel } from './channel.ts';
import type { RpcHost } from './host.ts';
import { type CallContext, Encoded } from './service.ts';
import { withStatusDetails } from './status.ts';

type Handlers = ReturnType<typeof workloadHandlers>;

async function serve(
  context: TestContext,
  replaced: Partial<Handlers>,
  host: RpcHost = testHost(),
): Promise<SpiffeWorkloadAPIClient> {
  host.addService(SpiffeWorkloadAPIService, workloadHandlers(replaced));
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  return channel.client(SpiffeWorkloadAPIClient);
}

type Unary = { error?: ServiceError; value?: JWTSVIDResponse; headers: Metadata | undefined };

function fetchJwt(
  client: SpiffeWorkloadAPIClient,
  audience: string[] = ['a'],
  metadata = new Metadata(),
): Promise<Unary> {
  return new Promise((resolve) => {
    let headers: Metadata | undefined;
    const call = client.fetchJwtsvid({ audience, spiffeId: '' }, metadata, (error, value) =>
      resolve({ ...(error ? { error } : { value }), headers }),
    );
    call.on('metadata', (received) => {
      headers = received;
    });
  });
}

test('a value is the answer, and encoded bytes go out as they are', async (context) => {
  const message = { svids: [{ spiffeId: 'x', svid: 'shared', hint: '' }] };
  const shared = new Encoded(Buffer.from(JWTSVIDResponse.encode(message).finish()));
  const client = await serve(context, {
    fetchJwtsvid: ({ audience }) => ok(audience[0] === 'shared' ? shared : { svids: [] }),
  });
  assert.deepEqual((await fetchJwt(client)).value, { svids: [] });
  assert.deepEqual((await fetchJwt(client, ['shared'])).value, message);
});

test('a refusal travels as status, message, code and details, without early headers', async (context) => {
  const client = await serve(context, {
    fetchJwtsvid: () => {
      const refusal = fail('RATE_LIMITED', 'grüße: "100 %"\nnext', { status: 'PermissionDenied' });
      withStatusDetails(refusal.error, 'type.googleapis.com/a.B', Buffer.of(8, 4));
      return refusal;
    },
  });
  const { error } = await fetchJwt(client);
  assert.equal(error?.code, status.PERMISSION_DENIED);
  assert.equal(error?.details, 'grüße: "100 %"\nnext');
  assert.deepEqual(error?.metadata.get('signet-error-code'), ['RATE_LIMITED']);
  const [bytes] = error?.metadata.get('grpc-status-details-bin') ?? [];
  const details = Status.decode(bytes as Buffer);
  assert.equal(details.code, status.PERMISSION_DENIED);
  assert.deepEqual(details.details, [
    { typeUrl: 'type.googleapis.com/a.B', value: Buffer.of(8, 4) },
  ]);
});

test('what a handler throws is INTERNAL with safe text, or the refusal it threw', async (context) => {
  const client = await serve(context, {
    fetchJwtsvid: ({ audience }) => {
      if (audience[0] === 'coded') throw new SignetError('RATE_LIMITED', 'slow down');
      throw new TypeError('secret of the inside');
    },
    validateJwtsvid: () => Promise.reject(new TypeError('secret of the inside')),
  });
  const thrown = (await fetchJwt(client)).error;
  assert.equal(thrown?.code, status.INTERNAL);
  assert.ok(!thrown?.message.includes('secret'));
  assert.equal((await fetchJwt(client, ['coded'])).error?.code, status.RESOURCE_EXHAUSTED);
  const rejected = await new Promise<ServiceError | null>((resolve) => {
    client.validateJwtsvid({ audience: '', svid: '' }, resolve);
  });
  assert.equal(rejected?.code, status.INTERNAL);
});

test('a text that no status can carry is made one that it can', async (context) => {
  const client = await serve(context, {
    fetchJwtsvid: () => fail('RATE_LIMITED', `\ud800${'x'.repeat(5000)}`),
  });
  const { error } = await fetchJwt(client);
  assert.equal(error?.code, status.RESOURCE_EXHAUSTED);
  assert.equal(error?.details.length, 2048);
});

test('guards judge in order before the message is decoded, and a refusal keeps the handler out', async (context) => {
  const seen: string[] = [];
  const host = testHost({
    guards: [
      ({ method }) => {
        seen.push(`first ${method}`);
        return ok(undefined);
      },
      async ({ metadata }) =>
        metadata.get('pass')[0] === 'yes' ? ok(undefined) : fail('RATE_LIMITED', 'guarded'),
    ],
  });
  const client = await serve(
    context,
    {
      fetchJwtsvid: () => {
        seen.push('handler');
        return ok({ svids: [] });
      },
    },
    host,
  );
  const garbage = (metadata: Metadata): Promise<ServiceError | null> =>
    new Promise((resolve) => {
      const raw = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(
        '/SpiffeWorkloadAPI/FetchJWTSVID',
        raw,
        raw,
        Buffer.of(0xff, 0xff),
        metadata,
        resolve,
      );
    });
  assert.equal((await garbage(new Metadata()))?.details, 'guarded');
  const pass = new Metadata();
  pass.set('pass', 'yes');
  const malformed = await garbage(pass);
  assert.equal(malformed?.code, status.INVALID_ARGUMENT);
  assert.deepEqual(malformed?.metadata.get('signet-error-code'), ['REQUEST_MALFORMED']);
  assert.equal((await fetchJwt(client, [], pass)).error, undefined);
  const first = 'first /SpiffeWorkloadAPI/FetchJWTSVID';
  assert.deepEqual(seen, [first, first, first, 'handler']);
});

test('a message over the limit is RESOURCE_EXHAUSTED, one of the limit is taken', async (context) => {
  const client = await serve(context, {}, testHost({ limits: { maxReceiveBytes: 1000 } }));
  // Two octets of tag and three of length around the text.
  const ofSize = (bytes: number): string[] => ['a'.repeat(bytes - 3)];
  assert.equal((await fetchJwt(client, ofSize(1000))).error, undefined);
  const { error } = await fetchJwt(client, ofSize(1001));
  assert.equal(error?.code, status.RESOURCE_EXHAUSTED);
  assert.deepEqual(error?.metadata.get('signet-error-code'), ['MESSAGE_TOO_LONG']);
});

test('an unknown method is UNIMPLEMENTED, whatever its path holds', async (context) => {
  const client = await serve(context, {});
  const raw = (bytes: Buffer): Buffer => bytes;
  for (const path of ['/No/Method', `/${'a'.repeat(8000)}`, '/%00%ff"<>']) {
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest(path, raw, raw, Buffer.alloc(0), resolve);
    });
    assert.equal(error?.code, status.UNIMPLEMENTED, path);
    assert.deepEqual(error?.metadata.get('signet-error-code'), ['METHOD_UNKNOWN']);
    assert.equal(error?.details, 'the method is not served here');
  }
});

test('a service with a method that has no handler is a programming error', () => {
  const handlers = { ...workloadHandlers(), fetchJwtsvid: undefined } as unknown as Handlers;
  assert.throws(() => testHost().addService(SpiffeWorkloadAPIService, handlers), TypeError);
});

test("the caller's cancelling aborts the signal and ends what the stream waits for", async (context) => {
  const began = Promise.withResolvers<CallContext>();
  const client = await serve(context, {
    fetchX509Bundles: async (_, stream, call) => {
      stream.write({ crl: [], bundles: {} });
      began.resolve(call);
      await untilAborted(call);
      assert.equal(stream.write({ crl: [], bundles: {} }), true);
      await stream.drained();
      return ok(undefined);
    },
  });
  const call = client.fetchX509Bundles({});
  call.on('error', () => {});
  await once(call, 'data');
  const { signal } = await began.promise;
  assert.equal(signal.aborted, false);
  call.cancel();
  await once(signal, 'abort');
});

test("the caller's deadline aborts the signal", async (context) => {
  const aborted = Promise.withResolvers<void>();
  const client = await serve(context, {
    fetchX509Bundles: async (_, _stream, call) => {
      await untilAborted(call);
      aborted.resolve();
      return ok(undefined);
    },
  });
  const call = client.fetchX509Bundles({}, { deadline: Date.now() + 30 });
  call.on('error', () => {});
  await aborted.promise;
});

test('a reader that takes nothing makes write answer false, and its connection ends', async (context) => {
  const clock = new ManualClock(0);
  const stalled = Promise.withResolvers<number>();
  const big = new Encoded(Buffer.alloc(1024 * 1024));
  let ended = false;
  const client = await serve(
    context,
    {
      fetchX509Bundles: async (_, stream, call) => {
        call.connection.onClose(() => {
          ended = true;
        });
        let written = 1;
        while (stream.write(big)) written++;
        const drained = stream.drained();
        stalled.resolve(written);
        await drained;
        return ok(undefined);
      },
    },
    testHost({ clock, limits: { stalledWriteMs: 5000 } }),
  );
  const call = client.fetchX509Bundles({});
  call.pause();
  assert.equal(await stalled.promise, 2);
  clock.advance(4999);
  assert.equal(ended, false);
  clock.advance(1);
  call.resume();
  const [error] = await once(call, 'error');
  assert.equal(error.code, status.UNAVAILABLE);
});

test('a stream whose reader keeps up drains', async (context) => {
  const client = await serve(context, {
    fetchX509Bundles: async (_, stream) => {
      for (let i = 0; i < 50; i++) {
        stream.write({ crl: [Buffer.alloc(10_000)], bundles: {} });
        await stream.drained();
      }
      return ok(undefined);
    },
  });
  let messages = 0;
  const call = client.fetchX509Bundles({});
  call.on('data', () => messages++);
  await once(call, 'end');
  assert.equal(messages, 50);
});

test('a bidirectional call reads one request at a time and ends with the half-close', async (context) => {
  const read: string[] = [];
  const gate = Promise.withResolvers<void>();
  const host = testHost();
  host.addService(ServerReflectionService, {
    serverReflectionInfo: async (requests, stream) => {
      for await (const request of requests) {
        read.push(request.host);
        if (read.length === 1) await gate.promise;
        stream.write({
          validHost: request.host,
          originalRequest: undefined,
          messageResponse: undefined,
        });
      }
      return ok(undefined);
    },
  });
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  const call = channel.client(ServerReflectionClient).serverReflectionInfo();
  const request = (name: string): ServerReflectionRequest => ({
    host: name,
    messageRequest: undefined,
  });
  for (const name of ['a', 'b', 'c']) call.write(request(name));
  call.end();
  const answers: string[] = [];
  call.on('data', ({ validHost }) => answers.push(validHost));
  gate.resolve();
  await once(call, 'end');
  assert.deepEqual(
    [read, answers],
    [
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ],
  );
});

test('a malformed message in a bidirectional call ends it with REQUEST_MALFORMED', async (context) => {
  const host = testHost();
  host.addService(ServerReflectionService, {
    serverReflectionInfo: async (requests) => {
      for await (const _ of requests);
      return ok(undefined);
    },
  });
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  const raw = (bytes: Buffer): Buffer => bytes;
  const { path } = ServerReflectionService.serverReflectionInfo;
  const call = channel.client(ServerReflectionClient).makeBidiStreamRequest(path, raw, raw);
  call.resume();
  call.write(Buffer.of(0xff, 0xff));
  const [error] = await once(call, 'error');
  assert.deepEqual(error.metadata.get('signet-error-code'), ['REQUEST_MALFORMED']);
});

test('a message over the limit ends a call that was answered before with its code', async (context) => {
  const host = testHost({ limits: { maxReceiveBytes: 1000 } });
  host.addService(ServerReflectionService, {
    serverReflectionInfo: async (requests, stream) => {
      for await (const { host: name } of requests) {
        stream.write({ validHost: name, originalRequest: undefined, messageResponse: undefined });
      }
      return ok(undefined);
    },
  });
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  const call = channel.client(ServerReflectionClient).serverReflectionInfo();
  const ended = once(call, 'error');
  call.write({ host: 'a', messageRequest: undefined });
  const [answer] = await once(call, 'data');
  assert.equal(answer.validHost, 'a');
  call.resume();
  call.write({ host: 'a'.repeat(1001), messageRequest: undefined });
  call.write({ host: 'b', messageRequest: undefined });
  const [error] = await ended;
  assert.equal(error.code, status.RESOURCE_EXHAUSTED);
  assert.deepEqual(error.metadata.get('signet-error-code'), ['MESSAGE_TOO_LONG']);
});

test('shutdown ends open streams with UNAVAILABLE, and calls that wait', async (context) => {
  const host = testHost();
  const waiting = Promise.withResolvers<CallContext>();
  const client = await serve(
    context,
    {
      fetchJwtsvid: (_, call) => {
        waiting.resolve(call);
        return new Promise(() => {});
      },
    },
    host,
  );
  const stream = client.fetchX509Svid({});
  await once(stream, 'data');
  stream.resume();
  const unary = fetchJwt(client);
  const { signal } = await waiting.promise;
  const ended = once(stream, 'error');
  await host.shutdown(5000);
  const [error] = await ended;
  assert.equal(error.code, status.UNAVAILABLE);
  assert.deepEqual(error.metadata.get('signet-error-code'), ['SERVER_STOPPING']);
  assert.equal((await unary).error?.code, status.UNAVAILABLE);
  assert.equal(signal.aborted, true);
  assert.equal(host.connectionCount, 0);
});

test('the connection is one and the same for all calls on it, with room for notes', async (context) => {
  const notes = Symbol('notes');
  const ids = new Set<string>();
  const client = await serve(context, {
    fetchJwtsvid: (_, { connection }) => {
      ids.add(connection.id);
      const count = Number(connection.memo.get(notes) ?? 0) + 1;
      connection.memo.set(notes, count);
      return ok({ svids: [{ spiffeId: '', svid: String(count), hint: '' }] });
    },
  });
  await fetchJwt(client);
  assert.equal((await fetchJwt(client)).value?.svids[0]?.svid, '2');
  assert.equal(ids.size, 1);
});

test('calls are counted by method and status', async (context) => {
  const metrics = createMetrics('t');
  const client = await serve(
    context,
    {
      fetchJwtsvid: ({ audience }) =>
        audience.length > 0 ? ok({ svids: [] }) : fail('RATE_LIMITED', ''),
    },
    testHost({ metrics }),
  );
  await fetchJwt(client);
  await fetchJwt(client, []);
  const text = await metrics.registry.metrics();
  const method = 'method="/SpiffeWorkloadAPI/FetchJWTSVID"';
  assert.ok(text.includes(`t_rpc_calls_total{${method},code="OK"} 1`));
  assert.ok(text.includes(`t_rpc_calls_total{${method},code="ResourceExhausted"} 1`));
  assert.ok(text.includes(`t_rpc_seconds_count{${method}} 1`));
  assert.ok(text.includes(`t_rpc_open_calls{${method}} 0`));
  assert.ok(text.includes('t_connections_open{listener="test"} 1'));
});
