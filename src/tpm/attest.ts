import type { Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import { hashOfAlgorithm, type TpmHash } from './algorithms.ts';
import { TpmReader } from './tpm-reader.ts';

/** TPM_GENERATED_VALUE: no restricted key signs outside data that begins so (TPM 2.0 Part 2, §6.2). */
const TPM_GENERATED = 0xff54_4347;

const ST_ATTEST_CERTIFY = 0x8017;
const ST_ATTEST_QUOTE = 0x8018;

/** Most banks of registers in one quote. */
const MAX_SELECTIONS = 8;

/** Registers of one bank. */
export interface PcrSelection {
  readonly hash: TpmHash;
  /** In ascending order. */
  readonly indices: readonly number[];
}

/** A TPM's clock when it signed. */
export interface TpmClock {
  /** Milliseconds of operation. */
  readonly clock: bigint;
  /** How often the TPM was reset: one more with each boot. */
  readonly resetCount: number;
  /** How often it was restarted or resumed since. */
  readonly restartCount: number;
  /** False where the clock may have been set back. */
  readonly safe: boolean;
}

/** What all attestation structures hold. */
export interface TpmAttestation {
  /** Qualified name of the key that signed. */
  readonly signer: Uint8Array;
  /** What the asker gave to be signed along. */
  readonly extraData: Uint8Array;
  readonly clock: TpmClock;
  readonly firmwareVersion: bigint;
  readonly attested:
    | {
        readonly kind: 'quote';
        readonly selections: readonly PcrSelection[];
        readonly pcrDigest: Uint8Array;
      }
    | { readonly kind: 'certify'; readonly name: Uint8Array };
}

/**
 * Reads a TPMS_ATTEST of a quote or a certification (TPM 2.0 Part 2, §10.12), to its last byte. Fails with
 * TPM_STRUCTURE.
 */
export function parseTpmAttest(bytes: Uint8Array): Result<TpmAttestation> {
  return attempt('TPM attestation', () => {
    const reader = new TpmReader(bytes, 'attestation');
    if (reader.u32() !== TPM_GENERATED) reader.refuse('was not made by a TPM');
    const type = reader.u16();
    const signer = reader.sized(68);
    const extraData = reader.sized(64);
    const clock = {
      clock: reader.u64(),
      resetCount: reader.u32(),
      restartCount: reader.u32(),
      safe: readYesNo(reader),
    };
    const firmwareVersion = reader.u64();
    const attested =
      type === ST_ATTEST_QUOTE
        ? readQuote(reader)
        : type === ST_ATTEST_CERTIFY
          ? readCertify(reader)
          : reader.refuse('is neither a quote nor a certification');
    reader.finish();
    return { signer, extraData, clock, firmwareVersion, attested };
  });
}

/** TPMI_YES_NO (TPM 2.0 Part 2, §9.2). */
function readYesNo(reader: TpmReader): boolean {
  const value = reader.u8();
  return value <= 1 ? value === 1 : reader.refuse(`${value} is neither yes nor no`);
}

function readQuote(reader: TpmReader): TpmAttestation['attested'] {
  const count = reader.u32();
  if (count > MAX_SELECTIONS) reader.refuse(`${count} banks`);
  const selections: PcrSelection[] = [];
  for (let at = 0; at < count; at++) selections.push(readSelection(reader));
  return { kind: 'quote', selections, pcrDigest: reader.sized(64) };
}

function readSelection(reader: TpmReader): PcrSelection {
  const hash = hashOfAlgorithm(reader.u16()) ?? reader.refuse('bank is not taken');
  const bitmap = reader.take(reader.u8());
  const indices: number[] = [];
  for (const [octet, bits] of bitmap.entries()) {
    for (let bit = 0; bit < 8; bit++) if ((bits & (1 << bit)) !== 0) indices.push(octet * 8 + bit);
  }
  return { hash, indices };
}

function readCertify(reader: TpmReader): TpmAttestation['attested'] {
  const name = reader.sized(68);
  reader.sized(68);
  return { kind: 'certify', name };
}
