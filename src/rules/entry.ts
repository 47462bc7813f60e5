import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Assurance } from './assurance.ts';
import type { Selector } from './selector.ts';

/** What an operator states about an entry; the server adds the rest. */
export interface EntryDraft {
  readonly spiffeId: SpiffeId;
  readonly parentId: SpiffeId;
  /** At least one; order kept, duplicates refused. */
  readonly selectors: readonly Selector[];
  /** 0 takes the server's default. */
  readonly x509SvidTtlSeconds: number;
  /** 0 takes the server's default. */
  readonly jwtSvidTtlSeconds: number;
  readonly federatesWith: readonly TrustDomain[];
  readonly admin: boolean;
  readonly downstream: boolean;
  /** Unix seconds; 0 is never. */
  readonly expiresAtSeconds: number;
  readonly dnsNames: readonly string[];
  readonly storeSvid: boolean;
  /** At most 1024 bytes (Workload API §8). */
  readonly hint: string;
  readonly disableX509SvidPrefetch: boolean;
  readonly jwtSvidIncludeJti: boolean;
}

/** A registration entry: processes with all these selectors, under this parent, have this SPIFFE ID. */
export interface Entry extends EntryDraft {
  readonly id: string;
  /** Grows with every change; 63 bits. */
  readonly revision: bigint;
  /** Unix seconds. */
  readonly createdAtSeconds: number;
}

/** A node's agent as the server knows it. */
export interface AgentRecord {
  readonly id: SpiffeId;
  /** Name of the node attestor. */
  readonly attestationType: string;
  /** Selectors that the attestation yielded. */
  readonly selectors: readonly Selector[];
  /** Decimal serial number of the SVID in use. */
  readonly serial: string;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
  /** Serial of a renewed SVID that was not used yet; it becomes `serial` on first use. */
  readonly newSerial: string | undefined;
  readonly newExpiresAtSeconds: number | undefined;
  readonly banned: boolean;
  /** Why nothing is issued on its node while the node's DPU is out; the registry adds it, the store has none. */
  readonly quarantine?: string | undefined;
  /** Whether the attestor lets the agent attest again. */
  readonly canReattest: boolean;
  readonly agentVersion: string;
  /** Unix seconds of the last attestation. */
  readonly attestedAtSeconds: number;
  /** What that attestation established; undefined for agents of versions that did not write it down. */
  readonly assurance: Assurance | undefined;
}
