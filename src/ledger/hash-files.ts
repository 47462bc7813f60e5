import { fail, ok, type Result } from '../base/result.ts';
import { LEDGER_FOLDER, type LedgerFiles } from './files.ts';
import type { Subtree } from './frontier.ts';
import { foldComplete, HASH_BYTES } from './hash.ts';
import type { Frame, LogPosition } from './log-scan.ts';
import { TILE_WIDTH } from './tile-path.ts';

/** Levels of the tree between two levels of tiles (C2SP tlog-tiles). */
export const TILE_HEIGHT = 8;

/** Bytes of one place in the list of where bundles start. */
const PLACE_BYTES = 16;

const BUNDLES_FILE = `${LEDGER_FOLDER}/bundles`;

/** The file in which hashes of a level of tiles lie side by side: tile after tile. */
export function hashFile(tileLevel: number): string {
  return `${LEDGER_FOLDER}/hashes/${tileLevel}`;
}

/** Hashes of a level of tiles, from the `first` on; fails with LEDGER_CORRUPT where they are missing. */
export async function readHashes(
  files: Pick<LedgerFiles, 'read'>,
  tileLevel: number,
  range: { readonly first: number; readonly count: number },
): Promise<Result<Uint8Array>> {
  const name = hashFile(tileLevel);
  const length = range.count * HASH_BYTES;
  const read = await files.read(name, range.first * HASH_BYTES, length);
  if (!read.ok || read.value.length === length) return read;
  return fail('LEDGER_CORRUPT', `${name} is too short`);
}

/** Root of a complete subtree, from the nearest level of tiles below it. */
export async function readSubtree(
  files: Pick<LedgerFiles, 'read'>,
  { level, index }: Subtree,
): Promise<Result<Uint8Array>> {
  const count = 2 ** (level % TILE_HEIGHT);
  const tileLevel = Math.floor(level / TILE_HEIGHT);
  const hashes = await readHashes(files, tileLevel, { first: index * count, count });
  return hashes.ok ? ok(foldComplete(hashes.value)) : hashes;
}

/** Where the batch starts that holds the first record of a bundle; undefined where it is not listed. */
export async function readBundlePlace(
  files: Pick<LedgerFiles, 'read'>,
  bundle: number,
): Promise<Result<LogPosition | undefined>> {
  const read = await files.read(BUNDLES_FILE, bundle * PLACE_BYTES, PLACE_BYTES);
  if (!read.ok || read.value.length < PLACE_BYTES) return read.ok ? ok(undefined) : read;
  const place = Buffer.from(read.value);
  return ok({ segment: place.readUIntBE(2, 6), offset: place.readUIntBE(10, 6) });
}

/** What was appended and is not in the hash files yet. */
export class PendingHashes {
  readonly #first: number;
  readonly #levels: Uint8Array[][] = [];
  readonly #places: LogPosition[] = [];
  #size: number;

  /** After the first `size` records. */
  constructor(size: number) {
    this.#first = size;
    this.#size = size;
  }

  /** Number of records that the hashes reach to. */
  get size(): number {
    return this.#size;
  }

  /** Records that wait. */
  get count(): number {
    return this.#size - this.#first;
  }

  /** Takes what the tree tells of a complete subtree. */
  add({ level, index }: Subtree, hash: Uint8Array): void {
    if (level % TILE_HEIGHT === 0) {
      const tileLevel = level / TILE_HEIGHT;
      this.#levels[tileLevel] ??= [];
      this.#levels[tileLevel]?.push(hash);
    }
    if (level === 0) this.#size = index + 1;
  }

  /** Notes where a batch of records starts, for the bundles that begin in it. */
  place(firstIndex: number, count: number, at: LogPosition): void {
    const bundle = Math.ceil(firstIndex / TILE_WIDTH) * TILE_WIDTH;
    for (let start = bundle; start < firstIndex + count; start += TILE_WIDTH) this.#places.push(at);
  }

  /** The same for a batch that was read, of which the first `size` records are listed already. */
  placeBehind(size: number, { header, at }: Pick<Frame, 'header' | 'at'>): void {
    const first = Math.max(size, header.firstIndex);
    this.place(first, header.firstIndex + header.count - first, at);
  }

  /** Writes it all behind what the files hold, durably. May be called again after a failure. */
  async flush(files: Pick<LedgerFiles, 'write' | 'sync'>): Promise<Result<void>> {
    for (const [tileLevel, hashes] of this.#levels.entries()) {
      if (hashes === undefined) continue;
      const before = Math.floor(this.#first / TILE_WIDTH ** tileLevel);
      const written = await put(files, hashFile(tileLevel), before * HASH_BYTES, hashes);
      if (!written.ok) return written;
    }
    const before = Math.ceil(this.#first / TILE_WIDTH);
    return put(files, BUNDLES_FILE, before * PLACE_BYTES, this.#places.map(encodePlace));
  }
}

async function put(
  files: Pick<LedgerFiles, 'write' | 'sync'>,
  name: string,
  offset: number,
  parts: readonly Uint8Array[],
): Promise<Result<void>> {
  if (parts.length === 0) return ok(undefined);
  const written = await files.write(name, offset, Buffer.concat(parts));
  return written.ok ? files.sync(name) : written;
}

function encodePlace({ segment, offset }: LogPosition): Uint8Array {
  const place = Buffer.alloc(PLACE_BYTES);
  place.writeUIntBE(segment, 2, 6);
  place.writeUIntBE(offset, 10, 6);
  return place;
}
