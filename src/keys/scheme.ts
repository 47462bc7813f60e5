import { type SignatureScheme, schemeForKeyType } from '../x509/signature.ts';
import type { KeyType } from './key-manager.ts';

/** The public key type of a signing key: its algorithm without the length of an RSA modulus. */
export function publicKeyType(type: KeyType): 'ec-p256' | 'ec-p384' | 'rsa' {
  return type === 'ec-p256' || type === 'ec-p384' ? type : 'rsa';
}

/** How certificates are signed with a key of this type. */
export function certificateScheme(type: KeyType): SignatureScheme {
  return schemeForKeyType(publicKeyType(type));
}
