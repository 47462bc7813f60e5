import { availableParallelism } from 'node:os';
import type { AuthoritySource, JwtAuthority, X509Authority } from '../authority/authority.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import type { JwtGrant, X509Grant } from '../policy/grant.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type BlockedKeys, PUBLISHED_BLOCKED_KEYS } from '../x509/blocked-keys.ts';
import type { PublicKey } from '../x509/types.ts';
import { type KeyProof, provenByProof } from './csr-key.ts';
import { createJwtSigner, type IssuedJwt, issueJwt, type JwtSigner } from './issue-jwt.ts';
import {
  type IssuanceContext,
  type IssuedX509,
  issueX509,
  type LeafRequest,
} from './issue-x509.ts';
import { checkKeySource, type LeafOrder } from './leaf.ts';
import type { IssuanceRecorder } from './recorder.ts';
import { SignPool } from './sign-pool.ts';
import { type Lifetimes, type Validity, x509Validity } from './validity.ts';
import { createLocalWorkshop, type Workshop } from './workshop.ts';

export type { IssuedJwt } from './issue-jwt.ts';
export type { IssuedX509 } from './issue-x509.ts';

/** One certificate asked for: leave to have it, and the request that proves the key. */
export interface X509Request {
  readonly grant: X509Grant;
  /** PKCS#10 DER; only its key is used. */
  readonly csr: Uint8Array;
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
  /** Keys that nothing is issued for; those that anyone can read unless given. */
  readonly blockedKeys?: BlockedKeys;
}

/** The only code that asks an authority for a signature. */
export interface Issuer {
  /** Whether a CSR could be signed: its key is allowed and proven. Signs nothing. */
  checkCsr(csr: Uint8Array): Result<PublicKey>;
  /** The same of a key that is proven otherwise. */
  checkProof(proof: KeyProof): Result<PublicKey>;
  /** Signs many; answers in order, each item with its own outcome. */
  issueX509Batch(items: readonly X509Request[]): Promise<readonly Result<IssuedX509>[]>;
  /** Which dates a certificate would have now. Signs nothing. */
  planX509(grant: X509Grant): Result<Validity>;
  /** Signs for a key that is proven otherwise than by a CSR. */
  issueX509ByProof(grant: X509Grant, proof: KeyProof): Promise<Result<IssuedX509>>;
  /** Signs for a key that this process made itself (the server's own SVID): no CSR. */
  issueX509ForKey(grant: X509Grant, publicKeySpki: Uint8Array): Promise<Result<IssuedX509>>;
  /** Signs one, by an operator's leave. */
  mintX509(grant: X509Grant, csr: Uint8Array): Promise<Result<IssuedX509>>;
  issueJwt(grant: JwtGrant): Promise<Result<IssuedJwt>>;
  /** Refuses what waits and ends the workers. */
  close(): Promise<void>;
}

/** Makes the issuer; workers start with the first batch. */
export function createIssuer(options: IssuerOptions): Issuer {
  const { workers = availableParallelism() } = options;
  const context: IssuanceContext & { jwtIssuer: string | undefined } = {
    ...options,
    jwtIssuer: options.jwtIssuer,
    // Read at each signature: a reload may change what the options answer.
    get lifetimes() {
      return lifetimesOf(options);
    },
  };
  const { maxQueued = 4096, blockedKeys = PUBLISHED_BLOCKED_KEYS } = options;
  const pool =
    workers > 0
      ? new SignPool({ ...options, threads: workers, maxQueued, blockedKeys })
      : undefined;
  const metrics = createIssuanceMetrics(options.metrics, () => pool?.queued ?? 0);
  const here = createLocalWorkshop(blockedKeys);
  const batches = pool === undefined ? here : batchWorkshop(pool, here);
  const jwtSigner = jwtSignerCache();

  const timed = async <T>(svid: 'x509' | 'jwt', work: () => Promise<T>): Promise<T> => {
    const start = options.clock.monotonicMs();
    const done = await work();
    metrics.seconds(svid, (options.clock.monotonicMs() - start) / 1000);
    return done;
  };
  const one = async (request: LeafRequest): Promise<Result<IssuedX509>> => {
    const [issued] = await timed('x509', () => issueX509([request], here, context));
    if (issued === undefined) throw new TypeError('issuance answers each request');
    metrics.count('x509', [issued]);
    return issued;
  };
  return {
    planX509(grant) {
      const authority = options.authority.currentX509();
      if (!authority.ok) return authority;
      const { certificate } = authority.value;
      return ok(x509Validity(grant, certificate, options.clock.nowMs(), context.lifetimes));
    },
    checkProof: (proof) => provenByProof(proof, blockedKeys),
    checkCsr: (der) => checkKeySource({ kind: 'csr', der }, blockedKeys),
    async issueX509Batch(items) {
      const requests = items.map(({ grant, csr }): LeafRequest => fromCsr(grant, csr));
      // One signature costs less here than the way to a thread and back.
      const workshop = items.length > 1 ? batches : here;
      const issued = await timed('x509', () => issueX509(requests, workshop, context));
      metrics.count('x509', issued);
      return issued;
    },
    async issueX509ByProof(grant, proof) {
      const key = provenByProof(proof, blockedKeys);
      return key.ok ? one({ grant, source: { kind: 'spki', der: key.value.spki } }) : key;
    },
    issueX509ForKey: (grant, der) => one({ grant, source: { kind: 'spki', der } }),
    mintX509: (grant, csr) => one(fromCsr(grant, csr)),
    async issueJwt(grant) {
      const authority = options.authority.currentJwt();
      const signer = authority.ok ? jwtSigner(authority.value) : authority;
      const issued = signer.ok
        ? await timed('jwt', () => issueJwt(grant, signer.value, context))
        : signer;
      metrics.count('jwt', [issued]);
      return issued;
    },
    close: async () => pool?.close(),
  };
}

function lifetimesOf(options: IssuerOptions): Lifetimes {
  const { x509TtlSeconds = 3600, jwtTtlSeconds = 300, backdateSeconds = 60 } = options;
  return {
    x509Seconds: x509TtlSeconds,
    agentSeconds: options.agentTtlSeconds ?? x509TtlSeconds,
    jwtSeconds: jwtTtlSeconds,
    backdateSeconds,
  };
}

function fromCsr(grant: X509Grant, der: Uint8Array): LeafRequest {
  return { grant, source: { kind: 'csr', der } };
}

/**
 * Where batches are made: on the threads of the pool. With a key that does not leave its key manager
 * the threads check the CSRs, which is most of the work, and this thread drafts and has it sign.
 */
function batchWorkshop(pool: SignPool, here: Workshop): Workshop {
  const draftOutside = async (
    orders: readonly LeafOrder[],
    authority: X509Authority,
    lane: string,
  ) => {
    const keys = await pool.check(orders, lane);
    const checked = orders.flatMap((order, index): LeafOrder[] => {
      const key = keys[index];
      return key?.ok ? [{ ...order, source: { kind: 'spki', der: key.value } }] : [];
    });
    const drafts = await here.draft(checked, authority, lane);
    return {
      ...drafts,
      tbsHashes: merge(keys, drafts.tbsHashes),
      sign: async () => merge(keys, await drafts.sign()),
    };
  };
  return {
    draft: (orders, authority, lane) =>
      authority.key.local
        ? pool.draft(orders, authority, lane)
        : draftOutside(orders, authority, lane),
  };
}

/** The refusals of the first list, with the second in the gaps, in order. */
function merge(
  checked: readonly Result<Uint8Array>[],
  rest: readonly Result<Uint8Array>[],
): readonly Result<Uint8Array>[] {
  const following = rest.values();
  return checked.map((outcome) => (outcome.ok ? (following.next().value ?? outcome) : outcome));
}

function jwtSignerCache(): (authority: JwtAuthority) => Result<JwtSigner> {
  const signers = new WeakMap<JwtAuthority, JwtSigner>();
  return (authority) => {
    const known = signers.get(authority);
    if (known !== undefined) return ok(known);
    const made = createJwtSigner(authority);
    if (made.ok) signers.set(authority, made.value);
    return made;
  };
}

const SVID_KINDS = ['x509', 'jwt'] as const;

function createIssuanceMetrics(metrics: Metrics, queued: () => number) {
  const issued = { x509: new Map<string, number>(), jwt: new Map<string, number>() };
  const help = 'SVIDs by kind and outcome: ok, or the code';
  metrics.kept('counter', 'svids_total', help, ['svid', 'code'], () =>
    SVID_KINDS.flatMap((svid) =>
      [...issued[svid]].map(([code, count]) => [{ svid, code }, count] as const),
    ),
  );
  const seconds = metrics.seconds('issuance_seconds', 'Time to issue, a whole batch at once', [
    'svid',
  ]);
  const waiting = metrics.gauge('sign_queue_csrs', 'CSRs that wait for a signing thread');
  return {
    seconds: (svid: 'x509' | 'jwt', value: number): void => seconds.observe({ svid }, value),
    count(svid: 'x509' | 'jwt', outcomes: readonly Result<unknown>[]): void {
      const counts = issued[svid];
      for (const outcome of outcomes) {
        const code = outcome.ok ? 'ok' : outcome.error.code;
        counts.set(code, (counts.get(code) ?? 0) + 1);
      }
      if (svid === 'x509') waiting.set(queued());
    },
  };
}
