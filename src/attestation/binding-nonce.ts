import { createHash } from 'node:crypto';

/** First bytes of what is hashed, so that no other use of SHA-256 yields a binding nonce. */
const LABEL = Buffer.from('dpu-attest/v1\0', 'latin1');

/** Size of a binding nonce in bytes: it fits SPDM, Redfish and a TPM's qualifying data. */
export const BINDING_NONCE_BYTES = 32;

/** What evidence is bound to. */
export interface BindingInput {
  /** 32 random bytes of the server's, for this attestation alone. */
  readonly serverNonce: Uint8Array;
  /** SubjectPublicKeyInfo, DER, of the key that the SVID will be for. */
  readonly csrSpki: Uint8Array;
  /** Name of the trust domain. */
  readonly trustDomain: string;
  /** Name of the attestation session. */
  readonly session: string;
  /** What the evidence is of, such as a component of a DPU or `tpm`. */
  readonly target: string;
}

/**
 * The nonce that evidence must hold (dpu-attestation §7.1, step 4). Both sides compute it: evidence with
 * it was made for this key, this trust domain, this session and this target, and for nothing else.
 */
export function bindingNonce(input: BindingInput): Buffer {
  return (
    createHash('sha256')
      .update(LABEL)
      .update(input.serverNonce)
      .update(sha256(input.csrSpki))
      .update(sha256(Buffer.from(input.trustDomain)))
      // The session is of fixed length, so that no other pair runs together to the same bytes.
      .update(sha256(Buffer.from(input.session + input.target)))
      .digest()
  );
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
