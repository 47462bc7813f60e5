import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { fail, ok, type Result } from '../../base/result.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';

/** A certificate with its key, in PEM. */
export interface PemIdentity {
  readonly cert: string;
  readonly key: string;
}

/** Reads certificate and key. Fails with OIDC_CERTIFICATE. */
export async function readPemIdentity(
  certificatePath: string,
  keyPath: string,
): Promise<Result<PemIdentity>> {
  const read: string[] = [];
  for (const path of [certificatePath, keyPath]) {
    try {
      read.push(await readFile(path, 'utf8'));
    } catch (error) {
      return fail('OIDC_CERTIFICATE', `reading ${path} failed (${errnoCode(error)})`);
    }
  }
  const [cert = '', key = ''] = read;
  try {
    createSecureContext({ cert, key });
    // The leaf comes first, or TLS would show another.
    new X509Certificate(cert);
    return ok({ cert, key });
  } catch (cause) {
    const why = `${certificatePath} and ${keyPath} cannot be used together`;
    return fail('OIDC_CERTIFICATE', why, { cause });
  }
}
