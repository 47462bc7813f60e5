import { createHash } from 'node:crypto';
import { toHex } from '../base/bytes.ts';
import type { TlsIdentity } from '../tls/identity.ts';
import type { ServerIdentity } from './server-identity.ts';

/** Certificates of the past that are remembered: connections made with them may still be open. */
const MAX_REMEMBERED = 8;

/** Answers whether a SHA-256 is that of a certificate that this server shows, or has shown lately. */
export function rememberCertificates(identity: ServerIdentity): (sha256: Uint8Array) => boolean {
  const known: string[] = [];
  const note = ({ chainDer: [leaf] }: TlsIdentity): void => {
    if (leaf !== undefined) known.unshift(createHash('sha256').update(leaf).digest('hex'));
    known.length = Math.min(known.length, MAX_REMEMBERED);
  };
  note(identity.current);
  identity.onRenewed(note);
  return (sha256) => known.includes(toHex(sha256));
}
