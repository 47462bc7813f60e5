import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { agentRecord, draft, selectors } from '../../../test/support/state.ts';
import { Agent, AgentMask } from '../../gen/spire/api/types/agent.ts';
import { EntryMask, Entry as WireEntry } from '../../gen/spire/api/types/entry.ts';
import type { Entry } from '../../rules/entry.ts';
import { fromWireAgentFilter, toWireAgent } from './agents.ts';
import { entrySizeBound, fromWireEntry, toWireEntry } from './entries.ts';
import { maskAgent, maskEntry, mergeEntry } from './masks.ts';

const entry: Entry = {
  ...draft('/web', '/spire/agent/x', {
    selectors: selectors('unix:uid:1', 'k8s:pod-label:a:b'),
    x509SvidTtlSeconds: 60,
    jwtSvidTtlSeconds: 30,
    dnsNames: ['a.test'],
    hint: 'hint',
    admin: true,
    storeSvid: true,
    jwtSvidIncludeJti: true,
  }),
  id: 'e1',
  revision: 7n,
  createdAtSeconds: 100,
};

const FIELDS = Object.keys(EntryMask.fromJSON({})) as (keyof EntryMask)[];

describe('entries on the wire', () => {
  test('come back as they were', () => {
    const read = fromWireEntry(toWireEntry(entry), entry.spiffeId.trustDomain);
    assert.ok(read.ok);
    assert.deepEqual({ ...read.value, id: 'e1', revision: 7n, createdAtSeconds: 100 }, entry);
  });

  test('their size bound is no less than their size, and not twice as much', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { minLength: 1, maxLength: 50 }),
        (values) => {
          const list = values.map((value) => ({ type: 'x', value, text: `x:${value}` }));
          const sized = { ...entry, selectors: list as unknown as Entry['selectors'] };
          const bytes = WireEntry.encode(toWireEntry(sized)).finish().length;
          assert.ok(entrySizeBound(sized) >= bytes);
          assert.ok(entrySizeBound(sized) <= 2 * bytes + 512);
        },
      ),
    );
  });
});

describe('masks', () => {
  const whole = toWireEntry(entry);
  const blank = WireEntry.fromJSON({ id: whole.id });

  for (const field of FIELDS) {
    test(`an entry under a mask of ${field} alone has that field and its ID`, () => {
      const mask = EntryMask.fromJSON({ [field]: true });
      assert.deepEqual(maskEntry(whole, mask), {
        ...blank,
        additionalAttributes: undefined,
        [field]: whole[field],
      });
    });

    test(`an update under a mask of ${field} alone takes that field from the request`, () => {
      const request = { ...blank, id: whole.id };
      const merged = mergeEntry(whole, request, EntryMask.fromJSON({ [field]: true }));
      assert.deepEqual(merged, { ...whole, [field]: request[field] });
    });
  }

  test('no mask is everything; a mask of nothing is the ID', () => {
    assert.equal(maskEntry(whole, undefined), whole);
    assert.deepEqual(maskEntry(whole, EntryMask.fromJSON({})).id, whole.id);
    const agent = toWireAgent(agentRecord('a'));
    assert.deepEqual(maskAgent(agent, AgentMask.fromJSON({})), {
      ...Agent.fromJSON({}),
      id: agent.id,
    });
  });
});

describe('the time of by_expires_before', () => {
  const read = (byExpiresBefore: string) =>
    fromWireAgentFilter({
      byAttestationType: '',
      bySelectorMatch: undefined,
      byBanned: undefined,
      byCanReattest: undefined,
      byExpiresBefore,
    });
  const at = Date.UTC(2030, 0, 2, 3, 4, 5) / 1000;
  for (const text of [
    '2030-01-02T03:04:05Z',
    '2030-01-02T04:04:05+01:00',
    '2030-01-02 03:04:05 +0000 +00',
    '2030-01-02 03:04:05 +0000 UTC',
  ]) {
    test(`takes ${text}`, () => {
      const filter = read(text);
      assert.equal(filter.ok && filter.value.expiresBeforeSeconds, at);
    });
  }
  for (const text of ['tomorrow', '2030', '2030-13-01T00:00:00Z', '2030-01-02', '1893553445']) {
    test(`refuses ${text}`, () => {
      const filter = read(text);
      assert.equal(filter.ok ? '' : filter.error.code, 'FIELD_INVALID');
    });
  }
});
