import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  boundKey,
  enrolment,
  groupDraft,
  NO_CONNECTORS,
  provisioningKey,
  segmentDraft,
} from '../../test/support/connector-state.ts';
import { id, openState } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { servedSegments } from '../rules/connector/conflicts.ts';
import type { ConnectorGroup, ConnectorGroupDraft } from '../rules/connector/group.ts';
import { connectorOriginOf } from '../rules/connector/permission.ts';
import type { ConnectorSegment, ConnectorSegmentDraft } from '../rules/connector/segment.ts';
import { Connectors } from './connector-view.ts';
import type { ConnectorRegistry, ConnectorsChanged } from './connectors.ts';

const ALL = { pageSize: 0, pageToken: '' };

async function putGroup(connectors: ConnectorRegistry, draft: ConnectorGroupDraft) {
  return unwrap(await connectors.writeConnectorGroups([{ draft, expectedRevision: undefined }]));
}

async function putSegment(connectors: ConnectorRegistry, draft: ConnectorSegmentDraft) {
  return unwrap(await connectors.writeConnectorSegments([{ draft, expectedRevision: undefined }]));
}

const group = (draft: ConnectorGroupDraft): ConnectorGroup => ({ ...draft, revision: 1n });
const segment = (draft: ConnectorSegmentDraft): ConnectorSegment => ({
  ...draft,
  revision: 1n,
  createdRevision: 1n,
});

function told(view: Connectors): readonly (readonly string[])[] {
  let last: ConnectorsChanged | undefined;
  const end = view.onChange((changed) => {
    assert.equal(last, undefined);
    last = changed;
  });
  view.notify();
  end();
  if (last === undefined) return [];
  return [[...last.groups], [...last.segments], [...last.connectors]].map((set) => set.sort());
}

describe('the view of connectors', () => {
  it('shows a write when that is answered, by every index', async (context) => {
    const { registry } = await openState(context);
    const { connectors } = registry;
    await putGroup(connectors, groupDraft('g'));
    const answer = unwrap(await connectors.enrolConnector(enrolment('a', 'g')));
    assert.equal(answer.outcome, 'enrolled');
    const record = answer.connector;
    const shown = () => [
      connectors.connector('a'),
      connectors.connectorBySpiffeId(id('/connector/g/a')),
      connectors.connectorOf('pod:c/a'),
      [...connectors.connectorsIn('g')][0],
      [...connectors.connectors()][0],
      unwrap(connectors.listConnectors(() => true, ALL)).items[0],
    ];
    for (const one of shown()) assert.equal(one, shown()[0]);
    assert.deepEqual([shown()[0], connectors.connectorCount], [record, 1]);
    const changed = unwrap(
      await connectors.changeConnector('a', { kind: 'revoked', atSeconds: 1, reason: '' }),
    );
    for (const one of shown()) assert.deepEqual(one, changed);
    unwrap(await connectors.deleteConnectors([{ id: 'a', revision: undefined }]));
    for (const one of shown()) assert.equal(one, undefined);
    assert.equal(connectors.connectorCount, 0);
  });

  it('forgets whose name was taken over', async (context) => {
    const { connectors } = (await openState(context)).registry;
    await putGroup(connectors, groupDraft('g'));
    unwrap(await connectors.enrolConnector(enrolment('a', 'g')));
    unwrap(await connectors.changeConnector('a', { kind: 'stopped', atSeconds: 1, reason: '' }));
    unwrap(await connectors.enrolConnector(enrolment('a', 'g', { claimant: 'pod:c/b' })));
    assert.equal(connectors.connectorOf('pod:c/a'), undefined);
    assert.equal(connectors.connectorOf('pod:c/b')?.id, 'a');
    assert.equal([...connectors.connectorsIn('g')].length, 1);
  });

  it('shows keys, and is silent of them', async (context) => {
    const { connectors } = (await openState(context)).registry;
    await putGroup(connectors, groupDraft('g'));
    let calls = 0;
    connectors.onChange(() => calls++);
    unwrap(await connectors.createProvisioningKey(provisioningKey('k', 'g')));
    unwrap(await connectors.registerBoundKey(boundKey('b', 'g')));
    assert.equal(connectors.provisioningKey('k')?.uses, 0);
    assert.equal(connectors.boundKey('b')?.recoveryCount, 0n);
    assert.equal([...connectors.provisioningKeys(), ...connectors.boundKeys()].length, 2);
    unwrap(await connectors.deleteProvisioningKeys(['k']));
    unwrap(await connectors.deleteBoundKeys(['b']));
    assert.deepEqual(
      [connectors.provisioningKey('k'), connectors.boundKey('b')],
      [undefined, undefined],
    );
    assert.equal(calls, 0);
  });

  it('lists by name in pages, of a group what it serves', async (context) => {
    const { connectors } = (await openState(context)).registry;
    for (const name of ['g2', 'g1']) await putGroup(connectors, groupDraft(name));
    for (const name of ['c', 'a', 'b']) {
      await putSegment(connectors, segmentDraft(name, { groups: name === 'b' ? [] : ['g1'] }));
    }
    const first = unwrap(connectors.listSegments('g1', { pageSize: 1, pageToken: '' }));
    const { nextPageToken: pageToken } = first;
    const second = unwrap(connectors.listSegments('g1', { pageSize: 1, pageToken }));
    assert.deepEqual(
      [first, second].map(({ items }) => items.map((one) => one.id)),
      [['a'], ['c']],
    );
    assert.equal(second.nextPageToken, '');
    assert.equal(unwrap(connectors.listSegments(undefined, ALL)).items.length, 3);
    assert.deepEqual(
      unwrap(connectors.listGroups(ALL)).items.map(({ name }) => name),
      ['g1', 'g2'],
    );
    assert.equal(connectors.listGroups({ pageSize: 1, pageToken: 'x' }).ok, false);
  });

  it('tells once of what came together, also that a group serves other segments', () => {
    const view = new Connectors();
    view.apply({ kind: 'connector-group', name: 'g', group: group(groupDraft('g')) });
    view.apply({ kind: 'connector-group', name: 'h', group: group(groupDraft('h')) });
    const s = segment(segmentDraft('s', { groups: ['g'] }));
    view.apply({ kind: 'connector-segment', id: 's', segment: s });
    assert.deepEqual(told(view), [['g', 'h'], ['s'], []]);
    assert.deepEqual(told(view), []);
    const moved = { ...s, groups: ['h', 'absent'] };
    view.apply({ kind: 'connector-segment', id: 's', segment: moved });
    assert.deepEqual(told(view), [['g', 'h'], ['s'], []]);
    assert.deepEqual(view.groupsOf(moved), ['h']);
    view.apply({ kind: 'connector-segment', id: 's', segment: undefined });
    assert.deepEqual(told(view), [['h'], ['s'], []]);
    view.load(NO_CONNECTORS);
    assert.deepEqual(told(view), [['g', 'h'], [], []]);
  });

  it('has a group serve no segment that it does not permit, from the moment that it does not', () => {
    const view = new Connectors();
    const put = (segmentNamespaces: readonly string[]) => {
      const draft = groupDraft('g', { segmentNamespaces, segmentSelector: { a: '1' } });
      view.apply({ kind: 'connector-group', name: 'g', group: group(draft) });
    };
    put(['ns']);
    const origin = connectorOriginOf({ cluster: 'c', namespace: 'ns', name: 's' });
    const named = segment(segmentDraft('named', { origin, groups: ['g'] }));
    const labelled = segment(segmentDraft('labelled', { origin, labels: { a: '1' } }));
    for (const one of [named, labelled]) {
      view.apply({ kind: 'connector-segment', id: one.id, segment: one });
    }
    assert.deepEqual(
      [view.segmentsOf('g').length, view.groupsOf(named), view.groupsOf(labelled)],
      [2, ['g'], ['g']],
    );
    put(['other']);
    assert.deepEqual(
      [view.segmentsOf('g'), view.groupsOf(named), view.groupsOf(labelled)],
      [[], [], []],
    );
    view.apply({ kind: 'connector-segment', id: 'named', segment: { ...named, weight: 9 } });
    assert.deepEqual(view.segmentsOf('g'), []);
  });

  it('gives the same array of segments until they change', () => {
    const view = new Connectors();
    view.apply({ kind: 'connector-group', name: 'g', group: group(groupDraft('g')) });
    const s = segment(segmentDraft('s', { groups: ['g'] }));
    view.apply({ kind: 'connector-segment', id: 's', segment: s });
    const before = view.segmentsOf('g');
    assert.equal(view.segmentsOf('g'), before);
    view.apply({ kind: 'connector-segment', id: 't', segment: segment(segmentDraft('t')) });
    assert.equal(view.segmentsOf('g'), before);
    view.apply({ kind: 'connector-segment', id: 's', segment: { ...s, weight: 2 } });
    assert.deepEqual(
      view.segmentsOf('g').map(({ weight }) => weight),
      [2],
    );
    assert.deepEqual(view.segmentsOf('absent'), []);
  });

  it('knows which groups serve which segments, whatever came in which order', () => {
    const names = fc.constantFrom('g1', 'g2', 'g3');
    const labels = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2'));
    const step = fc.oneof(
      fc.record({ kind: fc.constant('group' as const), name: names, labels: fc.option(labels) }),
      fc.record({
        kind: fc.constant('segment' as const),
        name: fc.constantFrom('s1', 's2', 's3'),
        labels: fc.option(labels),
        groups: fc.array(names, { maxLength: 2 }),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const view = new Connectors();
        for (const one of steps) {
          const { name } = one;
          // Asked for before, so that it has to keep up.
          view.servedOf(name);
          if (one.kind === 'group') {
            const draft = groupDraft(name, { segmentSelector: one.labels ?? {} });
            const value = one.labels === null ? undefined : group(draft);
            view.apply({ kind: 'connector-group', name, group: value });
          } else {
            const draft = segmentDraft(name, { labels: one.labels ?? {}, groups: one.groups });
            const value = one.labels === null ? undefined : segment(draft);
            view.apply({ kind: 'connector-segment', id: name, segment: value });
          }
        }
        const serves = ({ name, segmentSelector }: ConnectorGroup, one: ConnectorSegment) => {
          const wanted = Object.entries(segmentSelector);
          const selected = wanted.every(([key, value]) => one.labels[key] === value);
          return one.groups.includes(name) || (wanted.length > 0 && selected);
        };
        for (const one of view.groups()) {
          const expected = [...view.segments()].filter((value) => serves(one, value));
          const ids = (values: readonly ConnectorSegment[]) =>
            values.map((value) => value.id).sort();
          assert.deepEqual(ids(view.segmentsOf(one.name)), ids(expected));
          const { served } = servedSegments(expected);
          assert.deepEqual(ids([...view.servedOf(one.name).served.values()]), ids(served));
        }
        for (const one of view.segments()) {
          const expected = [...view.groups()].filter((value) => serves(value, one));
          assert.deepEqual([...view.groupsOf(one)].sort(), expected.map(({ name }) => name).sort());
        }
      }),
    );
  });
});
