import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { ManualClock } from '../../src/base/clock.ts';
import { encodePem } from '../../src/der/pem.ts';
import {
  type AgentMessage,
  AgentSyncService,
  type Hello,
  type ServerMessage,
} from '../../src/gen/signet/agent/v1/agent.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { messageFrame } from '../support/http2-frames.ts';
import {
  ask,
  assertStatus,
  open,
  type TestAgent,
  TestServer,
  TRUST_DOMAIN,
  wireEntry,
} from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

const OFF = { perSecond: 0 };
const limits = {
  attestation: OFF,
  anonymousConnections: OFF,
  agentCalls: OFF,
  batchEntries: 10_000,
};
const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });

type Kind = NonNullable<ServerMessage['kind']>;
type Value<C extends Kind['$case']> = Extract<Kind, { $case: C }>['value'];

/** A push stream from the agent's side. */
class Stream {
  readonly call: ClientDuplexStream<AgentMessage, ServerMessage>;
  readonly #answers: AsyncIterator<ServerMessage>;

  constructor(call: ClientDuplexStream<AgentMessage, ServerMessage>) {
    this.call = call;
    this.#answers = call[Symbol.asyncIterator]();
  }

  static async open(server: TestServer, agent: TestAgent, hello: Partial<Hello> = {}) {
    const stream = new Stream(open(await server.tcp(agent), AgentSyncService.sync));
    const value = {
      feedId: '',
      revision: 0n,
      bundleSequence: 0n,
      agentVersion: '1.0',
      crlNumber: 0n,
      quarantined: false,
      ...hello,
    };
    stream.call.write({ kind: { $case: 'hello', value } });
    return stream;
  }

  async next<C extends Kind['$case']>(kind: C): Promise<Value<C>> {
    const { value } = await this.#answers.next();
    assert.equal(value?.kind?.$case, kind);
    return value.kind.value;
  }

  async end(): Promise<void> {
    for (let next = await this.#answers.next(); !next.done; next = await this.#answers.next());
  }
}

describe('push', () => {
  let server: TestServer;
  before(async () => {
    server = await TestServer.start({ limits });
  });
  after(() => server.stop());

  test('starts with all entries, without their parent, and the bundle; then sends what changes', async () => {
    const agent = await server.attest();
    const first = await server.register({ spiffeId: td('/a'), parentId: td(agent.path) });
    const stream = await Stream.open(server, agent);
    const snapshot = await stream.next('snapshot');
    assert.deepEqual(snapshot.entries, [{ ...first, parentId: undefined }]);
    assert.equal(snapshot.last, true);
    assert.ok(snapshot.feedId !== '' && snapshot.serverTimeMs > 0n);
    const bundle = await stream.next('bundle');
    assert.equal(bundle.x509Authorities.length, 1);

    const second = await server.register({ spiffeId: td('/b'), parentId: td(agent.path) });
    const created = await stream.next('delta');
    assert.deepEqual(created.upserts, [{ ...second, parentId: undefined }]);
    assert.ok(created.revision > snapshot.revision);
    await ask(server.admin(), EntryService.batchDeleteEntry, { ids: [first.id] });
    const deleted = await stream.next('delta');
    assert.deepEqual([deleted.upserts, deleted.deletedIds], [[], [first.id]]);
    stream.call.end();
    await stream.end();
  });

  test('goes on where the agent was, with a delta and without the bundle', async () => {
    const agent = await server.attest();
    const stream = await Stream.open(server, agent);
    const snapshot = await stream.next('snapshot');
    const bundle = await stream.next('bundle');
    stream.call.end();
    await stream.end();
    const entry = await server.register({ spiffeId: td('/resume'), parentId: td(agent.path) });
    const position = {
      feedId: snapshot.feedId,
      revision: snapshot.revision,
      bundleSequence: bundle.sequenceNumber,
    };
    const again = await Stream.open(server, agent, position);
    const delta = await again.next('delta');
    assert.deepEqual(
      delta.upserts.map(({ id }) => id),
      [entry.id],
    );
    const foreign = await Stream.open(server, agent, { ...position, feedId: 'another' });
    assert.deepEqual(
      (await foreign.next('snapshot')).entries.map(({ id }) => id),
      [entry.id],
    );
    foreign.call.cancel();
  });

  test('an agent that resumes where nothing changed gets an empty delta', async () => {
    const agent = await server.attest();
    const stream = await Stream.open(server, agent);
    const { feedId, revision } = await stream.next('snapshot');
    const again = await Stream.open(server, agent, { feedId, revision });
    const delta = await again.next('delta');
    assert.deepEqual([delta.upserts, delta.deletedIds], [[], []]);
    again.call.cancel();
  });

  test('another stream of the same agent replaces the one before', async () => {
    const agent = await server.attest();
    const stream = await Stream.open(server, agent);
    await stream.next('snapshot');
    const other = await Stream.open(server, agent);
    await other.next('snapshot');
    await stream.next('bundle');
    await assertStatus(stream.end(), 'SYNC_REPLACED');
    other.call.cancel();
  });

  test('a snapshot above 1 MiB comes in chunks, of which only the last says so', async () => {
    const agent = await server.attest();
    const entries = Array.from({ length: 700 }, (_, index) =>
      wireEntry({
        spiffeId: td(`/big/${index}`),
        parentId: td(agent.path),
        selectors: [{ type: 'x', value: 'v'.repeat(4000) }],
      }),
    );
    await ask(server.admin(), EntryService.batchCreateEntry, { entries, outputMask: undefined });
    const stream = await Stream.open(server, agent);
    const sizes: number[] = [];
    const seen = new Set<string>();
    for (let last = false; !last; ) {
      const chunk = await stream.next('snapshot');
      last = chunk.last;
      sizes.push(chunk.entries.reduce((sum, { selectors }) => sum + selectors[0]!.value.length, 0));
      for (const { id } of chunk.entries) seen.add(id);
    }
    assert.equal(seen.size, 700);
    assert.ok(sizes.length >= 3 && sizes.every((size) => size <= 1024 * 1024), `${sizes}`);
    stream.call.cancel();
  });

  test('D6 a reader that reads nothing is sent the newest state, not every step to it', async () => {
    const agent = await server.attest();
    const stream = await Stream.open(server, agent);
    await stream.next('snapshot');
    await stream.next('bundle');
    stream.call.pause();
    const big = { selectors: [{ type: 'x', value: 'v'.repeat(4000) }], parentId: td(agent.path) };
    const entry = await server.register({ spiffeId: td('/slow'), ...big });
    const extra = Array.from({ length: 250 }, (_, index) =>
      wireEntry({ ...big, spiffeId: td(`/slow/${index}`) }),
    );
    await ask(server.admin(), EntryService.batchCreateEntry, {
      entries: extra,
      outputMask: undefined,
    });
    const steps = 60;
    for (let step = 1; step <= steps; step++) {
      const changed = [...extra.slice(0, 0), wireEntry({ ...entry, hint: `step ${step}` })];
      await ask(server.admin(), EntryService.batchUpdateEntry, {
        entries: changed,
        inputMask: undefined,
        outputMask: undefined,
      });
    }
    const hints: string[] = [];
    for (let hint = ''; hint !== `step ${steps}`; ) {
      const { upserts } = await stream.next('delta');
      hint = upserts.find(({ id }) => id === entry.id)?.hint ?? hint;
      hints.push(hint);
    }
    assert.equal(hints.at(-1), `step ${steps}`);
    stream.call.cancel();
  });

  test('a ban ends the stream with PermissionDenied, an eviction too', async () => {
    for (const [method, code] of [
      [AgentService.banAgent, 'AGENT_BANNED'],
      [AgentService.deleteAgent, 'AGENT_NOT_ATTESTED'],
    ] as const) {
      const agent = await server.attest();
      const stream = await Stream.open(server, agent);
      await stream.next('snapshot');
      await stream.next('bundle');
      await ask(server.admin(), method, { id: td(agent.path) });
      const error = await assertStatus(stream.end(), code);
      assert.ok(error.metadata.get('grpc-status-details-bin').length === 1);
    }
  });

  test('the stream of an SVID that was replaced ends when the new one is used', async () => {
    const agent = await server.attest();
    const stream = await Stream.open(server, agent);
    await stream.next('snapshot');
    await stream.next('bundle');
    const key = makeKey();
    const csr = Buffer.from(makeCsr({ key }));
    const client = await server.tcp(agent);
    const { svid } = await ask(client, AgentService.renewAgent, { params: { csr } });
    const renewed = await server.tcp({ key, chain: svid!.certChain });
    await ask(renewed, AgentService.postStatus, { currentBundleSerial: 0n, agentVersion: '2' });
    await assertStatus(stream.end(), 'AGENT_NOT_ACTIVE');
    const id = td(agent.path);
    const { agentVersion } = await ask(server.admin(), AgentService.getAgent, {
      id,
      outputMask: undefined,
    });
    assert.equal(agentVersion, '2');
  });

  const wrong: readonly (readonly [string, readonly AgentMessage[]])[] = [
    ['an Ack first', [{ kind: { $case: 'ack', value: { bundleSequence: 1n, revision: 1n } } }]],
    ['an empty message first', [{ kind: undefined }]],
  ];
  for (const [name, messages] of wrong) {
    test(`refuses ${name}`, async () => {
      const stream = new Stream(
        open(await server.tcp(await server.attest()), AgentSyncService.sync),
      );
      for (const message of messages) stream.call.write(message);
      await assertStatus(stream.end(), 'SYNC_PROTOCOL');
    });
  }

  test('takes Acks, and refuses a second Hello', async () => {
    const stream = await Stream.open(server, await server.attest());
    const { revision } = await stream.next('snapshot');
    const { sequenceNumber } = await stream.next('bundle');
    stream.call.write({
      kind: { $case: 'ack', value: { revision, bundleSequence: sequenceNumber } },
    });
    const value = {
      feedId: '',
      revision: 0n,
      bundleSequence: 0n,
      agentVersion: '',
      crlNumber: 0n,
      quarantined: false,
    };
    stream.call.write({ kind: { $case: 'hello', value } });
    await assertStatus(stream.end(), 'SYNC_PROTOCOL');
  });

  test('takes a version of 255 bytes and refuses 256', async () => {
    const agent = await server.attest();
    const fits = await Stream.open(server, agent, { agentVersion: 'v'.repeat(255) });
    await fits.next('snapshot');
    const long = await Stream.open(server, agent, { agentVersion: 'v'.repeat(256) });
    await assertStatus(long.end(), 'FIELD_INVALID');
    fits.call.cancel();
  });

  test('an anonymous caller is refused', async () => {
    const stream = new Stream(open(await server.tcp(), AgentSyncService.sync));
    await assertStatus(stream.end(), 'CALLER_NOT_ALLOWED');
  });
});

test('the stop of the server ends the stream with Unavailable', async () => {
  const server = await TestServer.start({ limits });
  const stream = await Stream.open(server, await server.attest());
  await stream.next('snapshot');
  await stream.next('bundle');
  const ended = assertStatus(stream.end(), 'SERVER_STOPPING');
  await server.running.stop('test');
  await ended;
  await server.stop();
});

test('the stream ends with the SVID of its agent', async () => {
  const clock = new ManualClock(Date.now());
  const server = await TestServer.start({ limits, svid: { x509Ttl: '10m' } }, { clock });
  const stream = await Stream.open(server, await server.attest());
  await stream.next('snapshot');
  await stream.next('bundle');
  clock.advance(599_000);
  clock.advance(2_000);
  await assertStatus(stream.end(), 'AGENT_EXPIRED');
  await server.stop();
});

/** A bare HTTP/2 session with an agent's SVID, which tells of GOAWAY. */
function session(server: TestServer, agent: TestAgent): ClientHttp2Session {
  return connect(`https://127.0.0.1:${server.running.port}`, {
    rejectUnauthorized: false,
    servername: 'server.test',
    key: agent.key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: agent.chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
  });
}

test('a connection with an open stream outlives the age that ends others', async () => {
  const clock = new ManualClock(Date.now());
  const listen = { address: '127.0.0.1', port: 0, maxConnectionAge: '1m' };
  const server = await TestServer.start({ limits, listen }, { clock });
  const held = session(server, await server.attest());
  const idle = session(server, await server.attest());
  const idleIsServed = once(idle, 'remoteSettings');
  const call = held.request({
    ':method': 'POST',
    ':path': AgentSyncService.sync.path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const value = {
    feedId: '',
    revision: 0n,
    bundleSequence: 0n,
    agentVersion: '',
    crlNumber: 0n,
    quarantined: false,
  };
  const hello = AgentSyncService.sync.requestSerialize({ kind: { $case: 'hello', value } });
  call.write(messageFrame(1, hello).subarray(9));
  await once(call, 'data');
  await idleIsServed;
  let goneAway = false;
  held.on('goaway', () => {
    goneAway = true;
  });
  const idleGoesAway = once(idle, 'goaway');
  // Past the age with its jitter.
  clock.advance(67_000);
  await idleGoesAway;
  await new Promise((resolve) => held.ping(resolve));
  assert.equal(goneAway, false);
  const heldGoesAway = once(held, 'goaway');
  call.close();
  await heldGoesAway;
  idle.destroy();
  held.destroy();
  await server.stop();
});
