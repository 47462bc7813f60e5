import type { Result } from '../base/result.ts';
import type { Assurance } from '../rules/assurance.ts';
import type { EntryDraft } from '../rules/entry.ts';
import type { Selector } from '../rules/selector.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { DpuWrite } from '../store/store.ts';

/** What an attestation starts from. */
export interface AttestationRequest {
  readonly payload: Uint8Array;
  /** SubjectPublicKeyInfo, DER, of the key that the SVID will be for; the caller has proven that it holds it. */
  readonly csrSpki: Uint8Array;
  /** SHA-256 of `csrSpki`, hex. */
  readonly csrKeyHash: string;
}

/** What an attestation established about a node. */
export interface AttestedNode {
  readonly agentId: SpiffeId;
  /** They take the place of those of an earlier attestation. */
  readonly selectors: readonly Selector[];
  /** Whether the method lets the agent attest again. */
  readonly canReattest: boolean;
  /** What is known beside the name; method and time are added by the caller. */
  readonly assurance: Omit<Assurance, 'method' | 'atSeconds'>;
  /** Entry that gives the agent another name, if it is to have one. */
  readonly aliasDraft: EntryDraft | undefined;
  /** The DPU that the evidence was of, as it stands afterwards: written down with the agent, or neither is. */
  readonly dpu?: DpuWrite | undefined;
  /** Unix seconds that the SVID may not outlive, such as the end of who vouched for the node. */
  readonly notAfterSeconds?: number | undefined;
  /** What else goes to the audit trail, such as the number of the credential that was shown. */
  readonly auditFacts?: Readonly<Record<string, string>> | undefined;
  /** Hash of the join token that the answer is kept with; only where there is one. */
  readonly joinTokenHash: string | undefined;
}

/** How an attestation ended. */
export type AttestationOutcome =
  | { readonly kind: 'attested'; readonly node: AttestedNode }
  /** The same question was answered before and the answer may have been lost: send it again. */
  | { readonly kind: 'answered'; readonly answer: Uint8Array };

/** What one attestation by a method may cost at most. Whoever runs the attestor enforces it. */
export interface AttestationLimits {
  readonly payloadBytes: number;
  /** Bytes of one response. */
  readonly responseBytes: number;
  /** Challenges in one attestation; 0 where the method has none. */
  readonly challenges: number;
  /** How long the agent may take over one response, in milliseconds. */
  readonly responseMs: number;
  /** How long all rounds may take together, in milliseconds. */
  readonly totalMs: number;
}

/** Sends bytes to the agent and answers with its response. */
export type Challenge = (bytes: Uint8Array) => Promise<Result<Uint8Array>>;

/** The server half of a node attestor. */
export interface NodeAttestor {
  /** Name on the wire, such as `join_token`. */
  readonly type: string;
  readonly limits: AttestationLimits;
  /** Judges a payload; `challenge` is for methods that need a round trip. */
  attest(request: AttestationRequest, challenge: Challenge): Promise<Result<AttestationOutcome>>;
}
