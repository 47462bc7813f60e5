import type { Result } from '../base/result.ts';
import { attempt, refuse } from './refuse.ts';

/** One PEM block (RFC 7468). */
export interface PemBlock {
  /** Such as `CERTIFICATE`. */
  readonly label: string;
  readonly der: Uint8Array;
}

/** Limits of a PEM text. */
export interface PemLimits {
  /** Longest text in bytes; 1 MiB unless told. */
  readonly maxBytes?: number;
  /** Most blocks; 256 unless told. */
  readonly maxBlocks?: number;
}

const DEFAULT_MAX_PEM_BYTES = 1_048_576;
const DEFAULT_MAX_PEM_BLOCKS = 256;
const BEGIN = '-----BEGIN ';
const END = '-----END ';
const DASHES = '-----';

/** Label of a boundary line such as `-----BEGIN CERTIFICATE-----`. */
function boundaryLabel(line: string, prefix: string): string {
  const label = line.slice(prefix.length, -DASHES.length);
  if (!line.endsWith(DASHES) || !/^[A-Z0-9][A-Z0-9 ]{0,63}$/.test(label)) {
    refuse('PEM_MALFORMED', `PEM: malformed boundary line after "${prefix.trim()}"`);
  }
  return label;
}

/** Bytes of joined base64 lines; refuses everything that does not encode back to the same text. */
function decodeBase64(label: string, base64: string): Uint8Array {
  const der = new Uint8Array(Buffer.from(base64, 'base64'));
  if (der.length === 0) refuse('PEM_MALFORMED', `PEM: the ${label} block is empty`);
  if (Buffer.from(der.buffer).toString('base64') !== base64) {
    refuse('PEM_MALFORMED', `PEM: the ${label} block is not strict base64`);
  }
  return der;
}

/** One pass over the lines; text between blocks is skipped, as RFC 7468 §2 allows. */
function readBlocks(text: string, maxBlocks: number): PemBlock[] {
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let base64: string[] = [];
  for (const rawLine of text.split('\n')) {
    const line = rawLine.trimEnd();
    if (label === undefined) {
      if (!line.startsWith(BEGIN)) continue;
      if (blocks.length >= maxBlocks) {
        refuse('PEM_TOO_LARGE', `PEM: more than ${maxBlocks} blocks`);
      }
      label = boundaryLabel(line, BEGIN);
      base64 = [];
    } else if (line.startsWith(END)) {
      if (boundaryLabel(line, END) !== label) {
        refuse('PEM_MALFORMED', `PEM: the ${label} block ends with another label`);
      }
      blocks.push({ label, der: decodeBase64(label, base64.join('')) });
      label = undefined;
    } else {
      // A block's own BEGIN line inside it, or a header, fails here: neither is base64.
      base64.push(line);
    }
  }
  if (label !== undefined) refuse('PEM_MALFORMED', `PEM: the ${label} block has no end`);
  return blocks;
}

/**
 * Reads every block of a PEM text, in order. Text outside the blocks is skipped; encapsulated headers
 * are refused. Takes time linear in the text. Errors: PEM_MALFORMED, PEM_TOO_LARGE.
 */
export function parsePem(text: string | Uint8Array, limits: PemLimits = {}): Result<PemBlock[]> {
  const maxBytes = limits.maxBytes ?? DEFAULT_MAX_PEM_BYTES;
  return attempt('PEM', () => {
    if (text.length > maxBytes) refuse('PEM_TOO_LARGE', `PEM: longer than ${maxBytes} bytes`);
    const characters = typeof text === 'string' ? text : Buffer.from(text).toString('latin1');
    return readBlocks(characters, limits.maxBlocks ?? DEFAULT_MAX_PEM_BLOCKS);
  });
}

/** Writes one block, with a line end after it. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`${BEGIN}${label}${DASHES}`, ...lines, `${END}${label}${DASHES}`, ''].join('\n');
}
