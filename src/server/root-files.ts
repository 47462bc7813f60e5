import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import { parseCertificatesPem } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';

/** Largest file of roots, in bytes. */
const MAX_ROOTS_BYTES = 1024 * 1024;

/** The certificates of the PEM files that a setting names. Fails with ATTESTATION_SETTINGS. */
export async function readRoots(
  paths: readonly string[],
  setting: string,
): Promise<Result<readonly Certificate[]>> {
  const roots: Certificate[] = [];
  for (const path of paths) {
    const bytes = await readFileIfPresent(path, MAX_ROOTS_BYTES);
    if (!bytes.ok) return unusable(setting, bytes.error.message);
    if (bytes.value === undefined) return unusable(setting, `${path} does not exist`);
    const certificates = parseCertificatesPem(bytes.value);
    if (!certificates.ok) return unusable(setting, `${path}: ${certificates.error.message}`);
    roots.push(...certificates.value);
  }
  return ok(roots);
}

function unusable(setting: string, why: string): Result<never> {
  return fail('ATTESTATION_SETTINGS', `${setting}: ${why}`);
}
