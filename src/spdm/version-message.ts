import { refuse } from '../der/refuse.ts';
import type { ByteReader } from './byte-reader.ts';
import { REQUEST, RESPONSE } from './codes.ts';
import { header, readHeader } from './header.ts';
import { type SpdmVersion, VERSION_BYTE_1_0, versionByte } from './version.ts';

/** The first request of every exchange. */
export function getVersionRequest(): Uint8Array {
  return header(VERSION_BYTE_1_0, REQUEST.getVersion);
}

/** Takes a GET_VERSION; its version is always 1.0. */
export function readGetVersion(reader: ByteReader): void {
  readHeader(reader, 'GET_VERSION', { version: VERSION_BYTE_1_0, code: REQUEST.getVersion });
}

/**
 * Takes a VERSION: the versions that the responder speaks, as first bytes of messages, without those
 * that are drafts (alpha above zero). Errors: SPDM_FIELD without an entry.
 */
export function readVersionResponse(reader: ByteReader): ReadonlySet<number> {
  readHeader(reader, 'VERSION', { version: VERSION_BYTE_1_0, code: RESPONSE.version });
  reader.skip(1, 'VERSION');
  const count = reader.u8('VERSION count');
  if (count === 0) refuse('SPDM_FIELD', 'VERSION: no entry');
  const entries = Array.from({ length: count }, () => reader.u16('VERSION entry'));
  return new Set(entries.filter((entry) => (entry & 0xf) === 0).map((entry) => entry >> 8));
}

/** The highest allowed version that a responder speaks too. */
export function chooseVersion(
  spoken: ReadonlySet<number>,
  allowed: readonly SpdmVersion[],
): SpdmVersion {
  const common = allowed.filter((version) => spoken.has(versionByte(version)));
  const highest = common.toSorted((a, b) => versionByte(b) - versionByte(a))[0];
  if (highest === undefined) {
    refuse('SPDM_VERSION', `VERSION: none of ${allowed.join(', ')} is spoken`);
  }
  return highest;
}
