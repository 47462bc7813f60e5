import { concatBytes, equalBytes, toHex, utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { decodeBase64 } from './base64.ts';
import { isKeyName, isSignatureOf, type NoteVerifier } from './note-key.ts';

/** A signature line of a note. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  /** What follows the key ID. */
  readonly signature: Uint8Array;
}

/** A text and who signed it, so far unchecked. */
export interface Note {
  /** Ends in a newline, which is signed with it. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Largest note that is read, in bytes; and most of its signatures. */
const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;

/** Reads a signed note (C2SP signed-note); fails with LEDGER_NOTE_INVALID. */
export function parseNote(bytes: Uint8Array): Result<Note> {
  if (bytes.length > MAX_NOTE_BYTES) return invalid('is too large');
  const whole = decodeUtf8(bytes);
  if (whole === undefined) return invalid('is not UTF-8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a note must not hold.
  if (/[\u0000-\u0009\u000b-\u001f]/.test(whole)) return invalid('holds a control character');
  const end = whole.lastIndexOf('\n\n');
  if (end < 0 || !whole.endsWith('\n')) return invalid('has no signatures');
  const lines = whole.slice(end + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) return invalid('has too many signatures');
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const signature = parseSignature(line);
    if (signature === undefined) return invalid('has a signature line of another form');
    signatures.push(signature);
  }
  return ok({ text: whole.slice(0, end + 1), signatures });
}

/** The bytes of a signed note. */
export function formatNote({ text, signatures }: Note): Uint8Array {
  const lines = signatures.map(({ name, keyId, signature }) => {
    const base64 = Buffer.from(concatBytes([keyId, signature])).toString('base64');
    return `\u2014 ${name} ${base64}\n`;
  });
  return utf8(`${text}\n${lines.join('')}`);
}

/** Signature lines of a note that carry the name and ID of a key; they may still be wrong. */
export function signaturesNaming(note: Note, verifier: NoteVerifier): readonly NoteSignature[] {
  return note.signatures.filter(
    ({ name, keyId }) => name === verifier.name && equalBytes(keyId, verifier.keyId),
  );
}

/**
 * Checks that a note is signed by a key. Any wrong signature under the key's name and ID refuses the
 * whole note. Fails with LEDGER_NOTE_UNTRUSTED.
 */
export function verifyNote(note: Note, verifier: NoteVerifier): Result<void> {
  const lines = signaturesNaming(note, verifier);
  const key = `${verifier.name} (${toHex(verifier.keyId)})`;
  if (lines.length === 0) return fail('LEDGER_NOTE_UNTRUSTED', `the note is not signed by ${key}`);
  const signed = utf8(note.text);
  return lines.every(({ signature }) => isSignatureOf(verifier, signed, signature))
    ? ok(undefined)
    : fail('LEDGER_NOTE_UNTRUSTED', `the signature by ${key} is wrong`);
}

function parseSignature(line: string): NoteSignature | undefined {
  const [dash, name, base64, extra] = line.split(' ');
  if (dash !== '\u2014' || name === undefined || base64 === undefined || extra !== undefined) {
    return undefined;
  }
  const bytes = decodeBase64(base64);
  if (!isKeyName(name) || bytes === undefined || bytes.length <= 4) return undefined;
  return { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function invalid(what: string): Result<never> {
  return fail('LEDGER_NOTE_INVALID', `the note ${what}`);
}
