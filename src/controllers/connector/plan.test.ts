import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unwrap } from '../../base/result.ts';
import { MAX_SEGMENT_HOSTS } from '../../rules/connector/checks.ts';
import type { ConnectorGroup } from '../../rules/connector/group.ts';
import type { ConnectorRecord, ConnectorStanding } from '../../rules/connector/record.ts';
import type { ConnectorSegment } from '../../rules/connector/segment.ts';
import { parseConnectorGroup } from '../../rules/kube/connector-group.ts';
import { parseConnectorSegment } from '../../rules/kube/connector-segment.ts';
import type { JsonObject } from '../../rules/kube/fields.ts';
import { type GroupObject, groupObjectFrom, segmentObjectFrom } from './connector-object.ts';
import { type ClusterGroups, type GroupPlan, planGroups } from './group-plan.ts';
import { type ClusterSegments, planSegments, type SegmentPlan } from './segment-plan.ts';
import type { ServiceAddresses } from './service-hosts.ts';
import { kubeConnectorsSchema, mayMakeGroup } from './settings.ts';

const FILTER = { className: '', watchClassless: false };

/** An object as the API server gives it; `at` is the second it was made in. */
function object(path: string, spec: JsonObject, at = 0): JsonObject {
  const [, namespace = '', name = ''] = path.split('/');
  const creationTimestamp = new Date(at * 1000).toISOString();
  return { metadata: { namespace, name, uid: `uid-${path}`, creationTimestamp }, spec };
}

const reading = (path: string) => ({ cluster: path.split('/')[0] ?? '', filter: FILTER });

function groupObject(path: string, spec: JsonObject = {}, at = 0): GroupObject {
  const read = groupObjectFrom(object(path, spec, at), reading(path));
  assert.ok(read);
  return read;
}

function segmentObject(path: string, spec: JsonObject) {
  const read = segmentObjectFrom(object(path, spec), reading(path));
  assert.ok(read);
  return read;
}

const nameOf = (path: string) => {
  const [cluster = '', namespace = '', name = ''] = path.split('/');
  return { cluster, namespace, name };
};

/** A group as the store has it; `by` is the object that made it, or nobody. */
function held(name: string, by: string | undefined, spec: JsonObject = {}): ConnectorGroup {
  const path = by ?? `rack/net/${name}`;
  const draft = unwrap(parseConnectorGroup(nameOf(path), spec));
  return { ...draft, origin: by === undefined ? '' : draft.origin, revision: 3n };
}

function view(groups: readonly ConnectorGroup[], standings: readonly ConnectorStanding[] = []) {
  return {
    group: (name: string) => groups.find((one) => one.name === name),
    groups: () => groups,
    connectorsIn: () =>
      standings.map((standing) => {
        // What tells whether one lives; the rest of it is not looked at.
        return { standing, serial: '1', expiresAtSeconds: 11 } as ConnectorRecord;
      }),
  };
}

const cluster = (
  name: string,
  objects: readonly GroupObject[],
  more: Partial<ClusterGroups> = {},
): ClusterGroups => ({ name, objects, isSynced: true, mayMake: () => true, ...more });

const shown = ({ writes, deletes }: GroupPlan | SegmentPlan): readonly string[] => [
  ...writes.map(({ draft, expectedRevision }) => {
    const name = 'id' in draft ? draft.id : draft.name;
    return `+${name} ${draft.origin} ${expectedRevision}`;
  }),
  ...deletes.map(({ name, origin }) => `-${name} ${origin}`),
];
const problems = ({ standings }: GroupPlan | SegmentPlan): readonly string[] =>
  standings
    .map((one) => `${one.object.namespace}/${one.object.name} ${one.problem?.code ?? 'ok'}`)
    .sort();

describe('groups of objects', () => {
  const plan = (
    groups: readonly ConnectorGroup[],
    clusters: readonly ClusterGroups[],
    standings: readonly ConnectorStanding[] = [],
    nowSeconds = 10,
  ) => planGroups({ clusters, view: view(groups, standings), nowSeconds });
  const EDGE = 'kubernetes/rack/net/edge';

  it('are made once, and changed with the object', () => {
    const objects = [groupObject('rack/net/edge')];
    assert.deepEqual(shown(plan([], [cluster('rack', objects)])), [`+edge ${EDGE} 0`]);
    const same = held('edge', 'rack/net/edge');
    assert.deepEqual(shown(plan([same], [cluster('rack', objects)])), []);
    const other = [groupObject('rack/net/edge', { maxInstances: 2 })];
    assert.deepEqual(shown(plan([same], [cluster('rack', other)])), [`+edge ${EDGE} 3`]);
  });

  it('are made by nobody whom configuration does not name', () => {
    const objects = [groupObject('rack/net/edge')];
    const made = plan([], [cluster('rack', objects, { mayMake: () => false })]);
    assert.deepEqual(shown(made), []);
    assert.deepEqual(problems(made), ['net/edge CONNECTOR_GROUP_NOT_ALLOWED']);
  });

  it('end, where configuration names their namespace no more, readable or not', () => {
    for (const spec of [{}, { proofs: ['password'] }]) {
      const objects = [groupObject('rack/net/edge', spec)];
      const withdrawn = cluster('rack', objects, { mayMake: () => false });
      const made = plan([held('edge', 'rack/net/edge')], [withdrawn]);
      assert.deepEqual(shown(made), [`-edge ${EDGE}`]);
      assert.deepEqual(problems(made), ['net/edge CONNECTOR_GROUP_NOT_ALLOWED']);
    }
  });

  it('are not made of a cluster that is not read whole', () => {
    const partly = cluster('rack', [groupObject('rack/net/edge')], { isSynced: false });
    const made = plan([], [partly]);
    assert.deepEqual([shown(made), problems(made)], [[], []]);
  });

  it('of one age go to one object, whoever reads them first; the other is told', () => {
    for (const [older, newer] of [
      [groupObject('rack/net/edge', {}, 1), groupObject('lab/net/edge', {}, 2)],
      [groupObject('lab/net/edge', {}, 1), groupObject('rack/net/edge', {}, 1)],
    ] as const) {
      const both = [older, newer].map((one) => cluster(one.cluster, [one]));
      for (const clusters of [both, both.toReversed()]) {
        const made = plan([], clusters);
        assert.deepEqual(shown(made), [`+edge kubernetes/${older.cluster}/net/edge 0`]);
        assert.deepEqual(problems(made), ['net/edge CONNECTOR_GROUP_CLAIMED', 'net/edge ok']);
      }
    }
  });

  it('stay with the object that has them, else go to the oldest, in whichever order they are read', () => {
    const older = groupObject('lab/net/edge', {}, 1);
    const newer = groupObject('rack/net/edge', {}, 2);
    const both = [cluster('rack', [newer]), cluster('lab', [older])];
    for (const clusters of [both, both.toReversed()]) {
      assert.deepEqual(shown(plan([], clusters)), ['+edge kubernetes/lab/net/edge 0']);
      const kept = plan([held('edge', 'rack/net/edge')], clusters);
      assert.deepEqual(shown(kept), []);
      const told = kept.standings.find(({ object: one }) => one.cluster === 'lab');
      assert.equal(told?.problem?.code, 'CONNECTOR_GROUP_CLAIMED');
      assert.match(told.problem.message, /ConnectorGroup net\/edge of cluster rack/);
    }
  });

  it('of operators are neither changed nor ended', () => {
    const made = plan(
      [held('edge', undefined), held('hand', undefined)],
      [cluster('rack', [groupObject('rack/net/edge', { maxInstances: 5 })])],
    );
    assert.deepEqual(shown(made), []);
    assert.deepEqual(problems(made), ['net/edge CONNECTOR_GROUP_CLAIMED']);
  });

  it('of a cluster that is not read whole, or not known, stay, and nobody else gets their name', () => {
    const ours = held('edge', 'rack/net/edge');
    const other = cluster('lab', [groupObject('lab/net/edge')]);
    for (const clusters of [[cluster('rack', [], { isSynced: false }), other], [other]]) {
      const made = plan([ours], clusters);
      assert.deepEqual(shown(made), []);
      assert.deepEqual(problems(made), ['net/edge CONNECTOR_GROUP_CLAIMED']);
      assert.match(made.standings[0]?.problem?.message ?? '', /net\/edge of cluster rack$/);
    }
    const gone = plan([ours], [cluster('rack', []), other], ['enrolled']);
    assert.match(gone.standings[0]?.problem?.message ?? '', /which is gone, until its last/);
  });

  it('whose object is gone let nobody in, and go with their last connector', () => {
    const open = held('edge', 'rack/net/edge', { proofs: ['bound-key'] });
    const gone = [cluster('rack', [])];
    const first = plan([open], gone, ['stopped', 'draining']);
    assert.deepEqual(shown(first), [`+edge ${EDGE} 3`]);
    assert.deepEqual(first.writes[0]?.draft.proofs, []);
    assert.deepEqual(shown(plan([{ ...open, proofs: [] }], gone, ['enrolled'])), []);
    const closed = { ...open, proofs: [] };
    assert.deepEqual(shown(plan([closed], gone, ['revoked', 'stopped'])), [`-edge ${EDGE}`]);
    const expired = plan([closed], gone, ['enrolled'], 11);
    assert.deepEqual(shown(expired), [`-edge ${EDGE}`]);
  });

  it('whose object cannot be read any more stay as they are', () => {
    const broken = [cluster('rack', [groupObject('rack/net/edge', { proofs: ['password'] })])];
    const made = plan([held('edge', 'rack/net/edge')], broken);
    assert.deepEqual(shown(made), []);
    assert.deepEqual(problems(made), ['net/edge RULE_SPEC']);
  });

  it('are allowed by namespace and name, or how names begin', () => {
    const groups = [
      { namespace: 'net', names: ['edge', 'edge-*'] },
      { namespace: 'all', names: ['*'] },
    ];
    const settings = kubeConnectorsSchema.parse({ groups });
    const may = (namespace: string, name: string) => mayMakeGroup(settings, { namespace, name });
    assert.ok(may('net', 'edge') && may('net', 'edge-eu') && may('all', 'any'));
    assert.ok(!may('net', 'edges') && !may('net', 'edg') && !may('netx', 'edge'));
    assert.ok(!may('net', 'edgy') && !may('net', 'other') && !may('shop', 'edge'));
    assert.ok(!mayMakeGroup(kubeConnectorsSchema.parse({}), { namespace: 'net', name: 'edge' }));
    for (const name of ['', '*x', 'a*b', 'Edge', '-*', 'edge.*']) {
      const wrong = { groups: [{ namespace: 'net', names: [name] }] };
      assert.ok(!kubeConnectorsSchema.safeParse(wrong).success, name);
    }
  });
});

describe('segments of objects', () => {
  const DB = 'kubernetes/rack/shop/db';
  const SPEC = { groups: ['edge'], hosts: ['db.shop.test'], ports: [{ port: 5432 }] };
  const TAKES = { segmentNamespaces: ['shop'] };

  function stored(path: string, spec: JsonObject, by = path): ConnectorSegment {
    const { draft } = unwrap(parseConnectorSegment(nameOf(path), spec));
    const origin = by === '' ? '' : draft.origin;
    return { ...draft, origin, revision: 4n, createdRevision: 2n };
  }

  function plan(
    {
      groups = [held('edge', undefined, TAKES)],
      segments = [],
      services = {},
    }: {
      readonly groups?: readonly ConnectorGroup[];
      readonly segments?: readonly ConnectorSegment[];
      readonly services?: Readonly<Record<string, ServiceAddresses>>;
    },
    spec: JsonObject | undefined,
    more: Partial<ClusterSegments> = {},
  ): SegmentPlan {
    const rack: ClusterSegments = {
      name: 'rack',
      isSynced: true,
      objects: spec === undefined ? [] : [segmentObject('rack/shop/db', spec)],
      service: (key) => services[key],
      clusterDomain: 'cluster.local',
      ...more,
    };
    const found = (id: string) => segments.find((one) => one.id === id);
    const seen = { ...view(groups), segment: found, segments: () => segments };
    return planSegments({ clusters: [rack], view: seen });
  }

  it('are made once, changed and ended with the object', () => {
    assert.deepEqual(shown(plan({}, SPEC)), [`+rack/shop/db ${DB} 0`]);
    const segments = [stored('rack/shop/db', SPEC)];
    assert.deepEqual(shown(plan({ segments }, SPEC)), []);
    const changed = plan({ segments }, { ...SPEC, priority: 2 });
    assert.deepEqual(shown(changed), [`+rack/shop/db ${DB} 4`]);
    assert.deepEqual(shown(plan({ segments }, undefined)), [`-rack/shop/db ${DB}`]);
  });

  it('are taken by a group that names their namespace alone, and end where it no longer does', () => {
    const segments = [stored('rack/shop/db', SPEC)];
    const made = plan({ groups: [held('edge', undefined, {})], segments }, SPEC);
    assert.deepEqual(shown(made), [`-rack/shop/db ${DB}`]);
    assert.deepEqual(problems(made), ['shop/db CONNECTOR_SEGMENT_NOT_PERMITTED']);
  });

  it('labels that a group selects by are no permission', () => {
    const selecting = { segmentSelector: { matchLabels: { tier: 'db' } } };
    const { groups: _, ...spec } = { ...SPEC, labels: { tier: 'db' } };
    const refused = plan({ groups: [held('edge', undefined, selecting)] }, spec);
    assert.deepEqual(shown(refused), []);
    assert.deepEqual(problems(refused), ['shop/db CONNECTOR_SEGMENT_NOT_PERMITTED']);
    const taken = plan({ groups: [held('edge', undefined, { ...selecting, ...TAKES })] }, spec);
    assert.deepEqual(shown(taken), [`+rack/shop/db ${DB} 0`]);
    assert.deepEqual(taken.writes[0]?.draft.groups, [], 'selected, not named');
  });

  it('labels select for groups that ask for some, all of those that they ask for, once', () => {
    const selector = (matchLabels: JsonObject) => ({ ...TAKES, segmentSelector: { matchLabels } });
    const groups = [
      held('all', undefined, selector({ tier: 'db', site: 'eu' })),
      held('any', undefined, TAKES),
      held('edge', undefined, selector({ tier: 'db' })),
    ];
    const { groups: _, ...unnamed } = { ...SPEC, labels: { tier: 'db', site: 'us' } };
    const alone = plan({ groups: groups.slice(0, 2) }, unnamed);
    assert.deepEqual(problems(alone), ['shop/db CONNECTOR_SEGMENT_GROUP']);
    assert.deepEqual(shown(alone), []);
    const named = plan({ groups }, { ...SPEC, labels: { tier: 'db', site: 'us' } });
    assert.deepEqual(named.writes[0]?.draft.groups, ['edge']);
  });

  it('with more hosts by their services than a segment may have are none', () => {
    const clusterIps = (count: number) =>
      Array.from({ length: count }, (_, at) => `10.0.${at >> 8}.${at & 255}`);
    const spec = { ...SPEC, services: [{ name: 'db' }] };
    const made = (count: number) => {
      const services = { 'shop/db': { isExternal: false, clusterIps: clusterIps(count) } };
      return plan({ services }, spec);
    };
    // One host of its own, and two names of the service.
    assert.equal(made(MAX_SEGMENT_HOSTS - 3).writes[0]?.draft.hosts.length, MAX_SEGMENT_HOSTS);
    assert.deepEqual(shown(made(MAX_SEGMENT_HOSTS - 2)), []);
    assert.deepEqual(problems(made(MAX_SEGMENT_HOSTS - 2)), ['shop/db CONNECTOR_SEGMENT_INVALID']);
  });

  it('are not made of a cluster that is not read whole', () => {
    const made = plan({}, SPEC, { isSynced: false });
    assert.deepEqual([shown(made), problems(made)], [[], []]);
  });

  it('of several groups are made for those that take them, and say why not for the others', () => {
    const groups = [held('edge', undefined, TAKES), held('core', undefined, {})];
    const made = plan({ groups }, { ...SPEC, groups: ['core', 'edge', 'none'] });
    assert.deepEqual(made.writes[0]?.draft.groups, ['edge']);
    assert.deepEqual(problems(made), ['shop/db CONNECTOR_SEGMENT_NOT_PERMITTED']);
    assert.equal(made.standings[0]?.isWritten, true);
  });

  it('without a group are none', () => {
    const made = plan({ groups: [] }, SPEC);
    assert.deepEqual(shown(made), []);
    assert.deepEqual(problems(made), ['shop/db CONNECTOR_SEGMENT_GROUP']);
  });

  it('have the names and addresses of their services, as far as the group takes them', () => {
    const services = { 'shop/db': { isExternal: false, clusterIps: ['10.96.0.7', 'fd00::7'] } };
    const spec = { ...SPEC, services: [{ name: 'db' }] };
    assert.deepEqual(plan({ services }, spec).writes[0]?.draft.hosts, [
      'db.shop.test',
      'db.shop.svc',
      'db.shop.svc.cluster.local',
      '10.96.0.7',
      'fd00::7',
    ]);
    const only = { ...TAKES, segmentHosts: ['*.shop.svc.cluster.local', 'db.shop.test'] };
    const limited = plan({ services, groups: [held('edge', undefined, only)] }, spec);
    assert.deepEqual(limited.writes[0]?.draft.hosts, ['db.shop.test', 'db.shop.svc.cluster.local']);
    const none = { ...TAKES, segmentHosts: ['db.shop.test'] };
    const refused = plan({ services, groups: [held('edge', undefined, none)] }, spec);
    assert.deepEqual(problems(refused), ['shop/db CONNECTOR_SEGMENT_NOT_PERMITTED']);
  });

  it('of a service that is not there, leads elsewhere, or is of another namespace are none', () => {
    const spec = { ...SPEC, services: [{ name: 'db' }] };
    const there = { isExternal: false, clusterIps: [] };
    for (const services of [
      {},
      { 'shop/db': { ...there, isExternal: true } },
      { 'net/db': there },
    ]) {
      const made = plan({ services }, spec);
      assert.deepEqual(shown(made), []);
      assert.deepEqual(problems(made), ['shop/db CONNECTOR_SERVICE_UNKNOWN']);
    }
  });

  it('stay while their cluster is not read whole, and where they cannot be read any more', () => {
    const segments = [stored('rack/shop/db', SPEC)];
    assert.deepEqual(shown(plan({ segments }, undefined, { isSynced: false })), []);
    assert.deepEqual(shown(plan({ segments }, { ...SPEC, ports: [{ port: 0 }] })), []);
    const other = [stored('lab/shop/db', SPEC)];
    assert.deepEqual(shown(plan({ segments: other }, undefined)), []);
  });

  it('of operators are neither changed nor ended', () => {
    const made = plan({ segments: [stored('rack/shop/db', SPEC, '')] }, { ...SPEC, priority: 1 });
    assert.deepEqual(shown(made), []);
    assert.deepEqual(problems(made), ['shop/db CONNECTOR_SEGMENT_CLAIMED']);
  });
});
