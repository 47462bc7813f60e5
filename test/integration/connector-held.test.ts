import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Held, Unusable } from '../../examples/connector/held.ts';
import type { Segment, SegmentUpdate } from '../../examples/connector/wire.ts';
import { startConnector } from '../support/connector-rig.ts';
import {
  ScriptedConnectorServer,
  segmentUpdate,
  wireSegment,
} from '../support/scripted-connector-server.ts';

const MIB = 1024 * 1024;

function segment(id: string): Segment {
  return {
    id,
    hosts: ['10.0.0.1'],
    protocol: 'PROTOCOL_TCP',
    ports: [{ first: 1, last: 65_535 }],
    clients: [],
    upstreamTls: 'UPSTREAM_TLS_NONE',
    upstreamId: '',
    healthCheck: 'HEALTH_CHECK_KIND_NONE',
    healthCheckIntervalSeconds: 0,
    healthCheckPath: '',
    draining: false,
    priority: 0,
  };
}

function chunk(version: string, fields: Partial<SegmentUpdate> = {}): SegmentUpdate {
  const rest = { segments: [], removedIds: [], nonce: Buffer.from(version), baseVersion: '' };
  return { full: true, last: false, ...rest, ...fields, version };
}

/** Takes `count` segments in chunks, the last of which is not sent. */
function takeMany(held: Held, version: string, count: number): void {
  for (let at = 0; at < count; at += 10_000) {
    const segments = Array.from({ length: Math.min(10_000, count - at) }, (_, of) =>
      segment(`s${at + of}`),
    );
    held.takeSegments(chunk(version, { segments }), 1);
  }
}

const versionOf = (held: Held) => held.versions()[0]?.version;

test('the reference connector holds 100,000 segments and not one more', () => {
  const held = new Held('example.org', []);
  takeMany(held, 'most', 100_000);
  assert.equal(held.takeSegments(chunk('most', { last: true }), 1), true);
  assert.equal(held.table.segments.length, 100_000);
  takeMany(held, 'more', 100_000);
  const one = { segments: [segment('one')] };
  assert.throws(() => held.takeSegments(chunk('more', one), 1), Unusable);
  const change = { full: false, baseVersion: 'most', last: true, ...one };
  assert.throws(() => held.takeSegments(chunk('change', change), 1), Unusable);
  assert.deepEqual([versionOf(held), held.table.segments.length], ['most', 100_000]);
});

test('names that are taken away are counted too', () => {
  const held = new Held('example.org', []);
  const removedIds = Array.from({ length: 50_000 }, (_, at) => `s${at}`);
  held.takeSegments(chunk('a', { removedIds }), 1);
  held.takeSegments(chunk('a', { removedIds }), 1);
  assert.throws(() => held.takeSegments(chunk('a', { removedIds: ['x'] }), 1), Unusable);
});

test('an update of 64 MiB is taken, one of a byte more is not, however it is cut', () => {
  const held = new Held('example.org', []);
  for (let at = 0; at < 15; at += 1) held.takeSegments(chunk('a'), 4 * MIB);
  assert.equal(held.takeSegments(chunk('a', { last: true }), 4 * MIB), true);
  for (let at = 0; at < 16; at += 1) held.takeSegments(chunk('b'), 4 * MIB);
  assert.throws(() => held.takeSegments(chunk('b', { last: true }), 1), Unusable);
  assert.equal(versionOf(held), 'a');
});

test('the rest of an update that was refused is no update', () => {
  const held = new Held('example.org', []);
  const segments = [segment('rest')];
  assert.throws(() => held.takeSegments(chunk('a'), 65 * MIB), Unusable);
  assert.equal(held.takeSegments(chunk('a', { segments }), 1), false);
  assert.equal(held.takeSegments(chunk('a', { segments, last: true }), 1), false);
  assert.deepEqual([versionOf(held), held.table.segments.length], [undefined, 0]);
  // Sent once more, it is one.
  assert.equal(held.takeSegments(chunk('a', { segments, last: true }), 1), true);
});

test('chunks that broke off with their session are no part of what the next one sends', () => {
  const held = new Held('example.org', []);
  held.takeSegments(chunk('a', { segments: [segment('old')], last: true }), 1);
  const broken = { full: false, baseVersion: 'a', segments: [segment('broken')] };
  held.takeSegments(chunk('b', { ...broken, nonce: Buffer.from('1') }), 1);
  const whole = { segments: [segment('new')], nonce: Buffer.from('2'), last: true };
  assert.equal(held.takeSegments(chunk('b', whole), 1), true);
  const same = { nonce: Buffer.from('2'), segments: [segment('broken')] };
  held.takeSegments(chunk('d', { ...same, full: false, baseVersion: 'b' }), 1);
  assert.equal(held.takeSegments(chunk('d', whole), 1), true);
  const ids = () => held.table.segments.map(({ id }) => id);
  assert.deepEqual(ids(), ['new']);
  assert.throws(() => held.takeSegments(chunk('c'), 65 * MIB), Unusable);
  held.reset();
  assert.equal(held.takeSegments(chunk('c', { last: true }), 1), true);
});

test('a session begins with no chunk of the one before it', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const { connector } = await startConnector(context, server);
  const first = await server.session(0);
  server.welcome(first, []);
  const part = { full: true, last: false, segments: [wireSegment('stray')] };
  first.say({ $case: 'segments', value: segmentUpdate('big', part) });
  first.say({ $case: 'ping', value: { serverTimeMs: 0n } });
  await first.next('heartbeat');
  first.end();
  const second = await server.session(1);
  const last = segmentUpdate('big', { full: true, segments: [wireSegment('last')] });
  second.say({ $case: 'segments', value: last });
  await second.next('ack');
  const ids = connector.serving.held.table.segments.map(({ id }) => id);
  assert.deepEqual(ids, ['last']);
});
