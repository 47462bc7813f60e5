import { createHash } from 'node:crypto';
import { concatBytes, equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { TPM_DIGEST_BYTES, type TpmHash } from './algorithms.ts';
import { parseTpmAttest, type TpmAttestation, type TpmClock } from './attest.ts';
import {
  endorsementPrimaryName,
  isAttestationKey,
  type TpmPublic,
  tpmName,
} from './public-area.ts';
import { verifyTpmSignature } from './signature.ts';

/** Bytes and signature of an attestation structure. */
export interface SignedAttest {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
}

/** What a quote must be. */
export interface QuoteRules {
  /** The attestation key, which must have been activated. */
  readonly key: TpmPublic;
  /** What the quote had to hold. */
  readonly nonce: Uint8Array;
  readonly bank: TpmHash;
  /** Registers, in ascending order. */
  readonly indices: readonly number[];
}

/** A quote that holds. */
export interface VerifiedQuote {
  readonly clock: TpmClock;
  readonly firmwareVersion: bigint;
}

/**
 * Checks a quote (dpu-attestation §3): made by a TPM, signed by the attestation key, with the nonce, over
 * the registers asked for and with the values shown. The key must be a primary one of the endorsement
 * hierarchy: for others a TPM adds a number that hides its counters (TPM 2.0 Part 1, §36.7), so that they
 * could not be compared with the last ones. Fails with TPM_*.
 *
 * @param values Register values in the order of the indices.
 */
export function verifyQuote(
  quote: SignedAttest,
  values: readonly Uint8Array[],
  { key, nonce, bank, indices }: QuoteRules,
): Result<VerifiedQuote> {
  const attestation = verifyAttest(quote, key);
  if (!attestation.ok) return attestation;
  const { attested, signer, extraData, clock, firmwareVersion } = attestation.value;
  if (attested.kind !== 'quote') return fail('TPM_QUOTE', 'not a quote');
  if (!equalBytes(signer, endorsementPrimaryName(key))) {
    return fail('TPM_KEY', 'the attestation key is no primary key of the endorsement hierarchy');
  }
  if (!equalBytes(extraData, nonce)) return fail('TPM_QUOTE', 'the quote has another nonce');
  const [selection, ...others] = attested.selections;
  const asked =
    others.length === 0 &&
    selection?.hash === bank &&
    selection.indices.length === indices.length &&
    selection.indices.every((index, at) => index === indices[at]);
  if (!asked) return fail('TPM_QUOTE', 'the quote is over other registers than asked for');
  if (values.length !== indices.length || values.some((v) => v.length !== TPM_DIGEST_BYTES[bank])) {
    return fail('TPM_QUOTE', 'registers are missing, or of another size');
  }
  const hash = key.scheme.hash ?? bank;
  const digest = createHash(hash).update(concatBytes(values)).digest();
  if (!equalBytes(digest, attested.pcrDigest)) {
    return fail('TPM_QUOTE', 'the registers shown are not those that were quoted');
  }
  return ok({ clock, firmwareVersion });
}

/**
 * Checks that a TPM certifies a key: the attestation key of the same TPM says so, of this very public
 * area. Fails with TPM_*.
 */
export function verifyCertify(
  certification: SignedAttest,
  key: TpmPublic,
  certified: TpmPublic,
): Result<void> {
  const attestation = verifyAttest(certification, key);
  if (!attestation.ok) return attestation;
  const { attested } = attestation.value;
  if (attested.kind === 'certify' && equalBytes(attested.name, tpmName(certified))) {
    return ok(undefined);
  }
  return fail('TPM_CERTIFY', 'the certification is of another key');
}

function verifyAttest({ attest, signature }: SignedAttest, key: TpmPublic): Result<TpmAttestation> {
  if (!isAttestationKey(key)) {
    return fail('TPM_KEY', 'the attestation key may sign what is not of its TPM, or may leave it');
  }
  const signed = verifyTpmSignature(key, attest, signature);
  return signed.ok ? parseTpmAttest(attest) : signed;
}
