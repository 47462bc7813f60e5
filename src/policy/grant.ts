import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

declare const brand: unique symbol;

/** Who calls, after the connection's peer was looked up in the registry. */
export type Caller =
  | LocalCaller
  | AnonymousCaller
  | AdminCaller
  | AgentCaller
  | DownstreamCaller
  | ConnectorCaller;

/** Over the admin socket, as root, the server's uid or a member of the configured group. */
export interface LocalCaller {
  readonly kind: 'local';
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** Nobody that is known. */
export interface AnonymousCaller {
  readonly kind: 'anonymous';
}

/** A SPIFFE ID listed in the configuration, or of an entry with `admin`. */
export interface AdminCaller {
  readonly kind: 'admin';
  readonly id: SpiffeId;
}

/** An attested agent with a live SVID. */
export interface AgentCaller {
  readonly kind: 'agent';
  readonly id: SpiffeId;
  readonly agent: AgentRecord;
  /** Serial of a renewed SVID, used here for the first time: to be promoted in the registry. */
  readonly firstUseOfSerial: string | undefined;
}

/** A SPIFFE ID of an entry with `downstream`. */
export interface DownstreamCaller {
  readonly kind: 'downstream';
  readonly id: SpiffeId;
  readonly entry: Entry;
}

/** An enrolled connector with a live SVID. */
export interface ConnectorCaller {
  readonly kind: 'connector';
  readonly id: SpiffeId;
  readonly connector: ConnectorRecord;
  /** Serial of a renewed SVID, used here for the first time: to be promoted in the registry. */
  readonly firstUseOfSerial: string | undefined;
}

/** What every grant says for the issuance record. */
interface GrantBase {
  readonly [brand]: true;
  readonly spiffeId: SpiffeId;
  /** Who asked: `agent:<id>`, `local:<uid>`, `admin:<id>`, `attestation:<type>`, `enrolment:<proof>`, `connector:<id>`, `self`. */
  readonly requestedBy: string;
  /** Entry that the SPIFFE ID comes from, where there is one. */
  readonly entry: { readonly id: string; readonly revision: bigint } | undefined;
  /** Agent it is issued through, where there is one. */
  readonly agentId: SpiffeId | undefined;
  /** Unix seconds of the attestation that the agent stood on; 0 where there is no agent yet. */
  readonly agentAttestedAtSeconds: number;
  /** How the node stood (`formatStanding`); undefined where there is none. */
  readonly assurance: string | undefined;
  /** 0 takes the default of the kind. */
  readonly ttlSeconds: number;
  readonly hint: string;
}

/** Leave to have one X.509-SVID signed. Only `policy` makes one. */
export interface X509Grant extends GrantBase {
  readonly svid: 'x509';
  /** Decides the default lifetime. */
  readonly purpose: 'workload' | 'agent' | 'server' | 'mint' | 'connector';
  readonly dnsNames: readonly string[];
  /** Unix seconds that it may not outlive, whatever its lifetime; undefined is no such bound. */
  readonly notAfterSeconds?: number | undefined;
  /** Unix seconds before which it may not start; undefined is no such bound. */
  readonly notBeforeSeconds?: number | undefined;
  /** Most seconds between its two dates; undefined is no such bound. */
  readonly maxLifeSeconds?: number | undefined;
  /** The pod that an object of Kubernetes asked for it for. */
  readonly pod?: GrantedPod | undefined;
  /** Name of the connector that it is for, with the purpose `connector`. */
  readonly connectorId?: string | undefined;
}

/** A pod, as the ledger has it. */
export interface GrantedPod {
  readonly uid: string;
  /** The rule that its identity comes from, as operators call it. */
  readonly rule: string;
}

/** Leave to have the CA of a server below this one signed. Only `policy` makes one. */
export interface CaGrant extends GrantBase {
  readonly svid: 'ca';
}

/** Leave to have one JWT-SVID signed. Only `policy` makes one. */
export interface JwtGrant extends GrantBase {
  readonly svid: 'jwt';
  readonly audience: readonly string[];
  readonly includeJti: boolean;
}
