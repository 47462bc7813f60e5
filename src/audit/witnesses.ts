import { equalBytes } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { type SignetError, toSignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { openCheckpoint, type SignedCheckpoint } from '../ledger/checkpoint.ts';
import { type LedgerFiles, readWhole } from '../ledger/files.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { formatNote, type NoteSignature } from '../ledger/note.ts';
import { parseVerifierKey } from '../ledger/note-key.ts';
import { treeRoot } from '../ledger/proof.ts';
import { readVerifier, subtreesIn } from '../ledger/reader.ts';
import { askWitness, WITNESSED_FILE, type Witness } from '../ledger/witness.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import { callHttp } from '../runtime/http-call.ts';
import type { Logger } from '../runtime/log.ts';
import { Rounds } from './rounds.ts';

/** A witness of the configuration. */
export interface WitnessPlace {
  /** What `/add-checkpoint` follows. */
  readonly url: string;
  /** Its verifier key, `name+id+key`. */
  readonly key: string;
  /** Certificates (PEM) that its own must lead to, read at start; the system's unless given. */
  readonly caPath?: string | undefined;
}

/** What witnessing works on. */
export interface WitnessOptions {
  readonly places: readonly WitnessPlace[];
  readonly files: LedgerFiles;
  readonly ledger: Pick<Ledger, 'checkpoint'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly everyMs: number;
  readonly timeoutMs: number;
}

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 16 * 1024;

/** Largest file of CA certificates that is read, in bytes. */
const MAX_CA_BYTES = 1024 * 1024;

/**
 * Holds the ledger against the newest checkpoint that was cosigned, as kept here and as the witnesses
 * know it, then has checkpoints cosigned in the background. Fails with LEDGER_ROLLED_BACK or
 * LEDGER_FORKED where the ledger is an older copy or another; with LEDGER_NOTE_INVALID where a key
 * is none; with FILE_UNREADABLE where a file of CA certificates is none. Witnesses that do not answer are no reason to wait.
 */
export async function startWitnesses(options: WitnessOptions): Promise<Result<Witnesses>> {
  const held = await checkKept(options);
  if (!held.ok) return held;
  const witnesses: Witness[] = [];
  for (const place of options.places) {
    const witness = await openWitness(place, options.timeoutMs);
    if (!witness.ok) return witness;
    witnesses.push(witness.value);
  }
  const started = new Witnesses(options, witnesses);
  await started.round();
  const agreed = started.mayIssue();
  if (agreed.ok) return ok(started);
  await started.close();
  return agreed;
}

/** Witnesses under way. States: running → closed. */
export class Witnesses {
  readonly #options: WitnessOptions;
  readonly #witnesses: readonly Witness[];
  readonly #sizes = new Map<Witness, number>();
  readonly #errors = new Map<Witness, SignetError>();
  #disagreement: SignetError | undefined;
  readonly #rounds: Rounds;

  constructor(options: WitnessOptions, witnesses: readonly Witness[]) {
    this.#options = options;
    this.#rounds = new Rounds(options, () => this.#round());
    this.#witnesses = witnesses;
  }

  /** Names, and how many records of the last checkpoint each has not cosigned. */
  get lags(): readonly { readonly name: string; readonly records: number }[] {
    const { size } = this.#options.ledger.checkpoint;
    return this.#witnesses.map((each) => ({
      name: each.verifier.name,
      records: size - (this.#sizes.get(each) ?? 0),
    }));
  }

  /** Refuses once a witness has said that it knows a larger ledger, or another, until a restart. */
  mayIssue(): Result<void> {
    return this.#disagreement === undefined
      ? ok(undefined)
      : { ok: false, error: this.#disagreement };
  }

  /** Has the last checkpoint cosigned by all; then again after a pause. */
  round(): Promise<void> {
    return this.#rounds.run();
  }

  close(): Promise<void> {
    return this.#rounds.close();
  }

  async #round(): Promise<boolean> {
    const { ledger, files, log } = this.#options;
    const { checkpoint } = ledger;
    const asked = await Promise.all(this.#witnesses.map((each) => this.#ask(each, checkpoint)));
    const cosignatures = asked.flat();
    if (cosignatures.length > 0) {
      const signatures = [...checkpoint.note.signatures, ...cosignatures];
      const bytes = formatNote({ text: checkpoint.note.text, signatures });
      const kept = await files.replace(WITNESSED_FILE, bytes);
      if (!kept.ok) log.error({ code: kept.error.code, reason: kept.error.message }, 'witnesses');
    }
    return this.#witnesses.length > 0;
  }

  async #ask(witness: Witness, checkpoint: SignedCheckpoint): Promise<readonly NoteSignature[]> {
    // A tree without records says nothing, and a witness has nothing to compare it with.
    if (checkpoint.size === 0) return [];
    const { files, log } = this.#options;
    const oldSize = this.#sizes.get(witness) ?? 0;
    const answer = await askWitness(witness, { files, checkpoint, oldSize }).catch(
      (thrown: unknown) =>
        ({ ok: false, error: toSignetError(thrown, 'asking a witness') }) as const,
    );
    if (answer.ok) {
      this.#sizes.set(witness, checkpoint.size);
      this.#errors.delete(witness);
      return answer.value;
    }
    const { code, message, action } = answer.error;
    if (code === 'LEDGER_ROLLED_BACK' || code === 'LEDGER_FORKED') {
      this.#disagreement = answer.error;
    }
    if (this.#errors.get(witness)?.code !== code) {
      const { name } = witness.verifier;
      log.error({ witness: name, code, reason: message, action }, 'witness does not cosign');
    }
    this.#errors.set(witness, answer.error);
    return [];
  }
}

async function openWitness(
  { url, key, caPath }: WitnessPlace,
  timeoutMs: number,
): Promise<Result<Witness>> {
  const verifier = parseVerifierKey(key);
  if (!verifier.ok) return verifier;
  if (verifier.value.algorithm !== 'cosignature') {
    return fail('LEDGER_NOTE_INVALID', `the key of ${verifier.value.name} is not one of a witness`);
  }
  const read = caPath === undefined ? ok(undefined) : await readFileIfPresent(caPath, MAX_CA_BYTES);
  if (!read.ok) return read;
  if (caPath !== undefined && read.value === undefined) {
    return fail('FILE_UNREADABLE', `ledger.witnesses: there is no caPath ${caPath}`);
  }
  const ca = read.value && Buffer.from(read.value).toString('latin1');
  const target = new URL(`${url.replace(/\/$/, '')}/add-checkpoint`);
  return ok({
    verifier: verifier.value,
    async post(body) {
      try {
        const signal = AbortSignal.timeout(timeoutMs);
        const call = {
          method: 'POST',
          body,
          ca,
          maxAnswerBytes: MAX_ANSWER_BYTES,
          signal,
        } as const;
        return ok(await callHttp(target, call));
      } catch (cause) {
        const message = `witness ${verifier.value.name}: no answer`;
        return fail('LEDGER_WITNESS_UNAVAILABLE', message, { cause });
      }
    },
  });
}

/** The ledger must have grown out of the newest checkpoint that was cosigned. */
async function checkKept({ files, ledger, log }: WitnessOptions): Promise<Result<void>> {
  const bytes = await readWhole(files, WITNESSED_FILE);
  if (!bytes.ok || bytes.value === undefined) return bytes.ok ? ok(undefined) : bytes;
  const verifier = await readVerifier(files);
  if (!verifier.ok) return verifier;
  const kept = openCheckpoint(bytes.value, verifier.value);
  const { size } = ledger.checkpoint;
  if (!kept.ok) {
    // Of a ledger before this one: that one ended, and its witnesses know it.
    log.warn({ file: WITNESSED_FILE }, 'the cosigned checkpoint is of another ledger');
    return ok(undefined);
  }
  if (kept.value.size > size) {
    const message = `${kept.value.size} records were cosigned, the ledger holds ${size}`;
    return fail('LEDGER_ROLLED_BACK', message);
  }
  const root = await treeRoot(kept.value.size, subtreesIn(files));
  if (!root.ok) return root;
  if (equalBytes(root.value, kept.value.root)) return ok(undefined);
  return fail('LEDGER_FORKED', 'the ledger is not the one that witnesses cosigned');
}
