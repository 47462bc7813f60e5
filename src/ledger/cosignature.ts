import { concatBytes, utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type Note, signaturesNaming } from './note.ts';
import { isSignatureOf, type NoteVerifier } from './note-key.ts';

/** Timestamp and Ed25519 signature, in bytes (C2SP tlog-cosignature). */
const COSIGNATURE_BYTES = 8 + 64;

/** What a witness signs: its time, and the checkpoint as its log signed it. */
export function cosignedMessage(text: string, unixSeconds: bigint): Uint8Array {
  return utf8(`cosignature/v1\ntime ${unixSeconds}\n${text}`);
}

/** A cosignature as it stands in a signature line, after the key ID. */
export function encodeCosignature(unixSeconds: bigint, signature: Uint8Array): Uint8Array {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(unixSeconds);
  return concatBytes([time, signature]);
}

/**
 * Checks that a witness cosigned a checkpoint (C2SP tlog-cosignature, `cosignature/v1`) and answers
 * when, in Unix seconds. Fails with LEDGER_NOTE_UNTRUSTED.
 */
export function verifyCosignature(note: Note, witness: NoteVerifier): Result<bigint> {
  const refuse = (what: string) =>
    fail('LEDGER_NOTE_UNTRUSTED', `the checkpoint ${what} ${witness.name}`);
  if (witness.algorithm !== 'cosignature') return refuse('takes no plain signature as that of');
  const lines = signaturesNaming(note, witness);
  if (lines.length === 0) return refuse('is not cosigned by');
  let latest = -1n;
  for (const { signature } of lines) {
    if (signature.length !== COSIGNATURE_BYTES) return refuse('has a malformed cosignature of');
    const time = Buffer.from(signature).readBigUInt64BE();
    const message = cosignedMessage(note.text, time);
    // A witness's time is at most 2^63 - 1.
    if (time >> 63n !== 0n || !isSignatureOf(witness, message, signature.subarray(8))) {
      return refuse('has a wrong cosignature of');
    }
    if (time > latest) latest = time;
  }
  return ok(latest);
}
