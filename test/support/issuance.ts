import type { AuthorityManager } from '../../src/authority/authority.ts';
import { createAuthorityManager } from '../../src/authority/authority-manager.ts';
import type { AuthorityManagerOptions } from '../../src/authority/authority-options.ts';
import type { Propagation } from '../../src/authority/barrier.ts';
import type { UpstreamLink } from '../../src/authority/upstream/upstream-link.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { fail, ok, unwrap } from '../../src/base/result.ts';
import { createIssuer, type Issuer, type IssuerOptions } from '../../src/issuance/issuer.ts';
import { createLogRecorder } from '../../src/issuance/recorder.ts';
import type { KeyManager } from '../../src/keys/key-manager.ts';
import { createMemoryKeyManager } from '../../src/keys/memory-key-manager.ts';
import type { JwtGrant, X509Grant } from '../../src/policy/grant.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import type { Bundle } from '../../src/spiffe/bundle.ts';
import { parseSpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import type { Store } from '../../src/store/store.ts';

/** The trust domain of these tests. */
export const TRUST_DOMAIN = unwrap(parseTrustDomain('example.org'));

/** A log that nobody reads. */
export const SILENT = createLogger({ level: 'silent' });

/** The part of a store that authorities need. */
export type AuthorityStore = Pick<Store, 'loadJournal' | 'commitAuthorities'>;

/** That part in memory, with the compare-and-swap of the real one. */
export class MemoryAuthorityStore implements AuthorityStore {
  version = 0n;
  journal: Uint8Array | undefined;
  bundle: Bundle | undefined;
  #waiting: { readonly version: bigint; readonly resolve: () => void }[] = [];

  /** Answers once so many commits were made, and what came of the last was taken up. */
  async reached(version: bigint): Promise<void> {
    if (this.version < version) {
      await new Promise<void>((resolve) => this.#waiting.push({ version, resolve }));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  loadJournal: AuthorityStore['loadJournal'] = async () => {
    const { version, journal, bundle } = this;
    return ok({ version, journal, bundle });
  };

  commitAuthorities: AuthorityStore['commitAuthorities'] = async (write) => {
    if (write.expectedVersion !== this.version) {
      return fail('STORE_CONFLICT', 'the journal changed meanwhile');
    }
    this.version += 1n;
    this.journal = write.journal;
    if (write.bundle !== undefined) {
      this.bundle = { ...write.bundle, sequence: (this.bundle?.sequence ?? 0n) + 1n };
    }
    for (const { version, resolve } of this.#waiting) if (version <= this.version) resolve();
    return ok({ version: this.version, bundle: this.bundle });
  };
}

/** Options of {@link makeAuthorities} that tests vary. */
export interface TestAuthorityOptions {
  readonly keys?: KeyManager;
  readonly jwtKeys?: AuthorityManagerOptions['jwtKeys'];
  readonly propagation?: Propagation;
  readonly store?: AuthorityStore;
  readonly clock?: Clock;
  readonly ttlSeconds?: number;
  readonly x509KeyType?: 'ec-p256' | 'ec-p384' | 'rsa-2048' | 'rsa-4096';
  readonly jwtKeyType?: 'ec-p256' | 'ec-p384' | 'rsa-2048' | 'rsa-4096';
  readonly upstream?: UpstreamLink;
}

/** An authority manager that is not started. */
export function makeAuthorities(options: TestAuthorityOptions = {}): AuthorityManager {
  return createAuthorityManager({
    trustDomain: TRUST_DOMAIN,
    keys: createMemoryKeyManager(),
    store: new MemoryAuthorityStore(),
    clock: systemClock,
    random: systemRandom,
    log: SILENT,
    metrics: createMetrics('test'),
    ...options,
  });
}

/** A started authority manager. */
export async function startAuthorities(
  options: TestAuthorityOptions = {},
): Promise<AuthorityManager> {
  const authorities = makeAuthorities(options);
  unwrap(await authorities.start());
  return authorities;
}

/** An issuer over an authority, with harmless values for the rest. */
export function makeIssuer(
  options: Partial<IssuerOptions> & Pick<IssuerOptions, 'authority'>,
): Issuer {
  return createIssuer({
    recheck: () => ok(undefined),
    recorder: createLogRecorder(SILENT),
    clock: systemClock,
    random: systemRandom,
    log: SILENT,
    metrics: createMetrics('test'),
    ...options,
  });
}

/** Leave for a workload's certificate; only tests make one without policy. */
export function x509Grant(path = '/web', extra: Partial<X509Grant> = {}): X509Grant {
  return {
    ...grantBase(path),
    svid: 'x509',
    purpose: 'workload',
    dnsNames: [],
    ...extra,
  } as X509Grant;
}

/** Leave for a workload's token. */
export function jwtGrant(path = '/web', extra: Partial<JwtGrant> = {}): JwtGrant {
  const own = { svid: 'jwt', audience: ['db', 'cache'], includeJti: false };
  return { ...grantBase(path), ...own, ...extra } as JwtGrant;
}

function grantBase(path: string) {
  return {
    spiffeId: unwrap(parseSpiffeId(TRUST_DOMAIN.id + path)),
    requestedBy: 'agent:spiffe://example.org/spire/agent/join_token/1',
    entry: { id: 'entry-1', revision: 1n },
    agentId: unwrap(parseSpiffeId(`${TRUST_DOMAIN.id}/spire/agent/join_token/1`)),
    agentAttestedAtSeconds: 0,
    ttlSeconds: 0,
    hint: '',
  };
}
