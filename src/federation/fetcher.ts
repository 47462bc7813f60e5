import { backOffMs } from '../base/back-off.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { bundleOf } from '../registry/federation.ts';
import type { Registry } from '../registry/registry.ts';
import type { Federation } from '../rules/federation.ts';
import { type Bundle, sameBundleContents } from '../spiffe/bundle.ts';
import type { ParsedBundle } from '../spiffe/bundle-document.ts';

/** Without a hint a bundle is fetched as often (Federation §4.1: a low default such as 5 minutes). */
const DEFAULT_INTERVAL_MS = 300_000;

/** Wait after the first of several failures; they double up to the interval of the bundle. */
const FIRST_RETRY_MS = 5_000;

/** What following relationships needs. */
export interface FetcherParts {
  /** Fetches a bundle; the signal gives it up. */
  readonly fetch: (
    relationship: Federation,
    endpointBundle: Bundle | undefined,
    signal: AbortSignal,
  ) => Promise<Result<ParsedBundle>>;
  readonly registry: Pick<Registry, 'trustDomain' | 'bundle' | 'federation'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Bounds of what refresh hints ask for. */
  readonly minIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly onOutcome: (trustDomain: string, outcome: FetchOutcome) => void;
}

/** How one fetch went. */
export type FetchOutcome =
  | {
      readonly kind: 'written' | 'unchanged';
      readonly bundle: Bundle;
      readonly ignoredKeys: number;
    }
  | { readonly kind: 'failed'; readonly error: SignetError };

/** How a relationship stands since this process started. */
export interface FetchStatus {
  /** Unix milliseconds of the last fetch that succeeded. */
  readonly fetchedAtMs: number | undefined;
  /** Of the last fetch, where it failed. */
  readonly error: SignetError | undefined;
}

interface Followed {
  revision: bigint;
  cancel: Cancel;
  running: Promise<Result<void>> | undefined;
  readonly ended: AbortController;
  failures: number;
  fetchedAtMs: number | undefined;
  error: SignetError | undefined;
}

/**
 * Keeps the bundles of all relationships new: each is fetched when its relationship comes or changes,
 * then as often as its refresh hint says, within bounds. A bundle that came is used once the store has
 * it. One of a relationship that ended meanwhile is dropped.
 */
export class BundleFetcher {
  readonly #parts: FetcherParts;
  readonly #followed = new Map<string, Followed>();
  readonly #endWatch: () => void;
  #closed = false;

  constructor(parts: FetcherParts) {
    this.#parts = parts;
    this.#endWatch = parts.registry.federation.onChange(() => this.#follow());
    this.#follow();
  }

  /** How a relationship stands; undefined where there is none. */
  status(trustDomain: string): FetchStatus | undefined {
    return this.#followed.get(trustDomain);
  }

  /** Fetches now; answers when what came is kept. Joins a fetch that is under way. */
  async refresh(trustDomain: string): Promise<Result<void>> {
    const followed = this.#followed.get(trustDomain);
    if (followed !== undefined) return this.#fetch(trustDomain, followed);
    return fail('FEDERATION_NOT_FOUND', `there is no relationship with ${trustDomain}`);
  }

  /** Ends fetching; what is under way is given up. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#endWatch();
    const running = [...this.#followed.values()].map((followed) => this.#end(followed));
    this.#followed.clear();
    await Promise.all(running);
  }

  #follow(): void {
    if (this.#closed) return;
    const { federation } = this.#parts.registry;
    for (const [name, followed] of this.#followed) {
      if (federation.relationship(name)?.revision === followed.revision) continue;
      void this.#end(followed);
      this.#followed.delete(name);
    }
    for (const { trustDomain, revision } of federation.relationships()) {
      if (this.#followed.has(trustDomain.name)) continue;
      const followed: Followed = {
        revision,
        cancel: () => {},
        running: undefined,
        ended: new AbortController(),
        failures: 0,
        fetchedAtMs: undefined,
        error: undefined,
      };
      this.#followed.set(trustDomain.name, followed);
      void this.#fetch(trustDomain.name, followed);
    }
  }

  #end(followed: Followed): Promise<unknown> {
    followed.cancel();
    followed.ended.abort();
    return followed.running ?? Promise.resolve();
  }

  #fetch(name: string, followed: Followed): Promise<Result<void>> {
    followed.running ??= this.#fetchOnce(name, followed).finally(() => {
      followed.running = undefined;
    });
    return followed.running;
  }

  async #fetchOnce(name: string, followed: Followed): Promise<Result<void>> {
    const { registry, clock, onOutcome } = this.#parts;
    followed.cancel();
    const relationship = registry.federation.relationship(name);
    if (relationship === undefined) return ended(name);
    const outcome = await this.#attempt(relationship, followed.ended.signal);
    if (followed.ended.signal.aborted) return ended(name);
    if (outcome.kind === 'failed') {
      followed.failures += 1;
      followed.error = outcome.error;
    } else {
      followed.failures = 0;
      followed.error = undefined;
      followed.fetchedAtMs = clock.nowMs();
    }
    onOutcome(name, outcome);
    const delayMs = this.#delayMs(name, followed);
    followed.cancel = clock.after(delayMs, () => void this.#fetch(name, followed));
    return outcome.kind === 'failed' ? { ok: false, error: outcome.error } : ok(undefined);
  }

  async #attempt(relationship: Federation, signal: AbortSignal): Promise<FetchOutcome> {
    const { registry } = this.#parts;
    const { profile, trustDomain } = relationship;
    const endpointBundle =
      profile.kind === 'https_spiffe'
        ? bundleOf(registry, profile.endpointId.trustDomain.name)
        : undefined;
    const held = registry.federation.bundle(trustDomain.name);
    const fetched = await this.#parts.fetch(relationship, endpointBundle, signal);
    if (!fetched.ok) return { kind: 'failed', error: fetched.error };
    const { bundle, ignored } = fetched.value;
    const done = (kind: 'written' | 'unchanged'): FetchOutcome => ({
      kind,
      bundle,
      ignoredKeys: ignored.length,
    });
    const newer = held === undefined ? ok(undefined) : judgeSequence(held.bundle, bundle);
    if (!newer.ok) return { kind: 'failed', error: newer.error };
    if (
      held !== undefined &&
      held.bundle.sequence === bundle.sequence &&
      sameBundleContents(held.bundle, bundle)
    ) {
      return done('unchanged');
    }
    const written = await registry.federation.writeBundles([
      {
        bundle,
        origin: held?.origin ?? relationship.origin,
        mode: 'set',
        // Neither over what somebody set meanwhile, nor for a relationship that is no more.
        expectedRevision: held?.revision ?? 0n,
        expectedFederation: relationship.revision,
      },
    ]);
    if (!written.ok) return { kind: 'failed', error: written.error };
    if (written.value[0]?.outcome === 'written') return done('written');
    const { error } = fail('FEDERATION_CHANGED', `the bundle of ${trustDomain.name} was changed`);
    return { kind: 'failed', error };
  }

  #delayMs(name: string, { failures }: Followed): number {
    const { random } = this.#parts;
    const intervalMs = this.#intervalMs(name);
    if (failures > 0) {
      const firstMs = Math.min(FIRST_RETRY_MS, intervalMs);
      return backOffMs({ firstMs, maxMs: intervalMs }, failures, random);
    }
    // Earlier, never later than the hint, so that servers which started together drift apart.
    return intervalMs * (0.9 + 0.1 * randomFraction(random));
  }

  #intervalMs(name: string): number {
    const { registry, minIntervalMs, maxIntervalMs } = this.#parts;
    const hint = registry.federation.bundle(name)?.bundle.refreshHintSeconds ?? 0;
    const wantedMs = hint === 0 ? DEFAULT_INTERVAL_MS : hint * 1000;
    return Math.min(Math.max(wantedMs, minIntervalMs), maxIntervalMs);
  }
}

/** FED-20: what is older than what is held is not taken; where either has no sequence, the newest is. */
function judgeSequence(held: Bundle, fetched: Bundle): Result<void> {
  const [before, after] = [held.sequence, fetched.sequence];
  if (before === 0n || after === 0n || after >= before) return ok(undefined);
  return fail(
    'FEDERATION_SEQUENCE',
    `the endpoint serves sequence ${after}, and ${before} is held`,
  );
}

function ended(name: string): Result<never> {
  return fail('FEDERATION_NOT_FOUND', `the relationship with ${name} ended or changed`);
}
