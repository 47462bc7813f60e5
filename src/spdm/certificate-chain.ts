import { equalBytes } from '../base/bytes.ts';
import type { Result } from '../base/result.ts';
import { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { TAG } from '../der/tags.ts';
import { HASH_BYTES, type SpdmHash } from './algorithms.ts';
import { type ByteReader, readSpdm } from './byte-reader.ts';
import type { SpdmPolicy } from './policy.ts';
import { spdmHash } from './signing.ts';

function readCertificates(ders: Uint8Array, maxCertificates: number): readonly Uint8Array[] {
  const cursor = new DerCursor(ders);
  const certificates: Uint8Array[] = [];
  do {
    if (certificates.length >= maxCertificates) {
      refuse('SPDM_CERTIFICATE_CHAIN', `certificate chain: more than ${maxCertificates}`);
    }
    certificates.push(cursor.element('certificate of the chain', TAG.sequence));
  } while (!cursor.done);
  return certificates;
}

function readChain(
  reader: ByteReader,
  hash: SpdmHash,
  maxCertificates: number,
): readonly Uint8Array[] {
  const what = 'certificate chain';
  const whole = reader.left;
  const length = reader.u16(`${what} length`);
  // Reserved; the upper half of the length in 1.4, so a chain that sets it is longer than it says.
  const reserved = reader.u16(`${what} reserved`);
  if (length !== whole || reserved !== 0) {
    refuse(
      'SPDM_CERTIFICATE_CHAIN',
      `${what}: length ${length + reserved * 0x10000}, not ${whole}`,
    );
  }
  const rootHash = reader.take(HASH_BYTES[hash], `${what} root hash`);
  const certificates = readCertificates(reader.take(reader.left, what), maxCertificates);
  const [root] = certificates;
  if (root === undefined || !equalBytes(rootHash, spdmHash(hash, root))) {
    refuse('SPDM_CERTIFICATE_CHAIN', `${what}: not the hash of its first certificate`);
  }
  return certificates;
}

/**
 * Reads the certificate chain of a slot (DSP0274 "Certificate chain format"): its length, the hash of
 * its first certificate, then certificates in DER from the root to the leaf. The certificates
 * themselves are not judged here. Errors: SPDM_CERTIFICATE_CHAIN, SPDM_TOO_LARGE, SPDM_TRUNCATED, DER_*.
 */
export function readCertificateChain(
  blob: Uint8Array,
  hash: SpdmHash,
  policy: SpdmPolicy,
): Result<readonly Uint8Array[]> {
  return readSpdm('certificate chain', new Uint8Array(blob), policy.maxChainBytes, (reader) =>
    readChain(reader, hash, policy.maxCertificates),
  );
}
