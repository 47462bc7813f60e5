import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import {
  type AgentMessage,
  AgentSyncService,
  type ServerMessage,
} from '../../src/gen/signet/agent/v1/agent.ts';
import type { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import type { ResponseStream } from '../../src/rpc/service.ts';
import { settle, wireEntry } from '../../test/support/agent-ca.ts';
import { startScriptedServer } from '../../test/support/scripted-server.ts';
import { isUnimplemented } from '../attestation/server-call.ts';
import { createClockOffset } from './clock-offset.ts';
import type { SyncSink } from './identities.ts';
import { type FeedPosition, followPush, type PushEnd } from './push-sync.ts';

const NOW_MS = Date.UTC(2030, 0, 1);

/** Everything that a stream did to the identities, as text. */
class Recorder implements SyncSink {
  readonly heard: string[] = [];

  replaceEntries(entries: readonly Entry[]): void {
    this.heard.push(`replace ${entries.map(({ id }) => id).join()}`);
  }
  changeEntries(upserts: readonly Entry[], deletedIds: readonly string[]): void {
    this.heard.push(`change +${upserts.map(({ id }) => id).join()} -${deletedIds.join()}`);
  }
  setBundle({ trustDomain, sequenceNumber }: WireBundle): void {
    this.heard.push(`bundle ${trustDomain} ${sequenceNumber}`);
  }
  keepFederated(): void {}
  taint(keyIds: ReadonlySet<string>): void {
    this.heard.push(`taint ${[...keyIds].join()}`);
  }
  setCrl(der: Uint8Array): void {
    this.heard.push(`crl ${der.length}`);
  }
  revoke(serials: ReadonlySet<string>): void {
    this.heard.push(`revoke ${[...serials].join()}`);
  }
  quarantine(active: boolean): void {
    this.heard.push(`quarantine ${active}`);
  }
  synchronised(): void {
    this.heard.push('synchronised');
  }
}

/** A push server whose stream the test writes, and a follower of it. */
async function setUp(
  context: TestContext,
  position: Partial<FeedPosition> = {},
  onFresh: (abort: AbortController) => void = () => {},
) {
  const server = await startScriptedServer(context);
  const received: AgentMessage['kind'][] = [];
  let stream: ResponseStream<ServerMessage> | undefined;
  let end: ((result: Result<void>) => void) | undefined;
  server.serve(AgentSyncService, {
    sync: async (requests, answers) => {
      stream = answers;
      const ended = new Promise<Result<void>>((resolve) => {
        end = resolve;
      });
      void (async () => {
        for await (const { kind } of requests) received.push(kind);
      })();
      return ended;
    },
  });
  const sink = new Recorder();
  const at: FeedPosition = {
    feedId: '',
    revision: 0n,
    bundleSequence: 0n,
    crlNumber: 0n,
    quarantined: false,
    ...position,
  };
  const offset = createClockOffset();
  const abort = new AbortController();
  const done: Promise<PushEnd> = followPush(
    {
      client: server.clients().sync,
      sink,
      position: at,
      version: 'test/1',
      trustDomainName: 'example.org',
      clock: new ManualClock(NOW_MS),
      offset,
      onFresh: () => onFresh(abort),
      onReattest: (reason) => sink.heard.push(`reattest ${reason}`),
      onRebalance: (seconds) => sink.heard.push(`rebalance ${seconds}`),
      onQuarantine: () => {},
    },
    abort.signal,
  );
  await settle(() => received.length > 0);
  const send = async (kind: ServerMessage['kind']): Promise<void> => {
    const before = sink.heard.length;
    stream?.write({ kind });
    await settle(() => sink.heard.length > before);
  };
  return { received, sink, at, offset, abort, done, send, end: (r: Result<void>) => end?.(r) };
}

function snapshot(ids: readonly string[], last: boolean): ServerMessage['kind'] {
  const entries = ids.map((id) => wireEntry(id));
  const value = {
    feedId: 'feed',
    revision: 7n,
    entries,
    last,
    serverTimeMs: BigInt(NOW_MS + 9000),
  };
  return { $case: 'snapshot', value };
}

test('the first message says how far the feed was followed', async (context) => {
  const { received } = await setUp(context, { feedId: 'f', revision: 3n, bundleSequence: 5n });
  assert.deepEqual(received[0], {
    $case: 'hello',
    value: {
      feedId: 'f',
      revision: 3n,
      bundleSequence: 5n,
      agentVersion: 'test/1',
      crlNumber: 0n,
      quarantined: false,
    },
  });
});

test('a snapshot counts when its last part has come, and is acknowledged then', async (context) => {
  const { sink, at, offset, received, send } = await setUp(context);
  await Promise.race([send(snapshot(['a', 'b'], false)), new Promise(setImmediate)]);
  assert.deepEqual(sink.heard, []);
  assert.equal(at.revision, 0n);
  await send(snapshot(['c'], true));
  assert.deepEqual(sink.heard, ['replace a,b,c', 'synchronised']);
  assert.deepEqual([at.feedId, at.revision], ['feed', 7n]);
  assert.equal(offset.ms, 9000);
  assert.equal(offset.explain(), " (the clock of this machine is 9 s behind the server's)");
  await settle(() => received.length === 2);
  assert.deepEqual(received[1], { $case: 'ack', value: { bundleSequence: 0n, revision: 7n } });
});

test('a snapshot that breaks off takes no identity away, and is not resumed from', async (context) => {
  const { sink, at, done, send, end } = await setUp(context);
  await Promise.race([send(snapshot(['a'], false)), new Promise(setImmediate)]);
  end(fail('AGENT_SERVER_UNAVAILABLE', 'planted'));
  assert.equal((await done)?.code, 'AGENT_SERVER_UNAVAILABLE');
  assert.deepEqual(sink.heard, []);
  assert.deepEqual(at, {
    feedId: '',
    revision: 0n,
    bundleSequence: 0n,
    crlNumber: 0n,
    quarantined: false,
  });
});

test('each kind of message does what it says', async (context) => {
  const { sink, at, received, send } = await setUp(context, { feedId: 'f', revision: 1n });
  await send({
    $case: 'delta',
    value: { upserts: [wireEntry('a')], deletedIds: ['b'], revision: 2n },
  });
  const bundle = {
    x509Authorities: [],
    jwtAuthorities: [],
    witAuthorities: [],
    refreshHint: 0n,
    sequenceNumber: 2n ** 53n + 1n,
  };
  await send({ $case: 'bundle', value: { ...bundle, trustDomain: 'example.org' } });
  await send({
    $case: 'bundle',
    value: { ...bundle, trustDomain: 'other.org', sequenceNumber: 1n },
  });
  await send({ $case: 'taint', value: { subjectKeyIds: [Buffer.from('aabb', 'hex')] } });
  await send({ $case: 'revoke', value: { serialNumbers: ['12345678901234567890'] } });
  await send({ $case: 'quarantine', value: { active: true, reason: 'x' } });
  await send({ $case: 'reattest', value: { reason: 'firmware' } });
  await send({ $case: 'rebalance', value: { withinSeconds: 30 } });
  assert.deepEqual(sink.heard, [
    'change +a -b',
    'synchronised',
    `bundle example.org ${2n ** 53n + 1n}`,
    'bundle other.org 1',
    'taint aabb',
    'revoke 12345678901234567890',
    'quarantine true',
    'reattest firmware',
    'rebalance 30',
  ]);
  assert.deepEqual(at, {
    feedId: 'f',
    revision: 2n,
    bundleSequence: 2n ** 53n + 1n,
    crlNumber: 0n,
    quarantined: true,
  });
  const last = received.at(-1);
  assert.deepEqual(last, {
    $case: 'ack',
    value: { bundleSequence: at.bundleSequence, revision: 2n },
  });
});

test('an aborted stream applies nothing more', async (context) => {
  const { sink, done, send, abort } = await setUp(context);
  abort.abort();
  await Promise.race([send(snapshot(['a'], true)), new Promise(setImmediate)]);
  assert.equal(await done, undefined);
  assert.deepEqual(sink.heard, []);
});

test('a stream that is aborted by its own message applies none of those behind it', async (context) => {
  const { sink, done, send } = await setUp(context, {}, (abort) => abort.abort());
  void send(snapshot(['a'], true));
  void send(snapshot(['b'], true));
  void send(snapshot(['c'], true));
  assert.equal(await done, undefined);
  assert.deepEqual(sink.heard, ['replace a', 'synchronised']);
});

test('a stream that the server ends without a reason is no error', async (context) => {
  const { done, end } = await setUp(context);
  end(ok(undefined));
  assert.equal(await done, undefined);
});

test('a server without push says so', async (context) => {
  const server = await startScriptedServer(context);
  const end = await followPush(
    {
      client: server.clients().sync,
      sink: new Recorder(),
      position: { feedId: '', revision: 0n, bundleSequence: 0n, crlNumber: 0n, quarantined: false },
      version: '',
      trustDomainName: 'example.org',
      clock: new ManualClock(NOW_MS),
      offset: createClockOffset(),
      onFresh: () => {},
      onReattest: () => {},
      onRebalance: () => {},
      onQuarantine: () => {},
    },
    new AbortController().signal,
  );
  assert.ok(end !== undefined && isUnimplemented(end));
});
