import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import { fail, ok, type Result } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import type { TlsIdentity } from './identity.ts';

/** Certificates of a peer's chain that are looked at; more are cut off and refused by validators. */
const MAX_PEER_CHAIN = 32;

/** An identity as Node's TLS takes it. */
export function identityOptions(
  identity: TlsIdentity | undefined,
): Pick<SecureContextOptions, 'cert' | 'key' | 'ca'> {
  // An empty list: Node neither loads its default roots nor names authorities to clients.
  if (identity === undefined) return { ca: [] };
  return {
    cert: identity.chainDer.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: encodePem('PRIVATE KEY', identity.privateKeyPkcs8),
    ca: [],
  };
}

/** Checks that an identity's certificate and key belong together, and loads them. */
export function loadIdentity(
  identity: TlsIdentity | undefined,
  options: SecureContextOptions = {},
): Result<SecureContext> {
  try {
    return ok(createSecureContext({ ...identityOptions(identity), ...options }));
  } catch (cause) {
    return fail('TLS_CONFIGURATION', 'certificate chain and key cannot be used together', {
      cause,
    });
  }
}

/**
 * The certificates that the peer sent, leaf first, in its order; empty when it sent none. To be called
 * once for each connection: `getPeerCertificate(true)` would leak (CVE-2025-59464), and this call
 * takes the chain out of OpenSSL's hands.
 */
export function peerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < MAX_PEER_CHAIN) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}
