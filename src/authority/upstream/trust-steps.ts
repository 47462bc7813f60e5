import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Bundle, BundleJwtAuthority } from '../../spiffe/bundle.ts';
import type { AuthorityRecord } from '../authority-record.ts';
import { pruneBundle } from '../bundle-change.ts';
import {
  type RootAct,
  revokedRoot,
  rootFor,
  rootId,
  rootKeyHash,
  taintedRoot,
} from './root-acts.ts';
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
    const { distrusted } = record;
    const trust = {
      ...upstream.trust,
      x509: upstream.trust.x509.filter(
        ({ certificate }) => !distrusted.includes(rootKeyHash(certificate)),
      ),
    };
    const next = followTrust(record.life, trust, clock.nowMs());
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

  /**
   * Taints or revokes a root of the upstream by its subject key identifier; answers it in lower case.
   * Errors: AUTHORITY_NO_UPSTREAM, UPSTREAM_OWNS_ROOT where the upstream says itself what is tainted,
   * AUTHORITY_UNKNOWN, AUTHORITY_WRONG_STATE.
   */
  async endRoot(act: RootAct, keyId: string): Promise<Result<string>> {
    const { record, upstream, clock } = this.#options;
    if (upstream === undefined) {
      return fail('AUTHORITY_NO_UPSTREAM', 'this server has no upstream authority');
    }
    if (upstream.takesJwtKeys) {
      const message = `roots are tainted and revoked at the server above; this one follows`;
      return fail('UPSTREAM_OWNS_ROOT', message);
    }
    const fresh = await record.refresh();
    if (!fresh.ok) return fresh;
    const root = rootFor(act, keyId, record.life);
    if (!root.ok) return root;
    const end = act === 'taint' ? taintedRoot : revokedRoot;
    const { bundle, entries } = end(record.life, root.value);
    const { certificate } = root.value;
    const distrusted =
      act === 'taint' ? record.distrusted : [...record.distrusted, rootKeyHash(certificate)];
    const pruned = pruneBundle(bundle, clock.nowMs());
    const written = await record.commit(entries, pruned, distrusted);
    return written.ok ? ok(rootId(certificate)) : written;
  }

  #write(bundle: Bundle): Promise<Result<void>> {
    const { record, clock } = this.#options;
    return record.commit(record.entries, pruneBundle(bundle, clock.nowMs()));
  }
}
