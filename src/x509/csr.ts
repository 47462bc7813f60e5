import { fail, type Result } from '../base/result.ts';
import type { CertificateRequest, PublicKey } from './types.ts';

/** Reads one certificate request (PKCS#10, RFC 2986). The signature is not checked here. */
export function parseCsr(_der: Uint8Array): Result<CertificateRequest> {
  return fail('INTERNAL', 'not built yet');
}

/** Checks that the request is signed by its own key, and answers that key. */
export function verifyCsrSignature(_csr: CertificateRequest): Result<PublicKey> {
  return fail('INTERNAL', 'not built yet');
}
