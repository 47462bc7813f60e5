import type { Clock } from '../../base/clock.ts';
import { ok, type Result } from '../../base/result.ts';
import type { Bundle, BundleJwtAuthority } from '../../spiffe/bundle.ts';
import type { AuthorityRecord } from '../authority-record.ts';
import { pruneBundle } from '../bundle-change.ts';
import { followTrust, unknownUpstream, withDownstreamKey } from './trust.ts';
import type { UpstreamLink } from './upstream-link.ts';

/** What the steps stand on. */
export interface TrustStepsOptions {
  readonly record: AuthorityRecord;
  readonly upstream: UpstreamLink | undefined;
  readonly clock: Clock;
}

/** Steps that change the bundle for the sake of servers above and below; each is one compare-and-swap. */
export class TrustSteps {
  readonly #options: TrustStepsOptions;

  constructor(options: TrustStepsOptions) {
    this.#options = options;
  }

  /**
   * Brings the bundle to what the upstream says, and our JWT keys to the upstream. Answers whether the
   * bundle changed: steps may be due then that were not before.
   */
  async follow(): Promise<Result<boolean>> {
    const { record, upstream, clock } = this.#options;
    const fresh = await record.refresh();
    if (!fresh.ok) return fresh;
    if (upstream?.trust === undefined || record.bundle === undefined) return ok(false);
    if (upstream.takesJwtKeys) {
      for (const key of unknownUpstream(record.entries, upstream.trust)) {
        const published = await upstream.publishJwtKey(key);
        if (!published.ok) return published;
      }
    }
    const next = followTrust(record.life, upstream.trust, clock.nowMs());
    if (next === record.life.bundle) return ok(false);
    const written = await this.#write(next);
    return written.ok ? ok(true) : written;
  }

  /** Takes the JWT key of a server below into the bundle, and upstream first where there is one. */
  async accept(key: BundleJwtAuthority): Promise<Result<void>> {
    const { record, upstream, clock } = this.#options;
    const fresh = await record.refresh();
    if (!fresh.ok) return fresh;
    const { bundle } = record.life;
    const next = withDownstreamKey(bundle, key, clock.nowMs());
    if (!next.ok) return next;
    if (next.value === bundle) return ok(undefined);
    const published = await upstream?.publishJwtKey(key);
    return published?.ok === false ? published : this.#write(next.value);
  }

  #write(bundle: Bundle): Promise<Result<void>> {
    const { record, clock } = this.#options;
    return record.commit(record.entries, pruneBundle(bundle, clock.nowMs()));
  }
}
