import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { KeyManager, KeyType } from '../keys/key-manager.ts';
import type { MovedKeys } from '../keys/moved-keys.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Store } from '../store/store.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import type { Propagation } from './barrier.ts';
import type { AuthorityKind } from './journal.ts';
import type { UpstreamLink } from './upstream/upstream-link.ts';
import type { RecordCa } from './x509-certificate.ts';

/** What the authorities' life stands on. */
export interface AuthorityManagerOptions {
  readonly trustDomain: TrustDomain;
  readonly keys: KeyManager;
  /** Holds the keys of JWT authorities; `keys` unless given. */
  readonly jwtKeys?: (KeyManager & Partial<Pick<MovedKeys, 'isFormer'>>) | undefined;
  readonly store: Pick<Store, 'loadJournal' | 'commitAuthorities'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Life of X.509 authorities; 86400 unless given. */
  readonly ttlSeconds?: number;
  /** Life of JWT authorities; `ttlSeconds` unless given. */
  readonly jwtTtlSeconds?: number;
  /** How far a CA certificate's notBefore lies in the past; 60 unless given. */
  readonly backdateSeconds?: number;
  /** `ec-p256` unless given. */
  readonly x509KeyType?: KeyType;
  /** `ec-p256` unless given. */
  readonly jwtKeyType?: KeyType;
  /** SPIRE's (`C=US, O=SPIFFE`) unless given. */
  readonly subject?: CaSubject;
  /** Told of each CA certificate before it is signed; nobody unless given. */
  readonly recordCa?: RecordCa;
  /** Signs our CA certificates; they sign themselves unless given. Closed with the manager. */
  readonly upstream?: UpstreamLink | undefined;
  /** Which agents have which bundle; nobody is waited for unless given. */
  readonly propagation?: Propagation;
  /** Longest that an authority which is due waits for agents; 3600 unless given. */
  readonly propagationWaitSeconds?: number;
  /** Longest life that a leaf of the kind may have; 0 unless given. */
  readonly longestLeafSeconds?: (kind: AuthorityKind) => number;
}
