import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { ResourceType, SegmentUpdate } from '../../src/gen/signet/connector/v1/connector.ts';
import type { ConnectorSegmentDraft } from '../../src/rules/connector/segment.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { askFlow, type PeerIdentity } from '../support/connector-peer.ts';
import { ConnectorRig } from '../support/connector-rig.ts';
import { segmentDraft } from '../support/connector-state.ts';
import { type HandMadeSession, handMadeSession } from '../support/hand-made-session.ts';
import { JsonLines, soon } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { ask, assertStatus } from '../support/server.ts';
import { TRUST_DOMAIN } from '../support/state.ts';
import { testFolder } from '../support/workload-api.ts';

// As many segments as a large site has, from a server process to a connector process.

const COUNT = 10_000;
const SEGMENTS = ResourceType.RESOURCE_TYPE_SEGMENTS;
const APP = 'spiffe://example.org/app';

/** Segment `n` is a host of its own; wider ones stand around them, for somebody else. */
function segments(): readonly ConnectorSegmentDraft[] {
  const ports = [{ first: 1, last: 65_535 }];
  const labels = { team: 'a team with a name that is as long as such names are', site: 'berlin' };
  const plain = { ports, labels, groups: ['edge'] };
  const wide = { ...plain, clients: ['spiffe://example.org/wide'] };
  const single = Array.from({ length: COUNT - 4 }, (_, at) =>
    segmentDraft(`host-${at}`, { ...plain, hosts: [hostOf(at)], clients: [APP] }),
  );
  return [
    ...single,
    segmentDraft('wild', { ...wide, hosts: ['*.example.net'] }),
    segmentDraft('wild-7', { ...wide, hosts: ['*.r7.example.net'], clients: [APP] }),
    segmentDraft('block', { ...wide, hosts: ['127.0.0.0/8'] }),
    segmentDraft('address', { ...plain, hosts: ['127.7.7.0/24'], clients: [APP] }),
  ];
}

const hostOf = (at: number): string => `h${at}.r${at % 100}.example.net`;

/** Writes them where a server finds them at its start: one by one over the wire takes minutes. */
async function seed(rig: ConnectorRig): Promise<void> {
  await rig.fleet.stopServer();
  const path = join(rig.fleet.dir, 'server/data/server.sqlite');
  const place = { path, trustDomain: TRUST_DOMAIN, random: systemRandom, clock: systemClock };
  const store = assertValue(await openSqliteStore(place));
  const writes = segments().map((draft) => ({ draft, expectedRevision: undefined }));
  assertValue(await store.writeConnectorSegments(writes));
  await store.close();
  await rig.fleet.startServer();
}

interface Said {
  readonly event: string;
  readonly [detail: string]: unknown;
}

/** A reference connector as a process, and where it keeps its state. */
async function startProcess(context: TestContext, rig: ConnectorRig) {
  const folder = testFolder(context);
  const at = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const key = at('key', await rig.createKey());
  const bundle = at('bundle.pem', rig.root.pem);
  const who = ['--trust-domain', 'example.org', '--bundle', bundle, '--group', 'edge'];
  const state = join(folder, 'state');
  const where = ['--server', `127.0.0.1:${rig.port}`, '--state', state];
  const argv = ['examples/connector/main.ts', ...who, ...where, '--provisioning-key-file', key];
  const lines = new JsonLines<Said>(process.execPath, argv);
  context.after(() => lines.stop());
  return { lines, state };
}

/** Most memory that a process ever had, in MiB. */
function peakMiB({ child }: JsonLines<Said>): number {
  const [, kib] =
    /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kib) / 1024);
}

test('10,000 segments come in chunks, change one by one, and the closest still decides', async (context) => {
  const rig = await ConnectorRig.start();
  context.after(() => rig.stop());
  await rig.putGroup();
  const app = await rig.mint('/app');
  const { lines: bare, state: other } = await startProcess(context, rig);
  await bare.next(({ event }) => event === 'segments');
  const bareMiB = peakMiB(bare);
  await bare.stop();
  await seed(rig);

  const { lines: one, state } = await startProcess(context, rig);
  const { port } = await one.next(({ event }) => event === 'listening');
  const holds = (count: number) =>
    one.next(({ event, segments: held }) => event === 'segments' && held === count);
  await holds(COUNT);
  const answer = answerer(Number(port), app);
  assert.deepEqual(
    await Promise.all(
      [hostOf(0), hostOf(9995), 'other.r7.example.net', 'other.example.net'].map(answer),
    ),
    ['502', '502', '502', '403 client-not-allowed'],
  );
  assert.equal(await answer('127.7.7.7'), '502');
  assert.equal(await answer('127.7.8.7'), '403 client-not-allowed');
  assert.equal(await answer('other.example.org'), '403 no-segment');

  await assertStatus(
    rig.putSegment('twin', { hosts: [hostOf(77)], ports: [{ first: 1, last: 65_535 }] }),
    'CONNECTOR_SEGMENT_CONFLICT',
  );
  await rig.putSegment('closer', { hosts: ['127.7.7.7'], clients: ['spiffe://example.org/other'] });
  await holds(COUNT + 1);
  assert.equal(await answer('127.7.7.7'), '403 client-not-allowed');
  assert.equal(await answer('127.7.7.8'), '502');
  for (const name of ['closer', 'host-77']) {
    await ask(rig.admin(), ConnectorAdminService.deleteSegment, { name });
  }
  await holds(COUNT - 1);
  assert.equal(await answer(hostOf(77)), '403 client-not-allowed', 'the wildcard decides');
  await isCurrent(rig);
  for (let priority = 1; priority <= 10; priority++) {
    await rig.putSegment('closer', { hosts: ['127.7.7.7'], priority });
  }
  await isCurrent(rig);
  const [peak, most] = [peakMiB(one), bareMiB + 256];
  assert.ok(peak <= most, `${peak} MiB`);
  context.diagnostic(`peak of the connector: ${peak} MiB, without segments ${bareMiB} MiB`);
  await one.stop();
  await chunksAndChange(rig, state);
  await slowReader(rig, other, state);
});

/** Waits until the connector has accepted the newest segments. */
async function isCurrent(rig: ConnectorRig): Promise<void> {
  await soon(async () => {
    const { connectors } = await ask(rig.admin(), ConnectorAdminService.listConnectors, {
      ...{ group: 'edge', states: ['active'], pageSize: 0, pageToken: '' },
    });
    return connectors.some(({ versions, wantedSegmentsVersion }) =>
      versions.some(({ version }) => version === wantedSegmentsVersion),
    );
  });
}

/** The same over the wire: all in chunks of at most 1 MiB, then one change of one. */
async function chunksAndChange(rig: ConnectorRig, state: string): Promise<void> {
  const { stream, updates, last, say } = handMadeSession(rig, state);
  const { version, nonce } = await last(1);
  const chunks = updates();
  assert.ok(chunks.length > 1);
  for (const [at, chunk] of chunks.entries()) {
    assert.deepEqual([chunk.full, chunk.version, chunk.nonce], [true, version, nonce]);
    assert.equal(chunk.last, at === chunks.length - 1);
    assert.ok(SegmentUpdate.encode(chunk).finish().length <= 1024 * 1024);
  }
  const ids = chunks.flatMap(({ segments: some }) => some.map(({ id }) => id));
  assert.deepEqual([ids.length, new Set(ids).size], [COUNT, COUNT]);
  say({ $case: 'ack', value: { type: SEGMENTS, version, nonce } });
  await rig.putSegment('closer', { hosts: ['127.7.7.7'], priority: 99 });
  const change = await last(2);
  assert.deepEqual([change.full, change.baseVersion], [false, version]);
  assert.deepEqual(
    updates()
      .slice(chunks.length)
      .flatMap(({ segments: some }) => some.map(({ id, priority }) => `${id} ${priority}`)),
    ['closer 99'],
  );
  stream.cancel();
}

/** One that does not read holds nobody up, and is not sent what came in between. */
async function slowReader(rig: ConnectorRig, slowState: string, quickState: string): Promise<void> {
  const accept = (session: HandMadeSession, { version, nonce }: SegmentUpdate): void =>
    session.say({ $case: 'ack', value: { type: SEGMENTS, version, nonce } });
  const bytesOf = (updates: readonly SegmentUpdate[]): number =>
    updates.reduce((bytes, one) => bytes + SegmentUpdate.encode(one).finish().length, 0);
  const slow = handMadeSession(rig, slowState);
  // HTTP/2 lets through no more than its window.
  slow.stream.pause();
  const quick = handMadeSession(rig, quickState);
  accept(quick, await quick.last(1));
  const whole = bytesOf(quick.updates());
  for (let round = 1; round <= 5; round++) {
    await rig.putSegment('closer', { hosts: ['127.7.7.7'], priority: 100 + round });
    accept(quick, await quick.last(1 + round));
  }
  assert.equal(slow.updates().length, 0);
  slow.stream.resume();
  const newest = () =>
    slow.updates().some(({ segments: some }) => some.some(({ priority }) => priority === 105));
  for (let at = 1; at <= 2; at++) {
    accept(slow, await slow.last(at));
    if (newest()) break;
  }
  assert.ok(newest());
  assert.ok(bytesOf(slow.updates()) <= 2 * whole);
  for (const { stream } of [slow, quick]) stream.cancel();
}

function answerer(port: number, app: PeerIdentity) {
  return async (host: string): Promise<string> => {
    const { status, reason, socket } = await askFlow(port, `${host}:443`, app);
    socket.destroy();
    return status === 502 ? '502' : `${status} ${reason}`;
  };
}
