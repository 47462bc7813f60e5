import { toHex, utf8 } from '../base/bytes.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import { openCheckpoint, type SignedCheckpoint, signCheckpoint } from './checkpoint.ts';
import { HEAD_FILE, type LedgerFiles, LOG_FOLDER, readWhole, VERIFIER_FILE } from './files.ts';
import {
  encodeFrame,
  MAX_ENTRY_BYTES,
  MAX_PAYLOAD_BYTES,
  type NewEntry,
  payloadSize,
} from './frame.ts';
import type { Frontier } from './frontier.ts';
import { EMPTY_ROOT, hashLeaf } from './hash.ts';
import { PendingHashes } from './hash-files.ts';
import { type LogPosition, segmentName } from './log-scan.ts';
import { parseNote } from './note.ts';
import { createNoteVerifier, formatVerifierKey, type NoteSigner } from './note-key.ts';
import { type Recovered, recover } from './recovery.ts';
import { type BodyHold, dropBodies } from './retention.ts';

/** What a ledger stands on. */
export interface LedgerOptions {
  readonly files: LedgerFiles;
  readonly signer: NoteSigner;
  readonly clock: Clock;
  /** Draws the last part of a new log's origin, so that no two logs have the same. */
  readonly random: Random;
  /** First part of a new log's origin, such as `example.org/ledger`. */
  readonly originPrefix: string;
  /** Told when the ledger fails in the background; the next append is refused or tries again. */
  readonly onFault?: (error: SignetError) => void;
  /** Longest time from a record to a checkpoint that covers it; 1000 unless given. */
  readonly checkpointIntervalMs?: number;
  /** How long bodies of records are kept at least; for ever unless given. */
  readonly retentionMs?: number | undefined;
  /** Whose bodies retention leaves for now; nothing is dropped while this answers undefined. */
  readonly bodyHolds?: (() => readonly BodyHold[] | undefined) | undefined;
  /** Size at which a new file of the log begins; 64 MiB unless given. */
  readonly segmentBytes?: number;
}

/** An append-only log with a Merkle tree over it. */
export interface Ledger {
  /** Number of durable records. */
  readonly size: number;
  /** The last checkpoint; it may be behind {@link size} for a moment. */
  readonly checkpoint: SignedCheckpoint;
  /** Why nothing is recorded any more, if so. */
  readonly fault: SignetError | undefined;
  /**
   * Appends a batch and answers with the index of its first record once all of it is durable. What
   * waits at the same time shares one fsync; of an empty batch nothing is written. Fails with LEDGER_FULL, LEDGER_IO, LEDGER_OVERLOADED,
   * LEDGER_RECORD_TOO_LARGE or LEDGER_CLOSED; then none of the batch is in the tree.
   */
  append(entries: readonly NewEntry[]): Promise<Result<number>>;
  /** Signs and keeps a checkpoint of all that is durable now. */
  publish(): Promise<Result<SignedCheckpoint>>;
  /** Calls `listener` after each new checkpoint. Returns what ends it. */
  onCheckpoint(listener: () => void): () => void;
  /** Writes what waits, and a last checkpoint. */
  close(): Promise<void>;
}

/** Payload that may wait for the disk. */
const MAX_WAITING_BYTES = 8 * MAX_PAYLOAD_BYTES;
/** Records whose hashes may wait for their files before appending stops. */
const MAX_PENDING_RECORDS = 262_144;

/**
 * Opens the ledger of a data directory, or begins one where there is neither log nor head. Fails
 * with LEDGER_HEAD_MISSING, LEDGER_ROLLED_BACK, LEDGER_FORKED or LEDGER_CORRUPT where what is there
 * must not be signed on.
 */
export async function openLedger(options: LedgerOptions): Promise<Result<Ledger>> {
  const head = await openHead(options);
  if (!head.ok) return head;
  const recovered = await recover(options.files, head.value);
  if (!recovered.ok) return recovered;
  const ledger = new OpenLedger(options, head.value, recovered.value);
  // What came after the last checkpoint before a crash is covered before anything is added.
  const published = await ledger.publish();
  return published.ok ? ok(ledger) : published;
}

async function openHead(options: LedgerOptions): Promise<Result<SignedCheckpoint>> {
  const { files, signer } = options;
  const bytes = await readWhole(files, HEAD_FILE);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return beginLedger(options);
  const note = parseNote(bytes.value);
  if (!note.ok) return note;
  const [origin = ''] = note.value.text.split('\n');
  const verifier = createNoteVerifier(origin, signer.algorithm, signer.publicKeySpki);
  if (!verifier.ok) return verifier;
  const head = openCheckpoint(bytes.value, verifier.value);
  if (head.ok || head.error.code !== 'LEDGER_NOTE_UNTRUSTED') return head;
  return fail('LEDGER_HEAD_MISSING', `${HEAD_FILE} is not signed by the key of this ledger`);
}

/** The head comes first: a log without one is never taken for a new one. */
async function beginLedger(options: LedgerOptions): Promise<Result<SignedCheckpoint>> {
  const { files, signer, random, originPrefix } = options;
  const segments = await files.list(LOG_FOLDER);
  if (!segments.ok) return segments;
  if (segments.value.length > 0) {
    return fail('LEDGER_HEAD_MISSING', `there is a log, but no ${HEAD_FILE} beside it`);
  }
  const origin = `${originPrefix}/${toHex(random.bytes(8))}`;
  const verifier = createNoteVerifier(origin, signer.algorithm, signer.publicKeySpki);
  if (!verifier.ok) return verifier;
  const key = await files.replace(VERIFIER_FILE, utf8(`${formatVerifierKey(verifier.value)}\n`));
  if (!key.ok) return key;
  const head = await signCheckpoint({ origin, size: 0, root: EMPTY_ROOT }, signer);
  if (!head.ok) return head;
  const written = await files.replace(HEAD_FILE, head.value.bytes);
  return written.ok ? head : written;
}

/** A batch that waits for the disk. */
interface Waiting {
  readonly entries: readonly NewEntry[];
  readonly bytes: number;
  readonly resolve: (outcome: Result<number>) => void;
}

class OpenLedger implements Ledger {
  readonly #options: LedgerOptions;
  readonly #frontier: Frontier;
  /** Hashes that are in memory only, oldest first; the last takes those of new records. */
  #pending: PendingHashes[];
  #checkpoint: SignedCheckpoint;
  /** Where the next batch goes; undefined before the first segment is made. */
  #end: LogPosition | undefined;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #publishing: Promise<unknown> = Promise.resolve();
  readonly #listeners = new Set<() => void>();
  #cancelTimer: Cancel | undefined;
  #fault: SignetError | undefined;
  #closed = false;

  constructor(options: LedgerOptions, head: SignedCheckpoint, recovered: Recovered) {
    const { frontier, pending, end, segments } = recovered;
    this.#options = options;
    this.#checkpoint = head;
    this.#frontier = frontier;
    this.#pending = [pending];
    this.#end = segments.length === 0 ? undefined : { segment: end.segment, offset: end.offset };
  }

  get size(): number {
    return this.#frontier.size;
  }

  get checkpoint(): SignedCheckpoint {
    return this.#checkpoint;
  }

  get fault(): SignetError | undefined {
    return this.#fault;
  }

  append(entries: readonly NewEntry[]): Promise<Result<number>> {
    const bytes = payloadSize(entries);
    const refusal = this.#refusal(entries, bytes);
    if (refusal !== undefined) return Promise.resolve(refusal);
    // Nothing to wait for, and a batch of none cannot be written.
    if (entries.length === 0) return Promise.resolve(ok(this.size));
    return new Promise((resolve) => {
      this.#waiting.push({ entries, bytes, resolve });
      this.#waitingBytes += bytes;
      this.#writing ??= this.#drain();
    });
  }

  publish(): Promise<Result<SignedCheckpoint>> {
    const published = this.#publishing.then(() => this.#publish());
    this.#publishing = published;
    return published;
  }

  onCheckpoint(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    this.#cancelTimer?.();
    await this.publish();
  }

  #refusal(entries: readonly NewEntry[], bytes: number): Failed | undefined {
    if (this.#closed) return fail('LEDGER_CLOSED', 'the server is stopping');
    if (this.#fault !== undefined) return { ok: false, error: this.#fault };
    const tooLarge = entries.some((entry) => entry.bytes.length > MAX_ENTRY_BYTES);
    if (tooLarge || bytes > MAX_PAYLOAD_BYTES) {
      return fail('LEDGER_RECORD_TOO_LARGE', 'a record or a batch of them is too large');
    }
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      return fail('LEDGER_OVERLOADED', 'too many records wait for the disk');
    }
    const pending = this.#pending.reduce((sum, { count }) => sum + count, 0);
    if (pending <= MAX_PENDING_RECORDS) return undefined;
    return fail('LEDGER_FULL', `no checkpoint could be kept for ${pending} records`);
  }

  /** Writes what waits, as much at once as fits a batch, until nothing does. */
  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      const first = this.size;
      const entries = group.flatMap((each) => each.entries);
      const done = this.#fault ?? (await this.#write(first, entries));
      let index = first;
      for (const { entries: own, resolve } of group) {
        resolve(done === undefined ? ok(index) : { ok: false, error: done });
        index += own.length;
      }
    }
    this.#writing = undefined;
  }

  #takeGroup(): readonly Waiting[] {
    let bytes = 0;
    const fits = this.#waiting.findIndex((each) => {
      bytes += each.bytes;
      return bytes > MAX_PAYLOAD_BYTES;
    });
    const group = this.#waiting.splice(0, fits === -1 ? this.#waiting.length : fits);
    for (const each of group) this.#waitingBytes -= each.bytes;
    return group;
  }

  /**
   * One batch: one write, one fsync. A crash before it is done leaves a torn end, which the next
   * start cuts; after it, records of certificates that may not exist, never the other way round.
   */
  async #write(first: number, entries: readonly NewEntry[]): Promise<SignetError | undefined> {
    const at = await this.#position(first);
    if (!at.ok) return this.#failed(at.error, undefined);
    const frame = encodeFrame(first, entries);
    const writing = this.#options.files.writeDurably(
      segmentName(at.value.segment),
      at.value.offset,
      frame,
    );
    // Hashed while the disk is busy; it counts only once the bytes are durable.
    const leaves = entries.map(({ bytes }) => hashLeaf(bytes));
    const written = await writing;
    if (!written.ok) return this.#failed(written.error, at.value);
    const pending = this.#pending.at(-1);
    pending?.place(first, entries.length, at.value);
    for (const leaf of leaves) {
      this.#frontier.push(leaf, (subtree, hash) => pending?.add(subtree, hash));
    }
    this.#end = { ...at.value, offset: at.value.offset + frame.length };
    this.#arm();
    return undefined;
  }

  /** Where the next batch goes; makes the next segment when the last is full. */
  async #position(first: number): Promise<Result<LogPosition>> {
    const { files, segmentBytes = 64 * 1024 * 1024 } = this.#options;
    if (this.#end !== undefined && this.#end.offset < segmentBytes) return ok(this.#end);
    const made = await files.create(segmentName(first));
    if (!made.ok) return made;
    this.#end = { segment: first, offset: 0 };
    return ok(this.#end);
  }

  /**
   * A full disk is waited for: what was written of the batch is cut off again. Any other failure
   * ends recording, since nobody knows what of a file is durable after its fsync failed (A14).
   */
  async #failed(error: SignetError, at: LogPosition | undefined): Promise<SignetError> {
    const full = error.code === 'DISK_FULL';
    const { files } = this.#options;
    const cut =
      full && at !== undefined
        ? await files.truncate(segmentName(at.segment), at.offset)
        : ok(undefined);
    if (full && cut.ok) return fail('LEDGER_FULL', error.message, { cause: error }).error;
    const { error: fault } = fail('LEDGER_IO', error.message, { cause: error });
    this.#fault = fault;
    this.#options.onFault?.(fault);
    return fault;
  }

  #arm(): void {
    if (this.#cancelTimer !== undefined || this.#closed) return;
    const { clock, checkpointIntervalMs = 1000 } = this.#options;
    this.#cancelTimer = clock.after(checkpointIntervalMs, () => {
      this.#cancelTimer = undefined;
      void this.publish();
    });
  }

  async #publish(): Promise<Result<SignedCheckpoint>> {
    const { size } = this.#frontier;
    if (size === this.#checkpoint.size) return ok(this.#checkpoint);
    const root = this.#frontier.root();
    const done = await this.#keep(size, root);
    if (done.ok) return done;
    this.#options.onFault?.(done.error);
    this.#arm();
    return done;
  }

  /** What cannot be dropped now is dropped after the next checkpoint. */
  async #dropOld(): Promise<void> {
    const { files, clock, retentionMs, bodyHolds = () => [], onFault } = this.#options;
    const holds = bodyHolds();
    if (retentionMs === undefined || holds === undefined) return;
    const beforeMs = clock.nowMs() - retentionMs;
    const dropped = await dropBodies(files, this.#checkpoint, { beforeMs, holds });
    if (!dropped.ok) onFault?.(dropped.error);
  }

  /** Hashes first, then the head: a head never covers what the hash files do not hold. */
  async #keep(size: number, root: Uint8Array): Promise<Result<SignedCheckpoint>> {
    const { files, signer } = this.#options;
    const flushed = this.#pending;
    this.#pending = [...flushed, new PendingHashes(size)];
    for (const part of flushed) {
      const written = await part.flush(files);
      if (!written.ok) return written;
      this.#pending = this.#pending.filter((each) => each !== part);
    }
    const { origin } = this.#checkpoint;
    const signed = await signCheckpoint({ origin, size, root }, signer);
    if (!signed.ok) return signed;
    const kept = await files.replace(HEAD_FILE, signed.value.bytes);
    if (!kept.ok) return kept;
    this.#checkpoint = signed.value;
    for (const listener of this.#listeners) listener();
    await this.#dropOld();
    return signed;
  }
}
