import { createHash } from 'node:crypto';
import type { Certificate } from '../x509/types.ts';

/** SPIRE's name of a certificate in IDs and selectors: SHA-1 of its DER, a name and not a proof. */
export function fingerprintOf({ der }: Certificate): string {
  return createHash('sha1').update(der).digest('hex');
}
