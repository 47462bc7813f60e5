import assert from 'node:assert/strict';
import { it } from 'node:test';
import { groupDraft, segmentDraft } from '../../test/support/connector-state.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import { SegmentIndex } from './segment-index.ts';

const origin = 'kubernetes/rack/shop/db';
const labels = { tier: 'db' };
const segment = (extra: Partial<ConnectorSegment>): ConnectorSegment => ({
  ...segmentDraft('rack/shop/db', extra),
  revision: 1n,
  createdRevision: 1n,
});

it('a group serves a segment of an object only where it takes segments of its namespace', () => {
  const groups = new Map<string, ConnectorGroup>();
  const index = new SegmentIndex(groups);
  const named = segment({ origin, groups: ['edge'] });
  const selected = segment({ origin, labels });
  const put = (segmentNamespaces: readonly string[]): void => {
    const draft = groupDraft('edge', { segmentSelector: labels, segmentNamespaces });
    groups.set('edge', { ...draft, revision: 1n });
  };
  for (const one of [named, selected]) {
    const served = (): readonly string[] => index.segmentsOf('edge').map(({ id }) => id);
    put(['lab/shop']);
    index.changeGroup('edge', []);
    assert.deepEqual([...index.changeSegment(undefined, one)], []);
    assert.deepEqual([served(), index.groupsOf(one)], [[], []]);
    put(['rack/shop']);
    index.changeGroup('edge', [one]);
    assert.deepEqual([served(), index.groupsOf(one)], [['rack/shop/db'], ['edge']]);
    // Withdrawn, it ends at once.
    put([]);
    index.changeGroup('edge', [one]);
    assert.deepEqual([served(), index.groupsOf(one)], [[], []]);
  }
});
