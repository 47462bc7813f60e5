import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { decodeBase64 } from './base64.ts';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.ts';
import { hashLeaf } from './hash.ts';
import type { NoteVerifier } from './note-key.ts';
import { decodeRecord, type LedgerRecord } from './record.ts';
import { verifyInclusion } from './verify.ts';

/** What shows to anybody, without the log, that a record is in it (C2SP tlog-proof). */
export interface RecordProof {
  readonly index: number;
  /** The record's bytes; they travel as the proof's extra data and are hashed into the leaf. */
  readonly entry: Uint8Array;
  readonly path: readonly Uint8Array[];
  /** The signed checkpoint, as it is served. */
  readonly checkpoint: Uint8Array;
}

/** What a proof showed. */
export interface ProvenRecord {
  readonly index: number;
  readonly record: LedgerRecord;
  readonly checkpoint: SignedCheckpoint;
}

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
const MAX_PATH = 63;

/** The text of a proof. */
export function formatProof({ index, entry, path, checkpoint }: RecordProof): string {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const lines = [FIRST_LINE, `extra ${base64(entry)}`, `index ${index}`, ...path.map(base64)];
  return `${lines.join('\n')}\n\n${Buffer.from(checkpoint).toString('utf8')}`;
}

/** Reads the text of a proof with its record; fails with LEDGER_NOTE_INVALID. */
export function parseProof(bytes: Uint8Array): Result<RecordProof> {
  const text = Buffer.from(bytes).toString('utf8');
  const end = text.indexOf('\n\n');
  const [first, extra = '', indexLine = '', ...pathLines] = text
    .slice(0, Math.max(end, 0))
    .split('\n');
  const entry = decodeBase64(/^extra (\S+)$/.exec(extra)?.[1] ?? '-');
  const index = Number(/^index (0|[1-9][0-9]{0,15})$/.exec(indexLine)?.[1] ?? Number.NaN);
  const path = pathLines.flatMap((line) => decodeBase64(line) ?? []);
  const known = first === FIRST_LINE && entry !== undefined && Number.isSafeInteger(index);
  if (!known || path.length !== pathLines.length || path.length > MAX_PATH) {
    return fail('LEDGER_NOTE_INVALID', 'this is no proof of a record of this kind of ledger');
  }
  return ok({ index, entry, path, checkpoint: utf8(text.slice(end + 2)) });
}

/**
 * Checks a proof with nothing but the log's key. Fails with LEDGER_NOTE_INVALID,
 * LEDGER_NOTE_UNTRUSTED, LEDGER_PROOF_INVALID or LEDGER_RECORD_INVALID.
 */
export function verifyProof(proof: RecordProof, verifier: NoteVerifier): Result<ProvenRecord> {
  const checkpoint = openCheckpoint(proof.checkpoint, verifier);
  if (!checkpoint.ok) return checkpoint;
  const { size, root } = checkpoint.value;
  const { index } = proof;
  const leafHash = hashLeaf(proof.entry);
  const included = verifyInclusion({ index, size, leafHash, root }, proof.path);
  if (!included.ok) return included;
  const record = decodeRecord(proof.entry);
  return record.ok ? ok({ index, record: record.value, checkpoint: checkpoint.value }) : record;
}
