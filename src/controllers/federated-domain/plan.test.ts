import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fail, ok, unwrap } from '../../base/result.ts';
import { Federations } from '../../registry/federation.ts';
import { emptyBundle } from '../../spiffe/bundle.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { type DomainObject, originOf } from './domain-object.ts';
import { type ClusterDomains, type FederationPlan, planFederation } from './plan.ts';

const domain = (name: string) => unwrap(parseTrustDomain(name));
const EMPTY = (name: string, sequence = 1n) => ({ ...emptyBundle(domain(name)), sequence });

/** An object that states a trust domain, at an age. */
function object(
  name: string,
  states: string | undefined,
  extra: { readonly at?: number; readonly url?: string; readonly bundle?: bigint } = {},
): DomainObject {
  const { at = 0, url = 'https://a.test/', bundle } = extra;
  const stated =
    states === undefined
      ? fail('RULE_SPEC', 'planted')
      : ok({
          trustDomain: domain(states),
          bundleEndpointUrl: url,
          profile: { kind: 'https_web' } as const,
          bundle: bundle === undefined ? undefined : EMPTY(states, bundle),
        });
  const bundleText = bundle === undefined ? '' : String(bundle);
  const rest = { generation: 1, createdAtMs: at, bundleText, shown: new Map() };
  return { name, uid: `uid-${name}`, stated, ...rest };
}

const cluster = (
  name: string,
  objects: readonly DomainObject[],
  isSynced = true,
): ClusterDomains => ({ name, objects, isSynced });

/** A view that holds these relationships, by trust domain and origin, each with a bundle of its origin. */
function holding(...relationships: readonly (readonly [string, string])[]): Federations {
  const view = new Federations();
  for (const [name, origin] of relationships) {
    view.putRelationship(name, {
      trustDomain: domain(name),
      bundleEndpointUrl: 'https://a.test/',
      profile: { kind: 'https_web' },
      origin,
      revision: 3n,
    });
    view.putBundle(name, { bundle: EMPTY(name), origin, revision: 5n });
  }
  return view;
}

function plan(
  federation: Federations,
  clusters: readonly ClusterDomains[],
  bundleTexts: ReadonlyMap<string, string> = new Map(),
): FederationPlan {
  return planFederation({ clusters, federation, bundleTexts });
}

const shown = ({ writes, deletes }: FederationPlan): readonly string[] => [
  ...writes.map(({ federation }) => `+${federation.trustDomain.name} ${federation.origin}`),
  ...deletes.map(({ trustDomain, origin }) => `-${trustDomain} ${origin}`),
];
const problems = ({ standings }: FederationPlan): readonly string[] =>
  standings.map((one) => `${one.object.name} ${one.problem?.code ?? 'ok'}`).sort();

const A = originOf('rack', 'a');
const B = originOf('rack', 'b');

describe('what objects ask for', () => {
  it('is made once, with the bundle to begin with', () => {
    const made = plan(holding(), [cluster('rack', [object('a', 'a.test', { bundle: 4n })])]);
    assert.deepEqual(shown(made), [`+a.test ${A}`]);
    const [write] = made.writes;
    assert.equal(write?.bundle?.sequence, 4n);
    assert.deepEqual([write.expectedRevision, write.expectedBundle], [0n, 0n]);
    const again = plan(holding(['a.test', A]), [cluster('rack', [object('a', 'a.test')])]);
    assert.deepEqual(shown(again), []);
  });

  it('is changed with the object, from the revision that was read', () => {
    const url = 'https://b.test/';
    const { writes } = plan(holding(['a.test', A]), [
      cluster('rack', [object('a', 'a.test', { url })]),
    ]);
    assert.equal(writes[0]?.federation.bundleEndpointUrl, url);
    assert.equal(writes[0]?.expectedRevision, 3n);
  });

  it('the bundle to begin with does not replace a fetched one, but where the object was given another', () => {
    const objects = [cluster('rack', [object('a', 'a.test', { bundle: 4n })])];
    const view = holding(['a.test', A]);
    assert.deepEqual(shown(plan(view, objects)), []);
    assert.deepEqual(shown(plan(view, objects, new Map([[A, '4']]))), []);
    const changed = plan(view, objects, new Map([[A, '3']]));
    assert.equal(changed.writes[0]?.bundle?.sequence, 4n);
    view.putBundle('a.test', { bundle: EMPTY('a.test'), origin: '', revision: 6n });
    assert.deepEqual(shown(plan(view, objects, new Map([[A, '3']]))), [], "an operator's stays");
  });

  it('goes to the oldest of several, the others are told which', () => {
    const objects = [object('b', 'a.test', { at: 2 }), object('a', 'a.test', { at: 1 })];
    const made = plan(holding(), [cluster('rack', objects)]);
    assert.deepEqual(shown(made), [`+a.test ${A}`]);
    assert.deepEqual(problems(made), ['a ok', 'b FEDERATION_CLAIMED']);
    assert.match(made.standings[1]?.problem?.message ?? '', /Domain a of cluster rack came before/);
  });

  it('goes to the oldest of several clusters, and in the same way whichever is asked first', () => {
    const one = cluster('one', [object('x', 'a.test', { at: 2 })]);
    const two = cluster('two', [object('y', 'a.test', { at: 1 })]);
    const same = cluster('zoo', [object('z', 'a.test', { at: 1 })]);
    for (const clusters of [
      [one, two, same],
      [same, two, one],
    ]) {
      assert.deepEqual(shown(plan(holding(), clusters)), [`+a.test ${originOf('two', 'y')}`]);
    }
  });

  it('of two made in one second stays with the one that has it', () => {
    const objects = [object('a', 'a.test', { at: 1 }), object('b', 'a.test', { at: 1 })];
    const made = plan(holding(['a.test', B]), [cluster('rack', objects)]);
    assert.deepEqual(problems(made).toSorted(), ['a FEDERATION_CLAIMED', 'b ok']);
  });

  it('passes to the next when the oldest has gone, without an end between', () => {
    const left = [cluster('rack', [object('b', 'a.test', { at: 2 })])];
    assert.deepEqual(shown(plan(holding(['a.test', A]), left)), [`+a.test ${B}`]);
  });

  it('an invalid object is told so, and disturbs no other', () => {
    const made = plan(holding(), [
      cluster('rack', [object('bad', undefined), object('a', 'a.test')]),
    ]);
    assert.deepEqual(shown(made), [`+a.test ${A}`]);
    assert.deepEqual(problems(made), ['a ok', 'bad RULE_SPEC']);
  });
});

describe('what was made', () => {
  it('ends with its object, also one that vanished unseen', () => {
    assert.deepEqual(shown(plan(holding(['a.test', A]), [cluster('rack', [])])), [`-a.test ${A}`]);
  });

  it('ends where the object names another trust domain', () => {
    const renamed = [cluster('rack', [object('a', 'b.test')])];
    assert.deepEqual(shown(plan(holding(['a.test', A]), renamed)), [
      `+b.test ${A}`,
      `-a.test ${A}`,
    ]);
  });

  it('stays while its cluster is not read whole, or is no cluster of configuration', () => {
    const view = holding(['a.test', A]);
    assert.deepEqual(shown(plan(view, [cluster('rack', [], false)])), []);
    assert.deepEqual(shown(plan(view, [cluster('other', [])])), []);
    // Half of a list says nothing, neither what is there nor what is not.
    const half = [cluster('rack', [object('b', 'b.test')], false)];
    assert.deepEqual(shown(plan(view, half)), []);
  });

  it('stays where its object cannot be read any more', () => {
    const broken = [cluster('rack', [object('a', undefined)])];
    assert.deepEqual(shown(plan(holding(['a.test', A]), broken)), []);
  });

  it('is not taken over by another cluster before its own is read', () => {
    const other = cluster('other', [object('x', 'a.test')]);
    const early = plan(holding(['a.test', A]), [cluster('rack', [], false), other]);
    assert.deepEqual(shown(early), []);
    assert.deepEqual(problems(early), ['x FEDERATION_CLAIMED']);
    const late = plan(holding(['a.test', A]), [cluster('rack', []), other]);
    assert.deepEqual(shown(late), [`+a.test ${originOf('other', 'x')}`]);
  });
});

describe('what an operator made', () => {
  it('is neither changed nor ended by objects, which are told so', () => {
    const view = holding(['a.test', ''], ['b.test', '']);
    const made = plan(view, [cluster('rack', [object('a', 'a.test', { url: 'https://x.test/' })])]);
    assert.deepEqual(shown(made), []);
    assert.deepEqual(problems(made), ['a FEDERATION_CLAIMED']);
    assert.match(made.standings[0]?.problem?.message ?? '', /an operator made/);
  });
});
