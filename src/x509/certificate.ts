import { fail, type Result } from '../base/result.ts';
import type { Certificate } from './types.ts';

/** Reads one certificate (RFC 5280 §4.1). The bytes are copied first. */
export function parseCertificate(_der: Uint8Array): Result<Certificate> {
  return fail('INTERNAL', 'not built yet');
}

/** Reads certificates that stand one after the other, as the Workload API sends them; at least one. */
export function parseCertificates(
  _ders: Uint8Array,
  _maxCertificates = 16,
): Result<readonly Certificate[]> {
  return fail('INTERNAL', 'not built yet');
}

/** Reads the CERTIFICATE blocks of a PEM text; at least one, and no other block. */
export function parseCertificatesPem(
  _pem: string | Uint8Array,
  _maxCertificates = 256,
): Result<readonly Certificate[]> {
  return fail('INTERNAL', 'not built yet');
}
