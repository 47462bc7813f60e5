import assert from 'node:assert/strict';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { fail, type Result, unwrap } from '../../src/base/result.ts';
import { instanceOf } from '../../src/connectors/instance.ts';
import type { ConnectorSession } from '../../src/connectors/session.ts';
import { SessionHub, type SessionHubOptions } from '../../src/connectors/session-hub.ts';
import { receive } from '../../src/connectors/session-inbox.ts';
import {
  type ConnectorMessage,
  ResourceType,
  ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { resolveConnector } from '../../src/policy/connector-callers.ts';
import type { SvidFacts } from '../../src/policy/svid-facts.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { Encoded, type ResponseStream } from '../../src/rpc/service.ts';
import type { ConnectorClaim, ConnectorRecord } from '../../src/rules/connector/record.ts';
import type { ConnectorSegmentDraft } from '../../src/rules/connector/segment.ts';
import { enrolment, groupDraft, segmentDraft } from './connector-state.ts';
import { SILENT } from './issuance.ts';
import { START_SECONDS } from './state.ts';

type Kind = NonNullable<ServerMessage['kind']>;

/** Messages to one connector, as they come off the wire; takes `room` of them before it is full. */
export class FakeStream implements ResponseStream<unknown> {
  readonly messages: Kind[] = [];
  /** The very objects that were written. */
  readonly written: Encoded[] = [];
  room = Number.POSITIVE_INFINITY;
  #resume: (() => void)[] = [];

  write(message: unknown): boolean {
    assert.ok(message instanceof Encoded);
    this.written.push(message);
    const { kind } = ServerMessage.decode(message.bytes);
    assert.ok(kind);
    this.messages.push(kind);
    this.room--;
    return this.room > 0;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#resume.push(resolve);
    });
  }

  /** Lets the reader take so many more. */
  async read(room: number): Promise<void> {
    this.room = room;
    for (const resume of this.#resume.splice(0)) resume();
    await Promise.resolve();
  }

  /** What came since the last call. */
  take(): Kind[] {
    return this.messages.splice(0);
  }

  /** The one message of this kind that came since the last call; others are dropped. */
  only<C extends Kind['$case']>(kind: C): Extract<Kind, { $case: C }>['value'] {
    const [found, ...others] = this.take().filter(({ $case }) => $case === kind);
    assert.ok(found, `no ${kind}`);
    assert.equal(others.length, 0, `more than one ${kind}`);
    // What was found is of this case; the compiler does not narrow by a type parameter.
    return found.value as never;
  }
}

/** One open session of a test. */
export interface TestSession {
  readonly session: ConnectorSession;
  readonly stream: FakeStream;
  say(kind: ConnectorMessage['kind']): void;
  ack(type: ResourceType, of: { readonly version: string; readonly nonce: Buffer }): void;
  nack(type: ResourceType, of: { readonly version: string; readonly nonce: Buffer }): void;
  /** How it ended; fails where it has not. */
  outcome(): Promise<string>;
}

/** A hub over a real registry. */
export class SessionRig {
  readonly clock: ManualClock;
  readonly registry: Registry;
  readonly hub: SessionHub;

  constructor(registry: Registry, options: Partial<SessionHubOptions> = {}) {
    this.registry = registry;
    this.clock = new ManualClock(START_SECONDS * 1000);
    const policy = {
      registry,
      clock: this.clock,
      connectors: registry.connectors,
      adminIds: [],
      adminGid: undefined,
      serverUid: 0,
      maxStalenessMs: 0,
    };
    this.hub = new SessionHub({
      registry,
      judge: (facts) => resolveConnector(facts, policy),
      crl: undefined,
      renew: async () => fail('INTERNAL', 'not in this test'),
      clock: this.clock,
      random: seededRandom(7),
      log: SILENT,
      heartbeatSeconds: 30,
      sessionsPerSecond: 1000,
      ...options,
    });
  }

  async group(name: string, extra: Parameters<typeof groupDraft>[1] = {}): Promise<void> {
    const draft = groupDraft(name, extra);
    unwrap(
      await this.registry.connectors.writeConnectorGroups([{ draft, expectedRevision: undefined }]),
    );
  }

  segment(id: string, extra: Partial<ConnectorSegmentDraft> = {}): Promise<void> {
    return this.segments([id], extra);
  }

  async segments(
    ids: readonly string[],
    extra: Partial<ConnectorSegmentDraft> = {},
  ): Promise<void> {
    const writes = ids.map((id) => ({
      draft: segmentDraft(id, { hosts: [`${id}.example.org`], groups: ['edge'], ...extra }),
      expectedRevision: undefined,
    }));
    unwrap(await this.registry.connectors.writeConnectorSegments(writes));
  }

  /** Enrols a connector whose SVID has this serial and lives for an hour. */
  async enrol(
    name: string,
    serial: string,
    claim: Partial<ConnectorClaim> = {},
  ): Promise<ConnectorRecord> {
    const { connectors } = this.registry;
    const write = enrolment(name, 'edge');
    const claimed = { ...write, claim: { ...write.claim, ...claim } };
    const answer = unwrap(await connectors.enrolConnector(claimed));
    assert.equal(answer.outcome, 'enrolled');
    await this.certify(name, serial);
    const record = connectors.connector(name);
    assert.ok(record);
    return record;
  }

  async certify(name: string, serial: string): Promise<void> {
    const expiresAtSeconds = Math.floor(this.clock.nowMs() / 1000) + 3600;
    const change = {
      kind: 'certified',
      serial,
      expiresAtSeconds,
      keySha256: `k${serial}`,
    } as const;
    unwrap(await this.registry.connectors.changeConnector(name, change));
  }

  /** Opens a session; `versions` are those that it says it has accepted. */
  open(
    record: ConnectorRecord,
    extra: {
      readonly address?: string;
      readonly segments?: string;
      readonly clockMs?: number;
      readonly signerKeyIds?: readonly string[];
    } = {},
  ): TestSession {
    const nowMs = this.clock.nowMs();
    const facts: SvidFacts = {
      kind: 'svid',
      id: record.spiffeId,
      serialDecimal: record.serial,
      notAfterSeconds: record.expiresAtSeconds,
      signerKeyIds: extra.signerKeyIds ?? [],
    };
    const stream = new FakeStream();
    const versions =
      extra.segments === undefined
        ? []
        : [{ type: ResourceType.RESOURCE_TYPE_SEGMENTS, version: extra.segments }];
    const clockMs = BigInt(extra.clockMs ?? nowMs);
    const hello = { instance: undefined, versions, clockMs, uptimeSeconds: 0 };
    const { address: remoteAddress = '192.0.2.1' } = extra;
    const start = { record, facts, notBeforeMs: nowMs, remoteAddress, stream, hello };
    const session = this.hub.open(start, instanceOf(undefined));
    let ended: Result<void> | undefined;
    const over = session.ended.then((outcome) => {
      ended = outcome;
      this.hub.leave(session);
    });
    const say = (kind: ConnectorMessage['kind']): void =>
      receive(this.hub.context, session, { kind });
    return {
      session,
      stream,
      say,
      ack: (type, { version, nonce }) => say({ $case: 'ack', value: { type, version, nonce } }),
      nack: (type, { version, nonce }) =>
        say({ $case: 'nack', value: { type, version, nonce, error: 'no room' } }),
      async outcome() {
        assert.ok(session.isOver, 'the session goes on');
        await over;
        assert.ok(ended);
        return ended.ok ? 'OK' : ended.error.code;
      },
    };
  }

  heartbeat(session: TestSession, extra: object = {}): void {
    const clockMs = BigInt(this.clock.nowMs());
    const value = {
      health: 1 as const,
      reason: '',
      activeFlows: 0n,
      loadPercent: 0,
      clockMs,
      serialNumber: '',
      expiresAt: 0n,
      versions: [],
      ...extra,
    };
    session.say({ $case: 'heartbeat', value });
  }
}
