import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SessionRig, type TestSession } from '../../test/support/connector-session.ts';
import { agentRecord, openState, revocation, START_SECONDS } from '../../test/support/state.ts';
import { fail, ok, unwrap } from '../base/result.ts';
import { ResourceType, type SegmentHealth } from '../gen/signet/connector/v1/connector.ts';
import type { SessionHubOptions } from './session-hub.ts';

const SEGMENTS = ResourceType.RESOURCE_TYPE_SEGMENTS;
const COMMAND = ResourceType.RESOURCE_TYPE_COMMAND;
const SVID = ResourceType.RESOURCE_TYPE_SVID;

async function rig(context: TestContext, options: Partial<SessionHubOptions> = {}) {
  const { registry } = await openState(context);
  const made = new SessionRig(registry, options);
  context.after(() => made.hub.close());
  await made.group('edge', { offlineSeconds: 77 });
  return made;
}

/** Opens a session of a new connector, and takes what comes at the beginning. */
async function opened(made: SessionRig, name = 'c1'): Promise<TestSession> {
  const session = made.open(await made.enrol(name, `${name.charCodeAt(1)}1`));
  const segments = session.stream.only('segments');
  session.ack(SEGMENTS, segments);
  return session;
}

describe('a session: what it sends', () => {
  it('welcomes with the heartbeat, the offset of the clock and how long it may be offline', async (context) => {
    const made = await rig(context);
    const record = await made.enrol('c1', '1');
    const { stream } = made.open(record, { clockMs: (START_SECONDS + 3600) * 1000 });
    const [first] = stream.messages;
    assert.equal(first?.$case, 'welcome');
    assert.deepEqual(first.value, {
      connectorId: 'c1',
      serverTimeMs: BigInt(START_SECONDS * 1000),
      heartbeatSeconds: 30,
      clockOffsetMs: 3_600_000n,
      offlineSeconds: 77,
      reconnectSpreadMs: 2000,
    });
    assert.deepEqual(made.hub.stateOf(record), {
      state: 'degraded',
      reason: 'its clock is 3600 s ahead',
    });
  });

  it('sends the full set, then changes from what was accepted, each once and only after an answer', async (context) => {
    const made = await rig(context);
    await made.segment('a');
    const { stream, ack } = made.open(await made.enrol('c1', '1'));
    const first = stream.only('segments');
    assert.deepEqual([first.full, first.last, first.baseVersion], [true, true, '']);
    assert.deepEqual(
      first.segments.map(({ id }) => id),
      ['a'],
    );
    await made.segment('b');
    await made.segment('c');
    made.clock.advance(1000);
    assert.deepEqual(stream.take(), []);
    ack(SEGMENTS, first);
    const second = stream.only('segments');
    assert.deepEqual([second.full, second.baseVersion], [false, first.version]);
    assert.deepEqual(second.segments.map(({ id }) => id).sort(), ['b', 'c']);
    ack(SEGMENTS, second);
    unwrap(
      await made.registry.connectors.deleteConnectorSegments([{ name: 'a', origin: undefined }]),
    );
    made.clock.advance(1000);
    const third = stream.only('segments');
    assert.deepEqual([third.segments, third.removedIds], [[], ['a']]);
    assert.equal(made.hub.wantedSegments('edge'), third.version);
  });

  it('sends the same bytes to all sessions of a group', async (context) => {
    const made = await rig(context);
    const one = await opened(made, 'c1');
    const two = await opened(made, 'c2');
    await made.segment('a');
    made.clock.advance(1000);
    assert.ok(one.stream.written.at(-1) !== undefined);
    assert.equal(one.stream.written.at(-1), two.stream.written.at(-1));
  });

  it('resumes by a change, sends nothing to one that is up to date, and all to one that it does not know', async (context) => {
    const made = await rig(context);
    await made.segment('a');
    const first = await opened(made);
    const version = first.session.acceptedSegments;
    await made.segment('b');
    made.clock.advance(1000);
    const record = first.session.record;
    const resumed = made.open(record, { segments: version }).stream.only('segments');
    assert.deepEqual([resumed.full, resumed.baseVersion], [false, version]);
    const upToDate = made.open(record, { segments: resumed.version });
    assert.ok(upToDate.stream.take().every(({ $case }) => $case !== 'segments'));
    const unknown = made.open(record, { segments: '9-0011223344556677' }).stream.only('segments');
    assert.equal(unknown.full, true);
  });

  it('a version means the same on another server and after a restart', async (context) => {
    const { registry } = await openState(context);
    const [one, two] = [new SessionRig(registry), new SessionRig(registry)];
    context.after(() => Promise.all([one.hub.close(), two.hub.close()]));
    await one.group('edge');
    await one.segment('a', { labels: { x: '1', b: '2' } });
    await one.segment('b');
    assert.equal(one.hub.wantedSegments('edge'), two.hub.wantedSegments('edge'));
    assert.notEqual(one.hub.wantedSegments('edge'), one.hub.wantedSegments('other'));
  });

  it('a nack keeps what was accepted, is shown, and is answered by the next version, in full', async (context) => {
    const made = await rig(context);
    const { stream, session, ack, nack } = await opened(made);
    const accepted = session.acceptedSegments;
    await made.segment('a');
    made.clock.advance(1000);
    nack(SEGMENTS, stream.only('segments'));
    assert.equal(session.acceptedSegments, accepted);
    assert.match(made.hub.stateOf(session.record).reason, /^segments .*: no room$/);
    made.clock.advance(60_000);
    made.registry.connectors.onChange(() => {});
    assert.ok(stream.take().every(({ $case }) => $case !== 'segments'));
    await made.segment('b');
    made.clock.advance(1000);
    const next = stream.only('segments');
    assert.deepEqual([next.full, next.segments.length], [true, 2]);
    ack(SEGMENTS, next);
    assert.equal(made.hub.stateOf(session.record).state, 'active');
    assert.equal(made.hub.counts.nacks, 1);
  });

  it('an answer to something earlier says nothing', async (context) => {
    const made = await rig(context);
    const { stream, session, ack, nack } = made.open(await made.enrol('c1', '1'));
    const first = stream.only('segments');
    ack(SEGMENTS, { version: first.version, nonce: Buffer.alloc(8) });
    ack(SEGMENTS, { version: '1-00', nonce: first.nonce });
    assert.equal(session.acceptedSegments, '');
    ack(SEGMENTS, first);
    await made.segment('a');
    made.clock.advance(1000);
    const second = stream.only('segments');
    ack(SEGMENTS, first);
    nack(SEGMENTS, first);
    assert.equal(session.acceptedSegments, first.version);
    assert.equal(session.lastNack, '');
    ack(SEGMENTS, second);
    assert.equal(session.acceptedSegments, second.version);
  });

  it('sends ten thousand segments in messages below 1 MiB, and a change of one of them in a small one', async (context) => {
    const made = await rig(context);
    const clients = Array.from({ length: 20 }, (_, at) => `spiffe://example.org/team/app-${at}`);
    const ids = Array.from({ length: 10_000 }, (_, at) => `s${at}`);
    await made.segments(ids, { clients });
    const { stream, ack, session } = made.open(await made.enrol('c1', '1'));
    const chunks = stream.take().flatMap((one) => (one.$case === 'segments' ? [one.value] : []));
    assert.ok(chunks.length > 3, `${chunks.length} chunks`);
    assert.ok(stream.written.every(({ bytes }) => bytes.length <= 1024 * 1024));
    assert.equal(
      chunks.reduce((sum, { segments }) => sum + segments.length, 0),
      10_000,
    );
    assert.deepEqual(
      chunks.map(({ last }) => last),
      chunks.map((_, at) => at === chunks.length - 1),
    );
    const last = chunks.at(-1);
    assert.ok(last !== undefined && chunks.every(({ nonce }) => nonce.equals(last.nonce)));
    ack(SEGMENTS, last);
    await made.segment('s5', { clients, draining: true });
    made.clock.advance(5_000);
    const change = stream.only('segments');
    assert.equal(change.segments.length, 1);
    assert.ok((stream.written.at(-1)?.bytes.length ?? 0) < 2048);
    ack(SEGMENTS, change);
    assert.equal(session.acceptedSegments, made.hub.wantedSegments('edge'));
  });

  it('diagnostics are kept where they were asked for, and a refusal of them degrades nobody', async (context) => {
    const made = await rig(context);
    const { stream, say, nack } = await opened(made);
    const event = { reason: 'diagnostics', message: 'unasked', warning: false, more: false };
    const tell = (message: string, commandNonce: Buffer): void =>
      say({ $case: 'event', value: { ...event, message, commandNonce } });
    tell('unasked', Buffer.alloc(0));
    assert.equal(made.hub.counts.events, 1);
    assert.equal(made.hub.diagnostics.of('c1'), undefined);
    made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} });
    const { nonce } = stream.only('command');
    for (let at = 0; at < 30; at++) tell('not what was asked', Buffer.alloc(8));
    tell('all is well', nonce);
    const texts = () => made.hub.diagnostics.of('c1')?.parts.map(({ text }) => text);
    assert.deepEqual(texts(), ['all is well'], 'not counted with what is said unasked');
    made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} });
    assert.deepEqual(texts(), []);
    nack(ResourceType.RESOURCE_TYPE_COMMAND, { version: '', ...stream.only('command') });
    assert.equal(made.hub.diagnostics.of('c1')?.refusal, 'no room');
    assert.equal(made.hub.presence('c1')?.lastNack, '');
    for (let at = 0; at < 16; at++)
      made.hub.tell('c1', { $case: 'renewNow', value: { reason: '' } });
    assert.equal(made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} }), false);
    assert.equal(
      made.hub.diagnostics.of('c1')?.refusal,
      'no room',
      'what was not asked is not lost',
    );
  });

  it('what it leaves unanswered does not keep a connector from being asked to renew', async (context) => {
    const made = await rig(context);
    const session = await opened(made);
    while (made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} }));
    session.stream.take();
    for (let at = 0; at < 120; at++) {
      made.clock.advance(30_000);
      made.heartbeat(session);
    }
    const asked = session.stream.take().flatMap((message) => {
      return message.$case === 'command' ? [message.value.kind?.$case] : [];
    });
    assert.ok(asked.includes('renewNow'), 'asked');
    assert.deepEqual(new Set(asked), new Set(['renewNow']));
  });

  it('nothing queues up for a slow reader, and others do not wait for it', async (context) => {
    const made = await rig(context);
    const slow = await opened(made, 'c1');
    const quick = await opened(made, 'c2');
    slow.stream.room = 1;
    for (let at = 0; at < 20; at++) {
      await made.segment('a', { priority: at });
      made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} });
      made.clock.advance(1000);
      for (const message of quick.stream.take()) {
        if (message.$case === 'segments') quick.ack(SEGMENTS, message.value);
      }
      made.heartbeat(quick);
      made.heartbeat(slow);
    }
    assert.equal(quick.session.acceptedSegments, made.hub.wantedSegments('edge'));
    assert.equal(slow.stream.take().length, 1);
    await slow.stream.read(Number.POSITIVE_INFINITY);
    const late = slow.stream.take().filter(({ $case }) => $case === 'segments');
    assert.equal(late.length, 1);
    assert.equal(made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} }), false);
  });

  it('a segment that conflicts with an older one is not sent, and its status says so', async (context) => {
    const made = await rig(context);
    await made.segment('a', { hosts: ['db.example.org'] });
    await made.segment('b', { hosts: ['db.example.org'] });
    const { stream } = made.open(await made.enrol('c1', '1'));
    assert.deepEqual(
      stream.only('segments').segments.map(({ id }) => id),
      ['a'],
    );
    const b = made.registry.connectors.segment('b');
    assert.ok(b);
    const { servedBy, conflicts } = made.hub.segmentStatus(b);
    assert.deepEqual(servedBy, []);
    assert.deepEqual(
      conflicts.map(({ group, segmentId }) => [group, segmentId]),
      [['edge', 'a']],
    );
  });
});

describe('what a group does not serve', () => {
  it('is told where a conflict comes to a group that was read, and changes nothing that is served', async (context) => {
    const made = await rig(context);
    await made.segment('a');
    const version = made.hub.wantedSegments('edge');
    await made.segment('twin', { hosts: ['a.example.org'] });
    assert.equal(made.hub.wantedSegments('edge'), version);
    const coverage = made.hub.coverage('edge');
    assert.deepEqual([coverage.isServed('a'), coverage.isServed('twin')], [true, false]);
    assert.equal(coverage.conflictOf('twin')?.segmentId, 'a');
    assert.equal(coverage.conflictOf('a'), undefined);
  });
});

describe('a session: commands', () => {
  it('tells to drain and to resume as the record says, also to one that comes back', async (context) => {
    const made = await rig(context);
    const { stream, session } = await opened(made);
    const change = { kind: 'draining', deadlineMs: 5_000, reason: 'upgrade' } as const;
    unwrap(await made.registry.connectors.changeConnector('c1', change));
    const drain = stream.only('command');
    assert.deepEqual(drain.kind, {
      $case: 'drain',
      value: { deadlineMs: 5_000n, reason: 'upgrade' },
    });
    assert.equal(made.hub.stateOf(session.record).state, 'draining');
    const again = made.open(session.record);
    assert.equal(again.stream.only('command').kind?.$case, 'drain');
    unwrap(await made.registry.connectors.changeConnector('c1', { kind: 'resumed' }));
    assert.equal(again.stream.only('command').kind?.$case, 'resume');
  });

  it('one that leaves while it drains is not told to resume', async (context) => {
    const made = await rig(context);
    const { stream, say, session } = await opened(made);
    const change = { kind: 'draining', deadlineMs: 5_000, reason: '' } as const;
    unwrap(await made.registry.connectors.changeConnector('c1', change));
    assert.equal(stream.only('command').kind?.$case, 'drain');
    say({ $case: 'goodbye', value: { drained: true, openFlows: 0n } });
    const stopped = await session.ended;
    assert.ok(stopped.ok);
    assert.equal(made.registry.connectors.connector('c1')?.standing, 'stopped');
    assert.deepEqual(stream.take(), []);
  });

  it('gives commands that are told, until too many wait for an answer', async (context) => {
    const made = await rig(context);
    const { stream, ack } = await opened(made);
    const upgrade = { version: '2', imageDigest: '', notBeforeMs: 1n, notAfterMs: 2n };
    assert.ok(made.hub.tell('c1', { $case: 'upgrade', value: upgrade }));
    const { nonce, kind } = stream.only('command');
    assert.deepEqual(kind, { $case: 'upgrade', value: upgrade });
    const tell = () => made.hub.tell('c1', { $case: 'reEnrol', value: { reason: '' } });
    assert.deepEqual(Array.from({ length: 16 }, tell).filter(Boolean).length, 15);
    ack(COMMAND, { version: '', nonce });
    assert.ok(tell());
    assert.equal(made.hub.tell('nobody', { $case: 'resume', value: {} }), false);
  });

  it('has it renew at about half of the life of its SVID, and hands the new one out', async (context) => {
    const svid = { chain: [], serialNumber: '99', notBefore: 1n, expiresAt: 2n };
    const asked: string[] = [];
    const made = await rig(context, {
      renew: async (connector, csr) => {
        asked.push(`${connector.id} ${csr.length}`);
        return ok(svid);
      },
    });
    const session = await opened(made);
    const { stream, say, ack } = session;
    const renewNow = () =>
      stream
        .take()
        .filter((one) => one.$case === 'command' && one.value.kind?.$case === 'renewNow');
    const pass = (seconds: number) => {
      for (let at = 0; at < seconds; at += 30) {
        made.heartbeat(session);
        made.clock.advance(30_000);
      }
    };
    pass(1_590);
    assert.deepEqual(renewNow(), []);
    pass(420);
    assert.equal(renewNow().length > 0, true);
    say({ $case: 'renewCsr', value: { csr: Buffer.alloc(5) } });
    say({ $case: 'renewCsr', value: { csr: Buffer.alloc(5) } });
    await new Promise(setImmediate);
    const sent = stream.take();
    const notice = sent.find(({ $case }) => $case === 'notice');
    assert.equal(notice?.$case === 'notice' && notice.value.code, 'CONNECTOR_RENEWAL_BUSY');
    const update = sent.find(({ $case }) => $case === 'svid');
    assert.ok(update?.$case === 'svid');
    assert.deepEqual([update.value.svid, update.value.version], [svid, '99']);
    assert.deepEqual(asked, ['c1 5']);
    ack(SVID, update.value);
    assert.equal(session.session.acceptedSvid, '99');
    pass(120);
    assert.deepEqual(renewNow(), []);
  });

  it('tells why a renewal was refused, and goes on', async (context) => {
    const made = await rig(context, { renew: async () => fail('CONNECTOR_KEY_REUSED', 'no CSR') });
    const { stream, say, session } = await opened(made);
    say({ $case: 'renewCsr', value: { csr: Buffer.alloc(5) } });
    await new Promise(setImmediate);
    assert.equal(stream.only('notice').code, 'CONNECTOR_KEY_REUSED');
    assert.equal(session.isOver, false);
  });

  it('has it renew soon when an authority above its SVID is tainted', async (context) => {
    const made = await rig(context);
    const record = await made.enrol('c1', '1');
    const { stream } = made.open(record, { signerKeyIds: ['aa'] });
    stream.take();
    const tainted = new Set(['aa']);
    Object.defineProperty(made.registry, 'distrustedIssuingCas', { value: tainted });
    const serial = revocation('555');
    unwrap(await made.registry.revoke([serial]));
    made.clock.advance(25_000);
    const kinds = stream.take().map((one) => one.$case === 'command' && one.value.kind?.$case);
    assert.ok(kinds.includes('renewNow'));
  });
});

describe('a session: how it ends', () => {
  it('a revoked connector is told, and its session ends', async (context) => {
    const made = await rig(context);
    const { stream, outcome } = await opened(made);
    const change = { kind: 'revoked', atSeconds: 5, reason: 'lost' } as const;
    unwrap(await made.registry.connectors.changeConnector('c1', change));
    assert.deepEqual(stream.only('command').kind, { $case: 'revoke', value: { reason: 'lost' } });
    assert.equal(await outcome(), 'CONNECTOR_REVOKED');
  });

  it('one whose SVID was revoked is told, and its session ends', async (context) => {
    const made = await rig(context);
    const { stream, session, outcome } = await opened(made);
    unwrap(await made.registry.revoke([revocation(session.facts.serialDecimal)]));
    made.clock.advance(1);
    assert.equal(stream.only('command').kind?.$case, 'revoke');
    assert.equal(await outcome(), 'CONNECTOR_REVOKED');
  });

  it('a newer session ends the older one', async (context) => {
    const made = await rig(context);
    const first = await opened(made);
    const second = made.open(first.session.record);
    assert.equal(await first.outcome(), 'CONNECTOR_SESSION_REPLACED');
    assert.equal(second.session.isOver, false);
    assert.ok(made.hub.isOpen('c1'));
    assert.equal(made.hub.size, 1);
  });

  it('the use of a newer SVID ends the session of the older one as replaced, not as refused', async (context) => {
    const made = await rig(context);
    const first = await opened(made);
    await made.certify('c1', '77');
    assert.equal(first.session.isOver, false);
    unwrap(
      await made.registry.connectors.changeConnector('c1', { kind: 'promoted', serial: '77' }),
    );
    assert.equal(await first.outcome(), 'CONNECTOR_SESSION_REPLACED');
  });

  it('two that take the session from each other from two addresses are suspected to be copies', async (context) => {
    const made = await rig(context);
    const { session } = await opened(made);
    for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.1', '192.0.2.1']) {
      made.open(session.record, { address });
    }
    assert.equal(made.hub.counts.cloneSuspicions, 0);
    made.open(session.record, { address: '192.0.2.2' });
    assert.equal(made.hub.counts.cloneSuspicions, 1);
    assert.equal(made.hub.counts.replaced, 5);
  });

  it('ends when three heartbeats are missed, and the connector is lost', async (context) => {
    const made = await rig(context);
    const session = await opened(made);
    made.clock.advance(89_000);
    made.heartbeat(session);
    made.clock.advance(89_000);
    assert.equal(session.session.isOver, false);
    made.clock.advance(1_500);
    assert.equal(await session.outcome(), 'CONNECTOR_SESSION_SILENT');
    const { record } = session.session;
    assert.equal(made.hub.stateOf(record).state, 'degraded');
    made.clock.advance(91_000);
    assert.equal(made.hub.stateOf(record).state, 'lost');
  });

  it('ends when its SVID ends, within a second', async (context) => {
    const made = await rig(context);
    const session = await opened(made);
    for (let at = 0; at < 3_600; at += 30) {
      made.heartbeat(session);
      made.clock.advance(30_000);
      session.stream.take();
    }
    made.clock.advance(1_500);
    assert.equal(await session.outcome(), 'CONNECTOR_EXPIRED');
  });

  it('one that says goodbye is stopped', async (context) => {
    const made = await rig(context);
    const { say, session } = await opened(made);
    say({ $case: 'goodbye', value: { drained: true, openFlows: 0n } });
    const outcome = await session.ended;
    assert.ok(outcome.ok);
    const record = made.registry.connectors.connector('c1');
    assert.deepEqual([record?.standing, record?.reason], ['stopped', 'drained']);
  });

  it('a second Hello, too many targets or too long a CSR end it; unknown messages only past a hundred', async (context) => {
    const made = await rig(context);
    const hello = { instance: undefined, versions: [], clockMs: 0n, uptimeSeconds: 0 };
    const target: SegmentHealth = {
      segmentId: 'a',
      target: 'h:1',
      health: 1,
      latencyMs: 0,
      error: '',
    };
    const kinds = [
      { $case: 'hello', value: hello },
      { $case: 'segmentHealth', value: { segments: Array(4097).fill(target) } },
      { $case: 'renewCsr', value: { csr: Buffer.alloc(16 * 1024 + 1) } },
    ] as const;
    const record = await made.enrol('c1', '1');
    for (const kind of kinds) {
      const { say, outcome } = made.open(record);
      say(kind);
      assert.equal(await outcome(), 'CONNECTOR_SESSION_PROTOCOL', kind.$case);
    }
    const { say, stream, session, outcome } = made.open(record);
    for (let at = 0; at < 100; at++) say(undefined);
    assert.equal(session.isOver, false);
    const notices = stream.take().filter(({ $case }) => $case === 'notice');
    assert.equal(notices.length, 100);
    say(undefined);
    assert.equal(await outcome(), 'CONNECTOR_SESSION_PROTOCOL');
  });

  it('lets no more sessions begin in a second than it is set to', async (context) => {
    const made = await rig(context, { sessionsPerSecond: 2 });
    const codes = () => {
      const admitted = made.hub.admit('c1');
      return admitted.ok
        ? 'ok'
        : `${admitted.error.code} ${typeof admitted.error.details.retryAfterMs}`;
    };
    assert.deepEqual([codes(), codes(), codes()], ['ok', 'ok', 'CONNECTOR_SESSION_PACED number']);
    made.clock.advance(1000);
    assert.deepEqual([codes(), made.hub.counts.refused], ['ok', 1]);
  });
});

describe('a session: what is kept of it', () => {
  it('a beginning and an end are written down, many in one go', async (context) => {
    const made = await rig(context);
    const one = await opened(made, 'c1');
    await opened(made, 'c2');
    const heard = () =>
      ['c1', 'c2'].map((name) => made.registry.connectors.connector(name)?.lastHeardAtSeconds);
    assert.deepEqual(heard(), [0, 0]);
    made.clock.advance(300);
    await new Promise<void>((resolve) => {
      made.registry.connectors.onChange(() => resolve());
    });
    assert.deepEqual(heard(), [START_SECONDS, START_SECONDS]);
    made.clock.advance(20_000);
    one.session.end(ok(undefined));
    await one.outcome();
    await made.hub.close();
    assert.deepEqual(heard(), [START_SECONDS + 20, START_SECONDS]);
  });

  it('a group shows its connectors by state, its segments and who is behind', async (context) => {
    const made = await rig(context);
    await made.segment('a');
    await made.segment('b');
    const one = await opened(made, 'c1');
    const two = await opened(made, 'c2');
    await made.enrol('c3', '31');
    made.heartbeat(one, { activeFlows: 5n });
    const down = { segmentId: 'a', target: 'h:1', health: 2, latencyMs: 0, error: '' } as const;
    two.say({ $case: 'segmentHealth', value: { segments: [down] } });
    const status = made.hub.groupStatus('edge');
    assert.deepEqual(
      { ...status, oldestCertificateExpiresAt: 0n },
      {
        connectors: { active: 2, enrolled: 1 },
        oldestCertificateExpiresAt: 0n,
        segments: 2,
        thinSegments: 1,
        upToDate: 2,
        lastError: '',
        activeFlows: 5n,
      },
    );
    const a = made.registry.connectors.segment('a');
    assert.ok(a);
    assert.equal(made.hub.segmentStatus(a).healthyConnectors, 1);
    const coverage = made.hub.coverage('edge');
    assert.deepEqual([coverage.healthyOf('a'), coverage.healthyOf('b')], [1, 2]);
    assert.equal(coverage.healthyOf('none'), 0);
    await made.segment('c');
    assert.equal(made.hub.groupStatus('edge').upToDate, 0);
  });

  it('tells listeners who changed, gathered', async (context) => {
    const made = await rig(context);
    const told: string[][] = [];
    made.hub.onChange((ids) => told.push([...ids].sort()));
    await opened(made, 'c1');
    await opened(made, 'c2');
    made.clock.advance(100);
    assert.deepEqual(told, [['c1', 'c2']]);
  });

  it('a session of a connector whose node is banned ends within a second', async (context) => {
    const { registry } = await openState(context);
    let agent = agentRecord('n1');
    const seen = new Proxy(registry, {
      get(target, name) {
        if (name === 'agent') return () => agent;
        const value = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const made = new SessionRig(seen);
    context.after(() => made.hub.close());
    await made.group('edge');
    const record = await made.enrol('c1', '1', { agentId: agent.id });
    const { session, outcome } = made.open(record);
    made.clock.advance(10_000);
    assert.equal(session.isOver, false);
    agent = { ...agent, banned: true };
    made.clock.advance(1000);
    assert.equal(await outcome(), 'CONNECTOR_NODE');
  });
});
