/** SPDM versions that are spoken here, lowest first. 1.0 has no slot in what is signed: refused. */
export const SPDM_VERSIONS = ['1.1', '1.2', '1.3'] as const;

/** A version of SPDM (DSP0274). */
export type SpdmVersion = (typeof SPDM_VERSIONS)[number];

/** First byte of GET_VERSION and VERSION, whatever is spoken after them. */
export const VERSION_BYTE_1_0 = 0x10;

const BYTES: Readonly<Record<SpdmVersion, number>> = { '1.1': 0x11, '1.2': 0x12, '1.3': 0x13 };

/** First byte of every message of a version: major in the high half, minor in the low. */
export function versionByte(version: SpdmVersion): number {
  return BYTES[version];
}

/** The version that a first byte names; nothing for 1.0, 1.4 and what is unknown. */
export function versionOfByte(byte: number): SpdmVersion | undefined {
  return SPDM_VERSIONS.find((version) => BYTES[version] === byte);
}

/** Whether a version is another or a later one. */
export function isAtLeast(version: SpdmVersion, other: SpdmVersion): boolean {
  return BYTES[version] >= BYTES[other];
}
