import { fail, ok, type Result } from '../base/result.ts';
import { decodeBase64 } from './base64.ts';
import { HASH_BYTES } from './hash.ts';
import { formatNote, type Note, parseNote, verifyNote } from './note.ts';
import { createNoteVerifier, type NoteSigner, type NoteVerifier } from './note-key.ts';

/** The state of a log: that its first `size` records have this root (C2SP tlog-checkpoint). */
export interface Checkpoint {
  /** Names the log for ever; also the name of its key. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/** A checkpoint with the note that it came in. */
export interface SignedCheckpoint extends Checkpoint {
  readonly note: Note;
  /** The note as it is kept and served. */
  readonly bytes: Uint8Array;
}

/** The text that is signed: origin, size and root, a line each. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;
}

/** Signs a checkpoint in the name of its origin; fails as the signer does. */
export async function signCheckpoint(
  checkpoint: Checkpoint,
  signer: NoteSigner,
): Promise<Result<SignedCheckpoint>> {
  const verifier = createNoteVerifier(checkpoint.origin, signer.algorithm, signer.publicKeySpki);
  if (!verifier.ok) return verifier;
  const text = formatCheckpoint(checkpoint);
  const signature = await signer.sign(Buffer.from(text, 'utf8'));
  if (!signature.ok) return signature;
  const { name, keyId } = verifier.value;
  const note = { text, signatures: [{ name, keyId, signature: signature.value }] };
  return ok({ ...checkpoint, note, bytes: formatNote(note) });
}

/**
 * Reads a checkpoint that a key signed for its own log. Fails with LEDGER_NOTE_INVALID or
 * LEDGER_NOTE_UNTRUSTED.
 */
export function openCheckpoint(
  bytes: Uint8Array,
  verifier: NoteVerifier,
): Result<SignedCheckpoint> {
  const note = parseNote(bytes);
  if (!note.ok) return note;
  const verified = verifyNote(note.value, verifier);
  if (!verified.ok) return verified;
  const checkpoint = parseCheckpoint(note.value.text);
  if (!checkpoint.ok) return checkpoint;
  if (checkpoint.value.origin !== verifier.name) {
    return fail('LEDGER_NOTE_UNTRUSTED', 'the checkpoint is of another log than the key');
  }
  return ok({ ...checkpoint.value, note: note.value, bytes });
}

/** Reads the text of a checkpoint; extension lines are let pass. Fails with LEDGER_NOTE_INVALID. */
export function parseCheckpoint(text: string): Result<Checkpoint> {
  const [origin, sizeText = '', rootText = '', ...rest] = text.split('\n');
  const extensions = rest.slice(0, -1);
  const root = decodeBase64(rootText);
  const size = /^(0|[1-9][0-9]{0,15})$/.test(sizeText) ? Number(sizeText) : Number.NaN;
  if (
    !origin ||
    !Number.isSafeInteger(size) ||
    root?.length !== HASH_BYTES ||
    rest.at(-1) !== '' ||
    extensions.includes('')
  ) {
    return fail(
      'LEDGER_NOTE_INVALID',
      'a checkpoint is written origin, size and root, a line each',
    );
  }
  return ok({ origin, size, root });
}
