import { fail, type Result } from '../base/result.ts';

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

/** Reads every block of a PEM text, in order. */
export function parsePem(_text: string | Uint8Array, _limits: PemLimits = {}): Result<PemBlock[]> {
  return fail('INTERNAL', 'not built yet');
}

/** Writes one block, with a line end after it. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
