import { fail, ok, type Result } from '../../base/result.ts';
import { parsePem } from '../../der/pem.ts';
import { readFileIfPresent } from '../../runtime/atomic-file.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import type { Certificate } from '../../x509/types.ts';

const MAX_FILE_BYTES = 1_048_576;

/** Reads a PEM file of certificates and nothing else, at least one. Errors: UPSTREAM_FILES. */
export async function readCertificateFile(path: string): Promise<Result<readonly Certificate[]>> {
  const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
  if (!bytes.ok) return unusableFile(path, bytes.error.message);
  if (bytes.value === undefined) return unusableFile(path, 'there is no such file');
  const read = readCertificates(bytes.value);
  return read.ok ? read : unusableFile(path, read.error.message);
}

/** Certificates of a PEM text that holds nothing else, at least one; the error says what is wrong. */
export function readCertificates(pem: Uint8Array | string): Result<readonly Certificate[]> {
  const invalid = (why: string) => fail('UPSTREAM_ANSWER_INVALID', why);
  const blocks = parsePem(typeof pem === 'string' ? Buffer.from(pem) : pem);
  if (!blocks.ok) return invalid(blocks.error.message);
  const certificates: Certificate[] = [];
  for (const { label, der } of blocks.value) {
    if (label !== 'CERTIFICATE') return invalid(`it holds a block of ${label}`);
    const parsed = parseCertificate(der);
    if (!parsed.ok) return invalid(parsed.error.message);
    certificates.push(parsed.value);
  }
  return certificates.length === 0 ? invalid('it holds no certificate') : ok(certificates);
}

/** Refuses a file of the upstream's settings: UPSTREAM_FILES. */
export function unusableFile(path: string, why: string): Result<never> {
  return fail('UPSTREAM_FILES', `upstream CA, ${path}: ${why}`);
}
