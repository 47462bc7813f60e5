import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { SignedCheckpoint } from './checkpoint.ts';
import { verifyCosignature } from './cosignature.ts';
import { type NoteSignature, parseNote, signaturesNaming } from './note.ts';
import type { NoteVerifier } from './note-key.ts';
import { proveConsistency } from './proof.ts';
import { type ReadableFiles, subtreesIn } from './reader.ts';

/** File of the newest checkpoint that witnesses cosigned, with their cosignatures. */
export const WITNESSED_FILE = 'ledger-witnessed';

/** Somebody else who remembers how far the ledger has grown (C2SP tlog-witness). */
export interface Witness {
  /** Of type `cosignature/v1`. */
  readonly verifier: NoteVerifier;
  /** Sends the body of an add-checkpoint request. */
  post(body: Uint8Array): Promise<Result<WitnessAnswer>>;
}

/** What a witness said. */
export interface WitnessAnswer {
  readonly status: number;
  readonly text: string;
}

/** What is to be cosigned. */
export interface WitnessRequest {
  readonly files: Pick<ReadableFiles, 'read'>;
  readonly checkpoint: SignedCheckpoint;
  /** Size that the witness is thought to know; it says so where it knows another. */
  readonly oldSize: number;
}

/**
 * Has a witness cosign a checkpoint; answers its signature lines, verified. Fails with
 * LEDGER_ROLLED_BACK where it has cosigned a larger ledger, LEDGER_FORKED where it has cosigned
 * another, LEDGER_WITNESS_REFUSED, LEDGER_WITNESS_UNAVAILABLE or LEDGER_NOTE_UNTRUSTED.
 */
export async function askWitness(
  witness: Witness,
  request: WitnessRequest,
): Promise<Result<readonly NoteSignature[]>> {
  const first = await addCheckpoint(witness, request);
  if (!first.ok || first.value.status !== 409) return judge(witness, request, first);
  const oldSize = knownSize(first.value);
  if (oldSize === undefined) return refused(witness, first.value);
  const { size } = request.checkpoint;
  if (oldSize > size) {
    const { name } = witness.verifier;
    const message = `witness ${name} has cosigned ${oldSize} records, the ledger holds ${size}`;
    return fail('LEDGER_ROLLED_BACK', message);
  }
  const again = { ...request, oldSize };
  return judge(witness, again, await addCheckpoint(witness, again));
}

/** The size that a witness says it knows in place of the one that it was asked about. */
function knownSize({ text }: WitnessAnswer): number | undefined {
  const known = /^(0|[1-9][0-9]{0,15})\n?$/.exec(text)?.[1];
  return known === undefined ? undefined : Number(known);
}

/** The body: the old size, a proof of growth, an empty line, the checkpoint. */
async function addCheckpoint(
  witness: Witness,
  { files, checkpoint, oldSize }: WitnessRequest,
): Promise<Result<WitnessAnswer>> {
  const proof = await proveConsistency(oldSize, checkpoint.size, subtreesIn(files));
  if (!proof.ok) return proof;
  const hashes = proof.value.map((hash) => `${Buffer.from(hash).toString('base64')}\n`);
  const head = utf8(`old ${oldSize}\n${hashes.join('')}\n`);
  return witness.post(Buffer.concat([head, checkpoint.bytes]));
}

function judge(
  witness: Witness,
  { checkpoint, oldSize }: WitnessRequest,
  answered: Result<WitnessAnswer>,
): Result<readonly NoteSignature[]> {
  if (!answered.ok) return answered;
  const answer = answered.value;
  const { verifier } = witness;
  // Its own tree does not lead to ours, though both sizes are right; or ours is another of its size.
  const otherRoot = answer.status === 409 && knownSize(answer) === oldSize;
  if (answer.status === 422 || otherRoot) return forked(verifier.name);
  if (answer.status !== 200) return refused(witness, answer);
  const note = parseNote(utf8(`${checkpoint.note.text}\n${answer.text}`));
  if (!note.ok) return note;
  const cosigned = verifyCosignature(note.value, verifier);
  return cosigned.ok ? ok(signaturesNaming(note.value, verifier)) : cosigned;
}

function forked(name: string): Result<never> {
  return fail(
    'LEDGER_FORKED',
    `witness ${name} has cosigned a ledger that did not lead to this one`,
  );
}

function refused({ verifier }: Witness, { status, text }: WitnessAnswer): Result<never> {
  const code =
    status >= 500 || status === 429 ? 'LEDGER_WITNESS_UNAVAILABLE' : 'LEDGER_WITNESS_REFUSED';
  return fail(code, `witness ${verifier.name}: status ${status}: ${text.trim().slice(0, 200)}`);
}
