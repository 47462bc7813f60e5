import type { Failed } from '../../base/result.ts';
import type { PeerFacts } from '../../policy/caller.ts';
import type { ConnectorProof } from '../../rules/connector/group.ts';
import type { ConnectorInstance } from '../../rules/connector/record.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { EnrolmentUse } from '../../store/connectors.ts';
import type { PublicKey } from '../../x509/types.ts';

/** What a proof shows, its form checked. */
export type ShownProof =
  | { readonly kind: 'kubernetes-token'; readonly token: string }
  | { readonly kind: 'x509-svid' }
  | {
      readonly kind: 'provisioning-key';
      readonly key: string;
      /** Empty where the connector has none. */
      readonly token: string;
    }
  | {
      readonly kind: 'bound-key';
      /** SubjectPublicKeyInfo, DER. */
      readonly publicKey: Uint8Array;
      readonly signature: Uint8Array;
      readonly recoveryCount: bigint;
    };

/** An enrolment that is asked for, its form checked and nothing else. */
export interface EnrolRequest {
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly group: string;
  readonly instance: ConnectorInstance;
  readonly challenge: Uint8Array;
  readonly challengeSignature: Uint8Array;
  /** Unix milliseconds. */
  readonly clockMs: number;
  /** Empty where the connector does not say. */
  readonly serverCertificateSha256: Uint8Array;
  /** Empty where the connector does not say. */
  readonly cluster: string;
  readonly proof: ShownProof;
}

/** What is known of who asks, but for what it shows. */
export interface EnrolCaller {
  readonly remoteAddress: string;
  readonly peer: PeerFacts;
  readonly signal: AbortSignal;
}

/** An enrolment whose connector holds the key that it asks for. */
export interface OpenedRequest extends EnrolRequest {
  readonly key: PublicKey;
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly keySha256: string;
  /** What signatures of the enrolment are over. */
  readonly text: Uint8Array;
}

/** What a proof has come to: who the claimant is, and what that uses up. */
export interface ProvenClaim {
  readonly proof: ConnectorProof;
  /** See `ConnectorClaim.claimant`. */
  readonly claimant: string;
  /** Agent of the node that vouches for it; undefined where none does. */
  readonly agentId: SpiffeId | undefined;
  /**
   * Whether it may come with another key than its connector has now: it was looked at now and has lost its
   * key, or its enrolment key is what it is known by and renewals have replaced that.
   */
  readonly mayRekey: boolean;
  /** Name that the connector has to have; drawn where undefined. */
  readonly connectorId: string | undefined;
  readonly use: EnrolmentUse | undefined;
  /** Why its key may not be used, where `use` is a repetition: what it is refused with if it is none. */
  readonly unlessAgain: Failed | undefined;
  /** For the audit line. */
  readonly facts: Readonly<Record<string, string>>;
}
