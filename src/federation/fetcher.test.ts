import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { makeRoot } from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import { type FederationRegistry, Federations } from '../registry/federation.ts';
import type { Federation } from '../rules/federation.ts';
import { type Bundle, emptyBundle } from '../spiffe/bundle.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { FederatedBundleWrite } from '../store/federation.ts';
import { BundleFetcher, type FetchOutcome } from './fetcher.ts';

const OWN = unwrap(parseTrustDomain('example.org'));
const OTHER = unwrap(parseTrustDomain('other.test'));
const { certificate } = makeRoot('other.test');

const bundle = (sequence: bigint, refreshHintSeconds = 100): Bundle => ({
  ...emptyBundle(OTHER),
  x509Authorities: [{ certificate, tainted: false }],
  sequence,
  refreshHintSeconds,
});

/** A fetcher over a view whose store is a map, and an endpoint that answers what the test says. */
class Rig {
  readonly clock = new ManualClock(1_000_000);
  readonly view = new Federations();
  readonly outcomes: FetchOutcome[] = [];
  readonly writes: FederatedBundleWrite[] = [];
  fetches = 0;
  answer: () => Promise<Result<Bundle>> = async () => ok(bundle(1n));
  storeAnswers = true;
  readonly fetcher: BundleFetcher;

  constructor(context: TestContext, bounds = { minIntervalMs: 60_000, maxIntervalMs: 3_600_000 }) {
    const federation = new Proxy(this.view, {
      get: (view, name) => {
        if (name === 'writeBundles') return (w: readonly FederatedBundleWrite[]) => this.#write(w);
        const value: unknown = Reflect.get(view, name, view);
        return typeof value === 'function' ? value.bind(view) : value;
      },
      // What the fetcher uses of it is here.
    }) as unknown as FederationRegistry;
    this.fetcher = new BundleFetcher({
      registry: { trustDomain: OWN, bundle: undefined, federation },
      clock: this.clock,
      random: seededRandom(1),
      ...bounds,
      onOutcome: (_name, outcome) => this.outcomes.push(outcome),
      fetch: async () => {
        this.fetches += 1;
        const fetched = await this.answer();
        return fetched.ok ? ok({ bundle: fetched.value, ignored: [] }) : fetched;
      },
    });
    context.after(() => this.fetcher.close());
  }

  /** States the relationship, at this revision; undefined ends it. */
  relate(revision: bigint | undefined): void {
    const one: Federation = {
      trustDomain: OTHER,
      bundleEndpointUrl: 'https://other.test/',
      profile: { kind: 'https_web' },
      origin: 'kube/x',
      revision: revision ?? 0n,
    };
    this.view.putRelationship(OTHER.name, revision === undefined ? undefined : one);
    this.view.notify();
  }

  get held(): Bundle | undefined {
    return this.view.bundle(OTHER.name)?.bundle;
  }

  /** Lets what was begun end: nothing here waits for more than promises, which all run before this. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  lastCode(): ErrorCode | 'ok' {
    const last = this.outcomes.at(-1);
    return last?.kind === 'failed' ? last.error.code : 'ok';
  }

  async #write(writes: readonly FederatedBundleWrite[]) {
    if (!this.storeAnswers) return fail('STORE_IO', 'planted');
    this.writes.push(...writes);
    return ok(
      writes.map((write) => {
        const { name } = write.bundle.trustDomain;
        const before = this.view.bundle(name)?.revision ?? 0n;
        const known = this.view.relationship(name)?.revision;
        if (write.expectedRevision !== before || write.expectedFederation !== known) {
          return { outcome: 'conflict' } as const;
        }
        const value = { bundle: write.bundle, origin: write.origin, revision: before + 1n };
        this.view.putBundle(name, value);
        this.view.notify();
        return { outcome: 'written', value } as const;
      }),
    );
  }
}

describe('a relationship', () => {
  it('is fetched when it comes, when it changes, and never after it ended', async (context) => {
    const rig = new Rig(context);
    rig.relate(1n);
    await rig.settle();
    assert.deepEqual([rig.fetches, rig.held?.sequence], [1, 1n]);
    rig.relate(2n);
    await rig.settle();
    assert.equal(rig.fetches, 2);
    rig.relate(undefined);
    await rig.settle();
    rig.clock.advance(10_000_000);
    await rig.settle();
    assert.equal(rig.fetches, 2);
    const refreshed = await rig.fetcher.refresh(OTHER.name);
    assert.equal(refreshed.ok ? '' : refreshed.error.code, 'FEDERATION_NOT_FOUND');
  });

  it('that ends while its bundle is on the way leaves nothing (FED-25)', async (context) => {
    const rig = new Rig(context);
    const arrived = Promise.withResolvers<Result<Bundle>>();
    rig.answer = () => arrived.promise;
    rig.relate(1n);
    rig.relate(undefined);
    arrived.resolve(ok(bundle(1n)));
    await rig.settle();
    assert.equal(rig.held, undefined);
    assert.deepEqual(rig.outcomes, []);
  });

  it('has what it brought marked as its own, and what an operator set left as it was', async (context) => {
    const rig = new Rig(context);
    rig.relate(1n);
    await rig.settle();
    assert.equal(rig.view.bundle(OTHER.name)?.origin, 'kube/x');
    const set = { bundle: bundle(1n), origin: '', revision: 7n };
    rig.view.putBundle(OTHER.name, set);
    rig.answer = async () => ok(bundle(2n));
    unwrap(await rig.fetcher.refresh(OTHER.name));
    assert.deepEqual(rig.view.bundle(OTHER.name), { ...set, bundle: bundle(2n), revision: 8n });
  });
});

describe('the next fetch', () => {
  const cases: readonly [what: string, hint: number, ms: number][] = [
    ['comes by the refresh hint', 100, 100_000],
    ['comes by five minutes without one', 0, 300_000],
    ['comes no sooner than the shortest interval', 1, 60_000],
    ['comes no later than the longest interval', 1_000_000, 3_600_000],
    ['comes no later, whatever the number', Number.MAX_SAFE_INTEGER, 3_600_000],
  ];
  for (const [what, hint, ms] of cases) {
    it(what, async (context) => {
      const rig = new Rig(context);
      rig.answer = async () => ok(bundle(1n, hint));
      rig.relate(1n);
      await rig.settle();
      rig.clock.advance(ms * 0.9 - 1);
      await rig.settle();
      assert.equal(rig.fetches, 1);
      rig.clock.advance(ms * 0.1 + 1);
      await rig.settle();
      assert.equal(rig.fetches, 2);
    });
  }

  it('after failures comes by growing delays up to the interval (FED-19)', async (context) => {
    const rig = new Rig(context);
    rig.answer = async () => fail('FEDERATION_ENDPOINT_UNREACHABLE', 'planted');
    rig.relate(1n);
    await rig.settle();
    for (let seconds = 0; seconds < 3600; seconds++) {
      rig.clock.advance(1000);
      await rig.settle();
    }
    // Five seconds, ten, …, five minutes at most; each at least half of it.
    assert.ok(rig.fetches >= 12 && rig.fetches <= 32, `${rig.fetches} fetches in an hour`);
    assert.equal(rig.fetcher.status(OTHER.name)?.error?.code, 'FEDERATION_ENDPOINT_UNREACHABLE');
    rig.answer = async () => ok(bundle(1n));
    unwrap(await rig.fetcher.refresh(OTHER.name));
    assert.equal(rig.fetcher.status(OTHER.name)?.error, undefined);
    assert.equal(rig.fetcher.status(OTHER.name)?.fetchedAtMs, rig.clock.nowMs());
  });
});

describe('what was fetched', () => {
  const sequences: readonly [held: bigint, fetched: bigint, taken: boolean][] = [
    [5n, 4n, false],
    [5n, 5n, true],
    [5n, 6n, true],
    [2n ** 63n, 2n ** 63n - 1n, false],
    [5n, 0n, true],
    [0n, 5n, true],
  ];
  for (const [held, fetched, taken] of sequences) {
    it(`with sequence ${fetched} over ${held} is ${taken ? 'taken' : 'refused'} (FED-20)`, async (context) => {
      const rig = new Rig(context);
      rig.answer = async () => ok(bundle(held));
      rig.relate(1n);
      await rig.settle();
      rig.answer = async () => ok(bundle(fetched, 77));
      await rig.fetcher.refresh(OTHER.name);
      assert.equal(rig.lastCode(), taken ? 'ok' : 'FEDERATION_SEQUENCE');
      assert.equal(rig.held?.sequence, taken ? fetched : held);
    });
  }

  it('is not written again while it says the same', async (context) => {
    const rig = new Rig(context);
    rig.relate(1n);
    await rig.settle();
    unwrap(await rig.fetcher.refresh(OTHER.name));
    assert.equal(rig.writes.length, 1);
    assert.equal(rig.outcomes.at(-1)?.kind, 'unchanged');
  });

  it('is in force only once the store has it', async (context) => {
    const rig = new Rig(context);
    rig.relate(1n);
    await rig.settle();
    rig.storeAnswers = false;
    rig.answer = async () => ok(bundle(2n));
    const refreshed = await rig.fetcher.refresh(OTHER.name);
    assert.equal(refreshed.ok ? '' : refreshed.error.code, 'STORE_IO');
    assert.equal(rig.held?.sequence, 1n);
  });

  it('does not replace what an operator set meanwhile', async (context) => {
    const rig = new Rig(context);
    const arrived = Promise.withResolvers<Result<Bundle>>();
    rig.answer = () => arrived.promise;
    rig.relate(1n);
    rig.view.putBundle(OTHER.name, { bundle: bundle(9n), origin: '', revision: 1n });
    arrived.resolve(ok(bundle(10n)));
    await rig.settle();
    assert.equal(rig.lastCode(), 'FEDERATION_CHANGED');
    assert.equal(rig.held?.sequence, 9n);
  });

  it('is one fetch for all who ask while it is under way', async (context) => {
    const rig = new Rig(context);
    rig.relate(1n);
    await rig.settle();
    await Promise.all([rig.fetcher.refresh(OTHER.name), rig.fetcher.refresh(OTHER.name)]);
    assert.equal(rig.fetches, 2);
  });
});
