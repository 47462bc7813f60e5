import type { AssuranceBinding } from '../assurance.ts';

/** Ways to prove who a connector is, as settings and operators name them. */
export const CONNECTOR_PROOFS = [
  'kubernetes-token',
  'x509-svid',
  'provisioning-key',
  'bound-key',
] as const;

/** Name of a proof. */
export type ConnectorProof = (typeof CONNECTOR_PROOFS)[number];

/** A service account whose pods may enrol. */
export interface ConnectorAccount {
  /** Empty is any cluster that is configured. */
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
}

/** A connector group as somebody states it: who may be in it, and on what terms. */
export interface ConnectorGroupDraft {
  /** DNS label (RFC 1123 §2.1), at most 63 characters. */
  readonly name: string;
  readonly minInstances: number;
  /** 0 is no limit. */
  readonly maxInstances: number;
  /** Segments with all these labels belong to it, besides those that name it; empty selects none. */
  readonly segmentSelector: Readonly<Record<string, string>>;
  /** Of its SVIDs; 0 is the server's. */
  readonly svidTtlSeconds: number;
  /** How long a connector may serve without a session; 0 is until its SVID ends. */
  readonly offlineSeconds: number;
  /** How long one that ended is remembered; 0 is 1 h for those of pods, else 7 days. */
  readonly forgetAfterSeconds: number;
  /** Proofs that will do; none is nobody. */
  readonly proofs: readonly ConnectorProof[];
  readonly serviceAccounts: readonly ConnectorAccount[];
  /** Who may enrol by X.509-SVID: SPIFFE IDs, or all below one (`spiffe://td/path/*`). */
  readonly spiffeIds: readonly string[];
  /** Zones that the node has to be in; none is any. */
  readonly zones: readonly number[];
  /** The weakest binding of the node's attestation that will do; undefined is any. */
  readonly assurance: AssuranceBinding | undefined;
  /** Whether the pod's node has to have an attested agent. */
  readonly requireAttestedNode: boolean;
  /** Namespaces, or `cluster/namespace`, whose objects may define segments of it; none is nobody's. */
  readonly segmentNamespaces: readonly string[];
  /** Hosts that such segments may name, in the forms of a segment's hosts; none is any. */
  readonly segmentHosts: readonly string[];
  /** Such as `Sat 02:00-06:00 UTC`; empty is any time. */
  readonly updateWindow: string;
  /** Most that an update takes out at once. */
  readonly maxUnavailable: number;
  /** Who made it: empty for operators, else the name of the object that it follows. */
  readonly origin: string;
}

/** A connector group as the store has it. */
export interface ConnectorGroup extends ConnectorGroupDraft {
  /** Greater with each write, and no other's: not that of one that was deleted and made anew. */
  readonly revision: bigint;
}
