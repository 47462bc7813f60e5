import type { SignatureScheme } from '../x509/signature.ts';
import type { KeyType } from './key-manager.ts';

/** How certificates are signed with a key of this type: SPIRE's choice, RSA as PKCS#1 v1.5. */
export function certificateScheme(type: KeyType): SignatureScheme & { encoding: 'der' } {
  switch (type) {
    case 'ec-p256':
      return { kind: 'ecdsa', hash: 'sha256', encoding: 'der' };
    case 'ec-p384':
      return { kind: 'ecdsa', hash: 'sha384', encoding: 'der' };
    case 'rsa-2048':
    case 'rsa-4096':
      return { kind: 'rsa', hash: 'sha256', encoding: 'der' };
  }
}
