import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { ConnectorProof } from './group.ts';

/** What is durable of how a connector stands; the rest follows from its session and its certificate. */
export const CONNECTOR_STANDINGS = ['enrolled', 'draining', 'stopped', 'revoked'] as const;

/** Name of a standing. */
export type ConnectorStanding = (typeof CONNECTOR_STANDINGS)[number];

/** How a connector stands, as operators see it (reference of states: `docs/connectors.md`). */
export const CONNECTOR_STATES = [
  'pending',
  'enrolled',
  'active',
  'degraded',
  'draining',
  'stopped',
  'lost',
  'expired',
  'revoked',
] as const;

/** Name of a state. */
export type ConnectorState = (typeof CONNECTOR_STATES)[number];

/** What a connector says of itself; nothing is decided by it. */
export interface ConnectorInstance {
  readonly version: string;
  readonly os: string;
  readonly arch: string;
  readonly hostname: string;
  readonly podName: string;
  readonly nodeName: string;
}

/** Who claims to be a connector, as its proof showed. */
export interface ConnectorClaim {
  readonly proof: ConnectorProof;
  /**
   * The claimant: `pod:<cluster>/<uid>` where TokenReview verified a pod, `svid:<SPIFFE ID>#<key>`,
   * `bound:<SHA-256 of the key>`, else `csr:<SHA-256 of the CSR's key>`. One connector each.
   */
  readonly claimant: string;
  /** SHA-256 of the SubjectPublicKeyInfo that it enrols with, hex; of its newest SVID once one was signed. */
  readonly keySha256: string;
  /** Agent of the node that vouches for it, where one does. */
  readonly agentId: SpiffeId | undefined;
}

/** A connector as the store has it. */
export interface ConnectorRecord extends ConnectorClaim {
  /** Name of the instance; one within the trust domain. */
  readonly id: string;
  readonly group: string;
  /** `spiffe://<td>/connector/<group>/<id>`. */
  readonly spiffeId: SpiffeId;
  readonly standing: ConnectorStanding;
  /** Why it drains, stopped or was revoked; empty where nothing was said. */
  readonly reason: string;
  readonly instance: ConnectorInstance;
  /** Unix seconds. */
  readonly enrolledAtSeconds: number;
  /** Decimal, of its newest SVID; empty until it was signed. */
  readonly serial: string;
  /** Unix seconds, of its newest SVID; 0 until it was signed. */
  readonly expiresAtSeconds: number;
  /** Serial of the one before, still good until the new one is used; empty where there is none. */
  readonly previousSerial: string;
  /** Unix seconds, of the one before. */
  readonly previousExpiresAtSeconds: number;
  /** SHA-256 of the key of the one before, hex; empty where there is none. */
  readonly previousKeySha256: string;
  /** SHA-256 of the key that it enrolled with, hex; not that of a renewal. */
  readonly enrolmentKeySha256: string;
  /** Unix seconds of the last time that a session began or ended; 0 is never. */
  readonly lastHeardAtSeconds: number;
  /** Unix milliseconds by which it has to be drained; 0 where it does not drain. */
  readonly drainDeadlineMs: number;
  /** Unix seconds at which it stopped or was revoked; 0 where neither. */
  readonly endedAtSeconds: number;
  /** Greater with each write. */
  readonly revision: bigint;
}
