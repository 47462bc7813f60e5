import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { agentRecord, draft, id, selectors } from '../../test/support/state.ts';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { unwrap } from '../base/result.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { checkDnsNames } from './dns-name.ts';
import type { Entry } from './entry.ts';
import { checkEntryId, newEntryId } from './entry-id.ts';
import {
  type AgentFilter,
  agentMatcher,
  type EntryFilter,
  entryMatcher,
  matchesSet,
} from './match.ts';
import { connectorPath, isAgentId, isConnectorId, isReservedId } from './reserved-ids.ts';
import { isSubset, parseSelector, selectorSet } from './selector.ts';

function codeOf(result: { ok: boolean; error?: { code: string } }): string | undefined {
  return result.ok ? undefined : result.error?.code;
}

describe('selectors', () => {
  it('splits at the first colon', () => {
    const { type, value, text } = unwrap(parseSelector('k8s:pod-label:app:web'));
    assert.deepEqual([type, value, text], ['k8s', 'pod-label:app:web', 'k8s:pod-label:app:web']);
  });

  for (const text of ['', 'unix', ':uid', 'unix:', 'unix:a\0', 'unix:\ud800']) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.match(String(codeOf(parseSelector(text))), /^SELECTOR_/);
    });
  }

  it('applies when all wanted selectors are present, and only then', () => {
    const present = selectorSet(selectors('unix:uid:1', 'unix:gid:2'));
    assert.equal(isSubset(selectors('unix:gid:2'), present), true);
    assert.equal(isSubset(selectors('unix:gid:2', 'unix:uid:1'), present), true);
    assert.equal(isSubset(selectors('unix:gid:2', 'unix:uid:3'), present), false);
  });
});

describe('DNS names', () => {
  const label = 'a'.repeat(63);
  const longest = `${label}.${label}.${label}.${'a'.repeat(61)}`;
  const good = [
    'localhost',
    'web.example.org',
    '*.example.org',
    'WEB-1.example.org',
    '1.a2',
    longest,
  ];
  const bad = [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '-a',
    'a-',
    'a_b',
    'a b',
    '10.0.0.1',
    '1',
    '*',
    '*.org',
    'a.*.org',
    'w*.example.org',
    'ä.org',
    'a\0.org',
    `${'a'.repeat(64)}.org`,
    `${longest}a`,
  ];
  for (const name of good) {
    it(`accepts ${name.slice(0, 20)} (${name.length})`, () => {
      assert.equal(codeOf(checkDnsNames([name])), undefined);
    });
  }
  for (const name of bad) {
    it(`refuses ${JSON.stringify(name.slice(0, 20))} (${name.length})`, () => {
      assert.equal(codeOf(checkDnsNames([name])), 'DNS_NAME_INVALID');
    });
  }

  it('refuses a name twice, in whatever case, and 65 names', () => {
    assert.equal(codeOf(checkDnsNames(['a.org', 'A.org'])), 'DNS_NAME_INVALID');
    const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`);
    assert.equal(codeOf(checkDnsNames(names(64))), undefined);
    assert.equal(codeOf(checkDnsNames(names(65))), 'DNS_NAMES_TOO_MANY');
  });
});

describe('entry IDs', () => {
  it('are UUIDs of version 7 that sort by time', () => {
    const clock = new ManualClock(1_798_761_600_000);
    const random = seededRandom(7);
    const ids = Array.from({ length: 50 }, () => {
      clock.advance(1);
      return newEntryId(clock, random);
    });
    for (const text of ids) {
      assert.match(text, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    assert.deepEqual([...ids].sort(), ids);
    assert.equal(new Set(ids).size, 50);
  });

  it('of operators are short and plain', () => {
    assert.equal(codeOf(checkEntryId('Web_1.b-2')), undefined);
    assert.equal(codeOf(checkEntryId('a'.repeat(255))), undefined);
    for (const text of ['', 'a'.repeat(256), 'a/b', 'a b', 'ä', "a'b", 'a\n']) {
      assert.equal(codeOf(checkEntryId(text)), 'ENTRY_ID');
    }
  });
});

describe('reserved IDs', () => {
  it('are the server, the agents and all else below /spire', () => {
    assert.equal(isAgentId(id('/spire/agent/x')), true);
    assert.equal(isAgentId(id('/spire/agent')), false);
    for (const path of ['/spire', '/spire/server', '/spire/agent/x', '/spire/other']) {
      assert.equal(isReservedId(id(path)), true);
    }
    for (const path of ['', '/spirex', '/a/spire/server']) {
      assert.equal(isReservedId(id(path)), false);
    }
  });

  it('are those of connectors, on whole segments', () => {
    for (const path of ['/connector', '/connector/a', connectorPath('edge', 'c1')]) {
      assert.equal(isConnectorId(id(path)), true, path);
    }
    for (const path of ['', '/connectors/a', '/a/connector/b']) {
      assert.equal(isConnectorId(id(path)), false, path);
    }
  });
});

describe('filters', () => {
  it('relate sets as their names say', () => {
    const element = fc.constantFrom('a', 'b', 'c', 'd');
    const set = fc.uniqueArray(element, { maxLength: 4 });
    fc.assert(
      fc.property(set, set, (asked, candidate) => {
        const askedSet = new Set(asked);
        const shared = candidate.filter((text) => askedSet.has(text));
        const within = shared.length === candidate.length;
        const covers = asked.every((text) => candidate.includes(text));
        assert.equal(matchesSet('exact', askedSet, candidate), within && covers);
        assert.equal(matchesSet('subset', askedSet, candidate), within && candidate.length > 0);
        assert.equal(matchesSet('superset', askedSet, candidate), covers);
        assert.equal(matchesSet('any', askedSet, candidate), shared.length > 0);
      }),
    );
  });

  const entry: Entry = {
    ...draft('/web', '/spire/agent/a', {
      selectors: selectors('unix:uid:1', 'unix:gid:2'),
      federatesWith: [unwrap(parseTrustDomain('b.org'))],
      hint: 'h',
      downstream: true,
    }),
    id: 'e',
    revision: 0n,
    createdAtSeconds: 1,
  };
  const domains = (name: string) => [unwrap(parseTrustDomain(name))];
  const entryCases: readonly [string, EntryFilter, boolean][] = [
    ['nothing', {}, true],
    ['its SPIFFE ID', { spiffeId: id('/web') }, true],
    ['another SPIFFE ID', { spiffeId: id('/db') }, false],
    ['its parent', { parentId: id('/spire/agent/a') }, true],
    ['another parent', { parentId: id('/spire/agent/b') }, false],
    ['its hint', { hint: 'h' }, true],
    ['the empty hint', { hint: '' }, false],
    ['downstream', { downstream: true }, true],
    ['not downstream', { downstream: false }, false],
    [
      'a selector of it',
      { selectors: { match: 'superset', values: selectors('unix:uid:1') } },
      true,
    ],
    ['exactly one', { selectors: { match: 'exact', values: selectors('unix:uid:1') } }, false],
    ['its federation', { federatesWith: { match: 'exact', values: domains('b.org') } }, true],
    ['other federation', { federatesWith: { match: 'any', values: domains('c.org') } }, false],
    ['all but one', { spiffeId: id('/web'), hint: 'x' }, false],
  ];
  for (const [name, filter, expected] of entryCases) {
    it(`an entry ${expected ? 'matches' : 'does not match'} ${name}`, () => {
      assert.equal(entryMatcher(filter)(entry), expected);
    });
  }

  const agent = agentRecord('a', { selectors: selectors('x:1'), canReattest: true });
  const end = agent.expiresAtSeconds;
  const agentCases: readonly [string, AgentFilter, boolean][] = [
    ['nothing', {}, true],
    ['its type', { attestationType: 'join_token' }, true],
    ['another type', { attestationType: 'x509pop' }, false],
    ['not banned', { banned: false }, true],
    ['banned', { banned: true }, false],
    ['can re-attest', { canReattest: true }, true],
    ['cannot re-attest', { canReattest: false }, false],
    ['an end before its own', { expiresBeforeSeconds: end }, false],
    ['an end after its own', { expiresBeforeSeconds: end + 1 }, true],
    ['its selectors', { selectors: { match: 'exact', values: selectors('x:1') } }, true],
    ['other selectors', { selectors: { match: 'any', values: selectors('x:2') } }, false],
  ];
  for (const [name, filter, expected] of agentCases) {
    it(`an agent ${expected ? 'matches' : 'does not match'} ${name}`, () => {
      assert.equal(agentMatcher(filter)(agent), expected);
    });
  }
});
