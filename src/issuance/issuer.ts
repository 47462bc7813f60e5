import type { AuthoritySource } from '../authority/authority.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, type Result } from '../base/result.ts';
import type { JwtGrant, X509Grant } from '../policy/grant.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { IssuanceRecorder } from './recorder.ts';

/** One certificate asked for: leave to have it, and the request that proves the key. */
export interface X509Request {
  readonly grant: X509Grant;
  /** PKCS#10 DER; only its key is used. */
  readonly csr: Uint8Array;
}

/** A signed X.509-SVID. */
export interface IssuedX509 {
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, then intermediates; the root is left out (X509-25). */
  readonly chain: readonly Uint8Array[];
  /** Decimal: SPIRE's form on the wire. */
  readonly serialDecimal: string;
  /** Unix seconds. */
  readonly notBeforeSeconds: number;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
}

/** A signed JWT-SVID. */
export interface IssuedJwt {
  readonly spiffeId: SpiffeId;
  readonly token: string;
  /** Unix seconds. */
  readonly issuedAtSeconds: number;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
}

/** What the issuer stands on. */
export interface IssuerOptions {
  readonly authority: AuthoritySource;
  /** Judges a grant again, by the registry of this very moment (node, entry revision). */
  readonly recheck: (grant: X509Grant | JwtGrant) => Result<void>;
  readonly recorder: IssuanceRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Worker threads for batches; the number of cores unless given. 0 signs on the main thread. */
  readonly workers?: number;
  /** How far notBefore lies in the past; 60 unless given. */
  readonly backdateSeconds?: number;
  /** Lifetime of workload, server and minted X.509-SVIDs; 3600 unless given. */
  readonly x509TtlSeconds?: number;
  /** Lifetime of agents' SVIDs; `x509TtlSeconds` unless given. */
  readonly agentTtlSeconds?: number;
  /** Lifetime of JWT-SVIDs; 300 unless given. */
  readonly jwtTtlSeconds?: number;
  /** The `iss` claim; left out unless given. */
  readonly jwtIssuer?: string;
  /** CSRs that may wait before callers are refused with ISSUANCE_OVERLOADED; 4096 unless given. */
  readonly maxQueued?: number;
}

/** The only code that asks an authority for a signature. */
export interface Issuer {
  /** Signs many; answers in order, each item with its own outcome. */
  issueX509Batch(items: readonly X509Request[]): Promise<readonly Result<IssuedX509>[]>;
  /** Signs for a key that this process made itself (the server's own SVID): no CSR. */
  issueX509ForKey(grant: X509Grant, publicKeySpki: Uint8Array): Promise<Result<IssuedX509>>;
  /** Signs one, by an operator's leave. */
  mintX509(grant: X509Grant, csr: Uint8Array): Promise<Result<IssuedX509>>;
  issueJwt(grant: JwtGrant): Promise<Result<IssuedJwt>>;
  /** Refuses what waits and ends the workers. */
  close(): Promise<void>;
}

/** Makes the issuer; workers start with the first batch. */
export function createIssuer(_options: IssuerOptions): Issuer {
  const refuse = async () => fail('INTERNAL', 'issuance is not built yet');
  return {
    issueX509Batch: async (items) => items.map(() => fail('INTERNAL', 'issuance is not built yet')),
    issueX509ForKey: refuse,
    mintX509: refuse,
    issueJwt: refuse,
    close: async () => {},
  };
}
