import type { Result } from '../base/result.ts';
import type { EntryDraft } from '../rules/entry.ts';
import type { Selector } from '../rules/selector.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** What an attestation starts from. */
export interface AttestationRequest {
  readonly payload: Uint8Array;
  /** SHA-256 of the SubjectPublicKeyInfo that the SVID will be for, hex. */
  readonly csrKeyHash: string;
}

/** What an attestation established about a node. */
export interface AttestedNode {
  readonly agentId: SpiffeId;
  readonly selectors: readonly Selector[];
  /** Whether the method lets the agent attest again. */
  readonly canReattest: boolean;
  /** Entry that gives the agent another name, if it is to have one. */
  readonly aliasDraft: EntryDraft | undefined;
  /** Hash of the join token that the answer is kept with; only where there is one. */
  readonly joinTokenHash: string | undefined;
}

/** How an attestation ended. */
export type AttestationOutcome =
  | { readonly kind: 'attested'; readonly node: AttestedNode }
  /** The same question was answered before and the answer may have been lost: send it again. */
  | { readonly kind: 'answered'; readonly answer: Uint8Array };

/** The server half of a node attestor. */
export interface NodeAttestor {
  /** Name on the wire, such as `join_token`. */
  readonly type: string;
  /**
   * Judges a payload. `challenge` sends bytes to the agent and answers with its response, for methods
   * that need a round trip.
   */
  attest(
    request: AttestationRequest,
    challenge: (bytes: Uint8Array) => Promise<Result<Uint8Array>>,
  ): Promise<Result<AttestationOutcome>>;
}
