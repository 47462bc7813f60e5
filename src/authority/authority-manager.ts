import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail } from '../base/result.ts';
import type { KeyManager, KeyType } from '../keys/key-manager.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Store } from '../store/store.ts';
import type { AuthorityManager } from './authority.ts';

/** Subject of CA certificates; SPIRE's (`C=US, O=SPIFFE`) unless given. */
export interface CaSubject {
  readonly country?: string;
  readonly organization?: string;
  readonly commonName?: string;
}

/** What the authorities' life stands on. */
export interface AuthorityManagerOptions {
  readonly trustDomain: TrustDomain;
  readonly keys: KeyManager;
  readonly store: Pick<Store, 'loadJournal' | 'commitAuthorities'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Life of X.509 and JWT authorities alike; 86400 unless given. */
  readonly ttlSeconds?: number;
  /** How far a CA certificate's notBefore lies in the past; 60 unless given. */
  readonly backdateSeconds?: number;
  /** `ec-p256` unless given. */
  readonly x509KeyType?: KeyType;
  /** `ec-p256` unless given. */
  readonly jwtKeyType?: KeyType;
  readonly subject?: CaSubject;
}

/** Makes the manager; nothing happens before `start`. */
export function createAuthorityManager(_options: AuthorityManagerOptions): AuthorityManager {
  const refuse = () => fail('INTERNAL', 'authorities are not built yet');
  return {
    start: async () => refuse(),
    currentX509: refuse,
    currentJwt: refuse,
    onChange: () => () => {},
    bundle: () => undefined,
    close: async () => {},
  };
}
