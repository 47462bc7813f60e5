import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { type Clock, ManualClock } from '../../src/base/clock.ts';
import { enrolText } from '../../src/connectors/enrol/signed-text.ts';
import { ConnectorAdminService, GroupSpec } from '../../src/gen/signet/connector/v1/admin.ts';
import {
  type ConnectorMessage,
  ConnectorService,
  EnrolRequest,
  ResourceType,
  Segment,
  type ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { ask, assertStatus, open, type TestIdentity, TestServer } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

/** A message with none of its fields. */
const NOTHING = Buffer.alloc(0);
const SEGMENTS = ResourceType.RESOURCE_TYPE_SEGMENTS;
const SVID = ResourceType.RESOURCE_TYPE_SVID;

type Kind = NonNullable<ServerMessage['kind']>;
type Value<C extends Kind['$case']> = Extract<Kind, { $case: C }>['value'];

interface Enrolled extends TestIdentity {
  readonly id: string;
}

/** A server with one group and a key to enrol into it. */
async function started(
  context: TestContext,
  options: object = {},
  surroundings: { readonly clock?: Clock } = {},
) {
  const server = await TestServer.start({ connectors: {}, ...options }, surroundings);
  context.after(() => server.stop());
  const group = { ...GroupSpec.decode(NOTHING), name: 'edge', proofs: ['provisioning-key'] };
  await ask(server.admin(), ConnectorAdminService.putGroup, { group, expectedRevision: undefined });
  const { key } = await ask(server.admin(), ConnectorAdminService.createProvisioningKey, {
    group: 'edge',
    ttlSeconds: 600,
    maxUses: 10,
    cidrs: [],
    description: '',
  });
  return { server, key };
}

async function enrol(server: TestServer, provisioningKey: string): Promise<Enrolled> {
  const client = await server.tcp();
  const key = makeKey();
  const csr = Buffer.from(makeCsr({ key }));
  const publicKey = Buffer.from(key.publicKey.spki);
  const { challenge } = await ask(client, ConnectorService.getChallenge, { publicKey });
  const answer = await ask(client, ConnectorService.enrol, {
    ...EnrolRequest.decode(NOTHING),
    csr,
    group: 'edge',
    challenge,
    challengeSignature: sign('sha256', enrolText(challenge, csr), key.privateKey),
    clockMs: BigInt(Date.now()),
    proof: { $case: 'provisioningKey', value: { key: provisioningKey, kubernetesToken: '' } },
  });
  return { id: answer.connectorId, key, chain: answer.svid?.chain ?? [] };
}

/** A session from the connector's side. */
class Session {
  readonly call: ClientDuplexStream<ConnectorMessage, ServerMessage>;
  readonly #answers: AsyncIterator<ServerMessage>;
  readonly #seen: Kind[] = [];

  constructor(call: ClientDuplexStream<ConnectorMessage, ServerMessage>) {
    this.call = call;
    this.#answers = call[Symbol.asyncIterator]();
  }

  static async open(server: TestServer, connector: TestIdentity, segments = ''): Promise<Session> {
    const session = new Session(open(await server.tcp(connector), ConnectorService.session));
    const versions = segments === '' ? [] : [{ type: SEGMENTS, version: segments }];
    const clockMs = BigInt(Date.now());
    const value = { instance: undefined, versions, clockMs, uptimeSeconds: 1 };
    session.say({ $case: 'hello', value });
    return session;
  }

  say(kind: ConnectorMessage['kind']): void {
    this.call.write({ kind });
  }

  /** The next message of this kind; what comes before it is kept in {@link passed}. */
  async next<C extends Kind['$case']>(kind: C): Promise<Value<C>> {
    for (;;) {
      const { value, done } = await this.#answers.next();
      assert.ok(done !== true, `ended without ${kind}`);
      assert.ok(value.kind);
      if (value.kind.$case === kind) return value.kind.value as never;
      this.#seen.push(value.kind);
    }
  }

  /** Kinds of what came before what was waited for. */
  get passed(): readonly string[] {
    return this.#seen.map(({ $case }) => $case);
  }

  ack(type: ResourceType, { version, nonce }: { version: string; nonce: Buffer }): void {
    this.say({ $case: 'ack', value: { type, version, nonce } });
  }

  /** Takes the first segments and says so. */
  async begin(): Promise<string> {
    await this.next('welcome');
    const segments = await this.next('segments');
    this.ack(SEGMENTS, segments);
    return segments.version;
  }

  /** How the stream ends: a code, or `OK`. What comes until then is dropped. */
  async refusal(): Promise<string> {
    const error = await this.error();
    return error === undefined ? 'OK' : String(error.metadata.get('signet-error-code')[0]);
  }

  /** The error that the stream ends with; undefined where it ends well. */
  async error(): Promise<ServiceError | undefined> {
    try {
      while ((await this.#answers.next()).done !== true);
      return undefined;
    } catch (error) {
      assert.ok(error instanceof Error && 'metadata' in error);
      // What gRPC rejects with.
      return error as ServiceError;
    }
  }

  /** The error that it ends with before anything came; undefined where something did. */
  async refusedAtOnce(): Promise<ServiceError | undefined> {
    const first = await this.#answers.next().catch((error: ServiceError) => error);
    return first instanceof Error ? first : undefined;
  }
}

async function putSegment(server: TestServer, id: string): Promise<void> {
  const segment = {
    segment: {
      ...Segment.decode(NOTHING),
      id,
      hosts: [`${id}.example.org`],
      protocol: 1 as const,
      ports: [{ first: 443, last: 443 }],
      clients: ['spiffe://example.org/*'],
    },
    groups: ['edge'],
  };
  const request = { segment, expectedRevision: undefined };
  await ask(server.admin(), ConnectorAdminService.putSegment, request);
}

/** Waits until the server shows a connector so. */
async function shown(server: TestServer, name: string, state: string): Promise<void> {
  for (;;) {
    const info = await ask(server.admin(), ConnectorAdminService.getConnector, { name });
    if (info.state === state) return;
  }
}

describe('sessions of connectors over a real server', () => {
  it('a connector is welcomed, and told bundles, segments and what changes of them', async (context) => {
    const { server, key } = await started(context);
    await putSegment(server, 'a');
    const connector = await enrol(server, key);
    const session = await Session.open(server, connector);
    const welcome = await session.next('welcome');
    assert.equal(welcome.connectorId, connector.id);
    const { bundles, crl } = await session.next('bundle');
    assert.deepEqual(
      bundles.map(({ trustDomain }) => trustDomain),
      ['example.org'],
    );
    assert.ok((bundles[0]?.x509Authorities.length ?? 0) > 0 && crl.length === 0);
    const full = await session.next('segments');
    assert.deepEqual([full.full, full.segments.map(({ id }) => id)], [true, ['a']]);
    session.ack(SEGMENTS, full);
    await putSegment(server, 'b');
    const change = await session.next('segments');
    assert.deepEqual(
      [change.full, change.baseVersion, change.segments.map(({ id }) => id)],
      [false, full.version, ['b']],
    );
    await shown(server, connector.id, 'active');
  });

  it('drain, resume and revoke are pushed; a revoked one does not come back', async (context) => {
    const { server, key } = await started(context);
    const connector = await enrol(server, key);
    const session = await Session.open(server, connector);
    await session.begin();
    const which = { ids: [connector.id], group: '' };
    const admin = server.admin();
    const drain = { which, withinSeconds: 60, reason: 'upgrade' };
    await ask(admin, ConnectorAdminService.drainConnectors, drain);
    const told = await session.next('command');
    assert.equal(told.kind?.$case === 'drain' && told.kind.value.reason, 'upgrade');
    await ask(admin, ConnectorAdminService.resumeConnectors, which);
    assert.equal((await session.next('command')).kind?.$case, 'resume');
    await ask(admin, ConnectorAdminService.revokeConnectors, { which, reason: 'stolen' });
    const revoke = await session.next('command');
    assert.equal(revoke.kind?.$case === 'revoke' && revoke.kind.value.reason, 'stolen');
    assert.equal(await session.refusal(), 'CONNECTOR_REVOKED');
    const again = await Session.open(server, connector);
    assert.equal(await again.refusal(), 'CONNECTOR_REVOKED');
  });

  it('renews for a new key; the new SVID takes the session over, the old one is then no longer good', async (context) => {
    const { server, key } = await started(context);
    const connector = await enrol(server, key);
    const session = await Session.open(server, connector);
    await session.begin();
    const same = Buffer.from(makeCsr({ key: connector.key }));
    session.say({ $case: 'renewCsr', value: { csr: same } });
    assert.equal((await session.next('notice')).code, 'CONNECTOR_KEY_REUSED');
    session.call.end();

    const next = await Session.open(server, connector);
    await next.begin();
    const newKey = makeKey();
    next.say({ $case: 'renewCsr', value: { csr: Buffer.from(makeCsr({ key: newKey })) } });
    const update = await next.next('svid');
    assert.equal(update.version, update.svid?.serialNumber);
    next.ack(SVID, update);
    const renewed = { key: newKey, chain: update.svid?.chain ?? [] };
    const [replaced, successor] = [next.refusal(), await Session.open(server, renewed)];
    await successor.begin();
    assert.equal(await replaced, 'CONNECTOR_SESSION_REPLACED');
    const old = await Session.open(server, connector);
    assert.equal(await old.refusal(), 'CONNECTOR_NOT_ACTIVE');
  });

  it('after a restart of the server one that is up to date is sent no segments', async (context) => {
    const { server, key } = await started(context);
    await putSegment(server, 'a');
    const connector = await enrol(server, key);
    const version = await (await Session.open(server, connector)).begin();
    await server.restart();
    const session = await Session.open(server, connector, version);
    await session.next('bundle');
    await shown(server, connector.id, 'active');
    const info = await ask(server.admin(), ConnectorAdminService.getConnector, {
      name: connector.id,
    });
    assert.equal(info.wantedSegmentsVersion, version);
    await putSegment(server, 'b');
    const change = await session.next('segments');
    assert.deepEqual([change.full, change.segments.map(({ id }) => id)], [false, ['b']]);
    assert.ok(!session.passed.includes('segments'));
  });

  it('a message of an unknown kind is told, and the session goes on until the connector leaves', async (context) => {
    const { server, key } = await started(context);
    const connector = await enrol(server, key);
    const session = await Session.open(server, connector);
    await session.begin();
    session.say(undefined);
    assert.equal((await session.next('notice')).code, 'CONNECTOR_MESSAGE_UNKNOWN');
    session.say({ $case: 'goodbye', value: { drained: true, openFlows: 0n } });
    assert.equal(await session.refusal(), 'OK');
    await shown(server, connector.id, 'stopped');
    const again = await Session.open(server, connector);
    assert.equal(await again.refusal(), 'CONNECTOR_STOPPED');
  });

  it('nobody but a connector has a session, and none begins without Hello', async (context) => {
    const { server, key } = await started(context);
    for (const identity of [undefined, await server.attest()]) {
      const call = new Session(open(await server.tcp(identity), ConnectorService.session));
      assert.equal(await call.refusal(), 'CALLER_NOT_ALLOWED');
    }
    const connector = await enrol(server, key);
    const mute = new Session(open(await server.tcp(connector), ConnectorService.session));
    mute.ack(SEGMENTS, { version: '', nonce: Buffer.alloc(0) });
    assert.equal(await mute.refusal(), 'CONNECTOR_SESSION_PROTOCOL');
  });

  it('a server without connectors says so', async (context) => {
    const server = await TestServer.start();
    context.after(() => server.stop());
    const publicKey = Buffer.from(makeKey().publicKey.spki);
    const client = await server.tcp();
    await assertStatus(ask(client, ConnectorService.getChallenge, { publicKey }), 'CONNECTORS_OFF');
  });

  it('sessions that begin too fast are told when to come again', async (context) => {
    const { server, key } = await started(
      context,
      { connectors: { sessionsPerSecond: 1 } },
      // It stands still: only one may begin, however long the others take.
      { clock: new ManualClock(Date.now()) },
    );
    const connector = await enrol(server, key);
    const opened = await Promise.all(
      Array.from({ length: 6 }, () => Session.open(server, connector)),
    );
    const errors = await Promise.all(opened.map((session) => session.refusedAtOnce()));
    const paced = errors.filter(
      (error) => error?.metadata.get('signet-error-code')[0] === 'CONNECTOR_SESSION_PACED',
    );
    assert.equal(paced.length, 5);
    for (const error of paced) {
      assert.match(String(error?.metadata.get('signet-retry-after-ms')[0]), /^\d{4,5}$/);
    }
  });
});
