import { fail, type Result } from '../../src/base/result.ts';

/** The key that the SVID will be for, as far as evidence has to be bound to it. */
export interface AttestationKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** ECDSA with SHA-256, DER. */
  sign(message: Uint8Array): Buffer;
}

/** The agent's half of a node attestor: what it shows the server. */
export interface NodeAttestor {
  /** `AttestationData.type`. */
  readonly type: string;
  /** Challenges that the method has at most; a server that sends more is not answered. */
  readonly maxChallenges: number;
  /** Longest time from the payload to the server's verdict, in milliseconds. */
  readonly timeoutMs: number;
  /** Begins one attestation; the next begins anew, since evidence may be used up. */
  begin(key: AttestationKey): Promise<Result<AttestationSession>>;
}

/** One attestation under way. */
export interface AttestationSession {
  readonly payload: Buffer;
  /** The answer to a challenge; what comes from the server is judged as hostile. */
  respond(challenge: Uint8Array): Promise<Result<Uint8Array>>;
  /** Gives back what the session holds, however it ended. */
  close(): Promise<void>;
}

/** A session of a method that has nothing to say but its payload. */
export function withoutChallenge(payload: Buffer): AttestationSession {
  return {
    payload,
    respond: async () => fail('AGENT_SERVER_ANSWER', 'this method has no challenge'),
    close: async () => {},
  };
}
