import { refuse } from '../der/refuse.ts';
import {
  readAlgorithms,
  readNegotiateAlgorithms,
  type SelectedAlgorithms,
} from './algorithms-message.ts';
import type { ByteReader } from './byte-reader.ts';
import { readCapabilities, readGetCapabilities } from './capabilities-message.ts';
import { CAPABILITY } from './codes.ts';
import { hexByte } from './header.ts';
import type { SpdmPolicy } from './policy.ts';
import { type SpdmVersion, versionByte, versionOfByte } from './version.ts';
import { readGetVersion, readVersionResponse } from './version-message.ts';

/** What the first six messages of an exchange settled. */
export interface Negotiated extends SelectedAlgorithms {
  readonly version: SpdmVersion;
  /** Capability flags of the responder. */
  readonly flags: number;
}

/** The version of a first byte, which the policy must allow. Errors: SPDM_VERSION. */
export function allowedVersion(byte: number, policy: SpdmPolicy): SpdmVersion {
  const version = versionOfByte(byte);
  if (version === undefined || !policy.versions.includes(version)) {
    refuse('SPDM_VERSION', `SPDM: messages of version ${hexByte(byte)}`);
  }
  return version;
}

/** Refuses a hash that the policy does not allow for a curve. Errors: SPDM_ALGORITHM. */
export function checkAllowed(algorithms: SelectedAlgorithms, policy: SpdmPolicy): void {
  const { curve, hash, measurementHash } = algorithms;
  if (policy.hashes[curve]?.includes(hash) !== true) {
    refuse('SPDM_ALGORITHM', `SPDM: ${hash} with ${curve} is not allowed`);
  }
  if (measurementHash !== undefined && !policy.measurementHashes.includes(measurementHash)) {
    refuse('SPDM_ALGORITHM', `SPDM: measurements hashed with ${measurementHash}`);
  }
}

/** Refuses a responder that does not sign measurements. Errors: SPDM_CAPABILITY. */
export function checkMeasures(negotiated: Pick<Negotiated, 'flags' | 'measurementHash'>): void {
  const { flags, measurementHash } = negotiated;
  const signs = (flags & CAPABILITY.measurementsMask) === CAPABILITY.measurementsSigned;
  if (!signs || measurementHash === undefined) {
    refuse('SPDM_CAPABILITY', 'CAPABILITIES: no signed measurements');
  }
}

/**
 * Takes GET_VERSION, VERSION, GET_CAPABILITIES, CAPABILITIES, NEGOTIATE_ALGORITHMS and ALGORITHMS: one
 * version in all but the first two, one of those that the responder lists. Errors: SPDM_VERSION,
 * SPDM_VERSION_MIXED, SPDM_ALGORITHM, SPDM_FIELD.
 */
export function readNegotiation(reader: ByteReader, policy: SpdmPolicy): Negotiated {
  readGetVersion(reader);
  const spoken = readVersionResponse(reader);
  const version = allowedVersion(reader.peek(), policy);
  if (!spoken.has(versionByte(version))) {
    refuse('SPDM_VERSION', `VERSION: ${version} is used and not listed`);
  }
  const withAlgorithms = readGetCapabilities(reader, version);
  const { flags } = readCapabilities(reader, version, withAlgorithms);
  const offered = readNegotiateAlgorithms(reader, version);
  const selected = readAlgorithms(reader, version, offered);
  checkAllowed(selected, policy);
  return { version, flags, ...selected };
}
