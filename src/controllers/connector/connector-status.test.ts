import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KubeRequest } from '../../kube/kube-api.ts';
import { type KubeObject, objectsAt, textAt } from '../../kube/objects.ts';
import type { PodEvent } from '../pod-events.ts';
import { groupObjectFrom, segmentObjectFrom } from './connector-object.ts';
import type { ConnectorStandings } from './connector-objects.ts';
import { ConnectorStatus } from './connector-status.ts';
import type { GroupFigures, SegmentFigures } from './status-of.ts';

const READING = { cluster: 'rack', filter: { className: '', watchClassless: false } };
const GROUP: GroupFigures = {
  connectors: new Map([['active', 1]]),
  upToDate: 1,
  segments: 1,
  thinSegments: 1,
  activeFlows: 0,
  oldestCertificateExpiresAtSeconds: 0,
  lastError: '',
};
const SEGMENT: SegmentFigures = { groups: ['edge'], conflicts: [], healthyConnectors: 1 };
const REFUSAL = fail('CONNECTOR_SEGMENT_NOT_PERMITTED', 'planted').error;

let clock: ManualClock;
let calls: KubeRequest[];
let events: PodEvent[];
let figures: { group: GroupFigures; segment: SegmentFigures };
let standings: ConnectorStandings;
let answer: (path: string) => Result<KubeObject>;
let term: AbortController | undefined;
let changed: () => void;
let heard: () => void;

const object = (name: string, status: object = {}): KubeObject => ({
  metadata: { namespace: 'net', name, uid: `uid-${name}`, generation: 2 },
  spec: { hosts: ['a.test'], ports: [{ port: 1 }], groups: ['edge'] },
  status,
});

function standing(groupStatus: object = {}, problem?: typeof REFUSAL): ConnectorStandings {
  const group = groupObjectFrom(object('edge', groupStatus), READING) ?? assert.fail();
  const segment = segmentObjectFrom(object('db'), READING) ?? assert.fail();
  const isWritten = problem === undefined;
  return {
    groups: [{ object: group, problem: undefined }],
    segments: [{ object: segment, id: 'rack/net/db', problem, isWritten, hosts: ['a.test'] }],
  };
}

function start(): ConnectorStatus {
  return new ConnectorStatus({
    api: {
      request: async (request) => {
        calls.push(request);
        return answer(request.path);
      },
    },
    clock,
    events: { tell: (event) => events.push(event) },
    leader: {
      get term() {
        return term?.signal;
      },
      onChange: () => () => {},
    },
    standings: () => standings,
    onChange(listener) {
      changed = listener;
      return () => {};
    },
    figures: {
      now: () => ({ group: () => figures.group, segment: () => figures.segment }),
      onChange(listener) {
        heard = listener;
        return () => {};
      },
    },
    onFault: () => {},
  });
}

/** Reasons that the last call of an object wrote. */
function written(name: string): readonly string[] {
  const call = calls.findLast(({ path }) => path.endsWith(`/${name}/status`));
  const body = call !== undefined && 'body' in call ? (call.body as KubeObject) : {};
  return objectsAt(body, 'status', 'conditions').map(
    (one) => `${textAt(one, 'type')}=${textAt(one, 'reason')}`,
  );
}

/** Lets what was begun come to its end: the fake answers at once. */
function settled(): Promise<void> {
  return setImmediate();
}

beforeEach(() => {
  clock = new ManualClock(1_000_000);
  [calls, events] = [[], []];
  figures = { group: GROUP, segment: SEGMENT };
  standings = standing();
  answer = () => ok({});
  term = new AbortController();
});

describe('the status of connector objects', () => {
  it('is written once, by who leads, and not again while nothing changes', async () => {
    const status = start();
    await settled();
    assert.deepEqual(written('edge'), ['Accepted=Accepted', 'Conflict=NoConflict', 'Ready=Active']);
    assert.deepEqual(written('db'), ['Accepted=Accepted', 'Conflict=NoConflict', 'Ready=Served']);
    assert.equal(calls.length, 2);
    changed();
    heard();
    clock.advance(60_000);
    await settled();
    assert.equal(calls.length, 2);
    await status.stop();
    term = undefined;
    const follower = start();
    await settled();
    assert.equal(calls.length, 2);
    await follower.stop();
  });

  it('figures alone are written after a while, conditions at once', async () => {
    const status = start();
    await settled();
    calls = [];
    figures = { ...figures, group: { ...GROUP, activeFlows: 7 } };
    heard();
    clock.advance(5_000);
    await settled();
    assert.equal(calls.length, 0);
    clock.advance(25_000);
    await settled();
    assert.equal(calls.length, 1, 'half a minute after the last one');
    figures = { ...figures, group: { ...GROUP, activeFlows: 8 } };
    heard();
    clock.advance(5_000);
    await settled();
    assert.equal(calls.length, 1, 'and waits again, which keeps nothing else waiting');
    figures = { ...figures, group: { ...GROUP, connectors: new Map([['lost', 1]]) } };
    heard();
    clock.advance(5_000);
    await settled();
    assert.deepEqual(written('edge').at(-1), 'Ready=TooFewConnectors');
    await status.stop();
  });

  it('a server that comes to lead leaves what is written already', async () => {
    const status = start();
    await settled();
    const [first = assert.fail()] = calls;
    const shown = 'body' in first ? (first.body as { readonly status: object }).status : {};
    await status.stop();
    // As the API server keeps it: without what was null.
    const kept = Object.entries(shown).filter(([, value]) => value !== null);
    standings = standing(Object.fromEntries(kept));
    calls = [];
    const next = start();
    await settled();
    assert.deepEqual(
      calls.map(({ path }) => path.split('/').at(-2)),
      ['db'],
    );
    await next.stop();
  });

  it('one object that is refused keeps no other waiting, and is tried again', async () => {
    answer = (path) =>
      path.includes('connectorgroups') ? fail('KUBE_REFUSED', 'planted') : ok({});
    const status = start();
    await settled();
    assert.deepEqual(written('db').length, 3);
    answer = () => ok({});
    calls = [];
    clock.advance(5_000);
    await settled();
    assert.deepEqual(
      calls.map(({ path }) => path.split('/').at(-2)),
      ['edge'],
    );
    await status.stop();
  });

  it('refusals and conflicts are events, once', async () => {
    standings = standing({}, REFUSAL);
    const status = start();
    await settled();
    changed();
    await settled();
    assert.deepEqual(
      events.map(({ pod, reason, type }) => `${pod.name} ${reason} ${type}`),
      ['db NotAccepted Warning'],
    );
    assert.deepEqual(written('db'), [
      'Accepted=NotPermitted',
      'Conflict=NoConflict',
      'Ready=NotAccepted',
    ]);
    standings = standing();
    const conflicts = [{ group: 'edge', segmentId: 'rack/net/a', detail: 'a.test, tcp port 1' }];
    figures = { ...figures, segment: { ...SEGMENT, groups: [], conflicts } };
    changed();
    await settled();
    assert.deepEqual(events.map(({ reason }) => reason).slice(1), ['Conflict']);
    assert.match(events[1]?.message ?? '', /group edge: rack\/net\/a came first and has a\.test/);
    await status.stop();
  });
});
