/** Hashes, or entries, of a full tile (C2SP tlog-tiles: height 8). */
export const TILE_WIDTH = 256;

/** Highest level of tiles that a tree of at most 2^53 records has. */
const MAX_LEVEL = 6;

/** A tile of hashes, or a bundle of entries. */
export interface TileName {
  readonly level: number | 'entries';
  readonly index: number;
  /** 1 to 256; less than 256 for a partial tile. */
  readonly width: number;
}

/** Path of a tile below the log's own, such as `tile/0/x001/x234/067.p/8`. */
export function formatTilePath({ level, index, width }: TileName): string {
  const groups = [];
  for (let rest = index; rest > 0 || groups.length === 0; rest = Math.floor(rest / 1000)) {
    groups.unshift(String(rest % 1000).padStart(3, '0'));
  }
  const number = groups
    .map((group, at) => (at < groups.length - 1 ? `x${group}` : group))
    .join('/');
  return `tile/${level}/${number}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** The tile of a path; undefined for any other text, other spellings of the same tile included. */
export function parseTilePath(path: string): TileName | undefined {
  const match = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (match === null) return undefined;
  const [, levelText = '', number = '', widthText] = match;
  const level = levelText === 'entries' ? ('entries' as const) : Number(levelText);
  const index = Number(number.replaceAll(/[x/]/g, ''));
  const tile = { level, index, width: widthText === undefined ? TILE_WIDTH : Number(widthText) };
  const known =
    (level === 'entries' || level <= MAX_LEVEL) && Number.isSafeInteger(index) && tile.width > 0;
  // One spelling for each tile: no leading zeros, no partial tile of full width.
  return known && formatTilePath(tile) === path ? tile : undefined;
}

/** How many hashes a tile has in a tree of `size`; 0 where there is no such tile. */
export function tileWidth(level: number, index: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/** Every tile and bundle of a tree of `size`, as a static copy of the log holds them. */
export function* tilesOf(size: number): Generator<TileName> {
  for (let level = 0; Math.floor(size / TILE_WIDTH ** level) > 0; level++) {
    const count = Math.ceil(Math.floor(size / TILE_WIDTH ** level) / TILE_WIDTH);
    for (let index = 0; index < count; index++) {
      const width = tileWidth(level, index, size);
      if (level === 0) yield { level: 'entries', index, width };
      yield { level, index, width };
    }
  }
}
