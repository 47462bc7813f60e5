import type { Clock } from '../base/clock.ts';
import { type SignetError, toSignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { SignedCheckpoint } from '../ledger/checkpoint.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type ReadableFiles, readTile, scanFrames } from '../ledger/reader.ts';
import { formatTilePath, TILE_WIDTH, type TileName, tileWidth } from '../ledger/tile-path.ts';
import type { Logger } from '../runtime/log.ts';
import { formatDuration } from '../runtime/units.ts';
import type { LedgerTile, Store } from '../store/store.ts';
import { Rounds } from './rounds.ts';

/** What a copy works on, and its bounds. */
export interface TileCopyOptions {
  readonly store: Pick<Store, 'putLedgerCopy' | 'ledgerCopy'>;
  readonly files: ReadableFiles;
  readonly ledger: Pick<Ledger, 'checkpoint'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Pause between two rounds. */
  readonly everyMs: number;
  /** Lag after which nothing is to be issued. */
  readonly maxLagMs: number;
}

/** Records of one transaction: 16 bundles, some 2.5 MB, so that other writes need not wait long. */
const RECORDS_AT_ONCE = 16 * TILE_WIDTH;

/**
 * Copies tiles, bundles and checkpoints to the database in the background. The first round is over
 * when this answers, whatever came of it: a server that was away long must not be refused for a lag
 * that it could not have made up. Fails where the database cannot say how far it has come.
 */
export async function startTileCopy(options: TileCopyOptions): Promise<Result<TileCopy>> {
  const { store, ledger } = options;
  const kept = await store.ledgerCopy(ledger.checkpoint.origin);
  if (!kept.ok) return kept;
  const copy = new TileCopy(options, kept.value?.size ?? 0);
  await copy.round();
  return ok(copy);
}

/** A copy under way. States: running → closed. */
export class TileCopy {
  readonly #options: TileCopyOptions;
  /** Records whose tiles are in the database, but for its checkpoint perhaps. */
  #size: number;
  /** Size of the copied checkpoint. */
  #covered: number;
  #oldestMs: number | undefined;
  #lastError: SignetError | undefined;
  readonly #rounds: Rounds;

  constructor(options: TileCopyOptions, size: number) {
    this.#options = options;
    this.#rounds = new Rounds(options, () => this.#round());
    this.#size = size;
    this.#covered = size;
  }

  /** Records of the last checkpoint that the copy does not cover. */
  get lagRecords(): number {
    return Math.max(0, this.#options.ledger.checkpoint.size - this.#covered);
  }

  /** How long ago the oldest of them was written. */
  get lagMs(): number {
    if (this.lagRecords === 0 || this.#oldestMs === undefined) return 0;
    return Math.max(0, this.#options.clock.nowMs() - this.#oldestMs);
  }

  /** Refuses with LEDGER_COPY_LATE while the lag is past its bound. */
  mayIssue(): Result<void> {
    const { lagMs } = this;
    if (lagMs <= this.#options.maxLagMs) return ok(undefined);
    const lag = formatDuration(Math.round(lagMs / 1000));
    return fail('LEDGER_COPY_LATE', `the copy of the ledger in the database is ${lag} behind`);
  }

  /** Copies all that the last checkpoint covers; then again after a pause. */
  round(): Promise<void> {
    return this.#rounds.run();
  }

  close(): Promise<void> {
    return this.#rounds.close();
  }

  async #round(): Promise<boolean> {
    const { log, ledger } = this.#options;
    const copied = await this.#copy(ledger.checkpoint).catch((thrown: unknown) => {
      return { ok: false, error: toSignetError(thrown, 'copying the ledger') } as const;
    });
    if (copied.ok) {
      if (this.#lastError !== undefined) log.info('the ledger is copied to the database again');
      this.#lastError = undefined;
    } else {
      const { code, message, action } = copied.error;
      if (this.#lastError?.code !== code) {
        log.error({ code, reason: message, action }, 'copying the ledger to the database fails');
      }
      this.#lastError = copied.error;
    }
    return true;
  }

  async #copy(checkpoint: SignedCheckpoint): Promise<Result<void>> {
    const { store, files } = this.#options;
    const { origin, size, bytes } = checkpoint;
    if (size > this.#covered) this.#oldestMs = await timeOf(files, this.#covered, this.#options);
    while (this.#size < size || this.#covered < size) {
      if (this.#rounds.closed) return ok(undefined);
      const end = Math.min(size, this.#size + RECORDS_AT_ONCE);
      const tiles = await tilesBetween(files, this.#size, end);
      if (!tiles.ok) return tiles;
      // The checkpoint comes with the last tiles: it never covers what is not there.
      const head = end === size ? { size, checkpoint: bytes } : undefined;
      const written = await store.putLedgerCopy({ origin, tiles: tiles.value, head });
      if (!written.ok) return written;
      this.#size = end;
      if (head !== undefined) this.#covered = size;
    }
    return ok(undefined);
  }
}

/** When a record was written, in Unix milliseconds; now where its body is gone. */
async function timeOf(
  files: ReadableFiles,
  index: number,
  { clock }: Pick<TileCopyOptions, 'clock'>,
): Promise<number> {
  let timeMs = clock.nowMs();
  await scanFrames(files, index, ({ header }) => {
    if (header.firstIndex + header.count <= index) return true;
    timeMs = header.minTimeMs;
    return false;
  });
  return timeMs;
}

/** Every tile and bundle of a tree of `end` records that one of `start` does not have like this. */
async function tilesBetween(
  files: ReadableFiles,
  start: number,
  end: number,
): Promise<Result<readonly LedgerTile[]>> {
  const tiles: LedgerTile[] = [];
  const add = async (name: TileName): Promise<Result<void>> => {
    const content = await readTile(files, end, name);
    if (!content.ok) return content;
    const path = formatTilePath({ ...name, width: TILE_WIDTH });
    tiles.push({ path, bytes: content.value });
    return ok(undefined);
  };
  for (let level = 0; Math.floor(end / TILE_WIDTH ** level) > 0; level++) {
    const first = Math.floor(start / TILE_WIDTH ** (level + 1));
    for (let index = first; tileWidth(level, index, end) > 0; index++) {
      const width = tileWidth(level, index, end);
      const added = await add({ level, index, width });
      if (!added.ok) return added;
      if (level > 0) continue;
      const bundle = await add({ level: 'entries', index, width });
      // A body that retention dropped cannot be copied any more; its hash can.
      if (!bundle.ok && bundle.error.code !== 'LEDGER_BODY_GONE') return bundle;
    }
  }
  return ok(tiles);
}
