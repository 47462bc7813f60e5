import type { JWTSVID, X509SVID } from '../../gen/spire/api/types/svid.ts';
import type { IssuedJwt, IssuedX509 } from '../../issuance/issuer.ts';
import { toWireId } from './ids.ts';

/** An X.509-SVID in its wire form. */
export function toWireX509(issued: IssuedX509, hint: string): X509SVID {
  return {
    certChain: issued.chain.map(asBuffer),
    id: toWireId(issued.spiffeId),
    expiresAt: BigInt(issued.expiresAtSeconds),
    hint,
  };
}

/** A JWT-SVID in its wire form. */
export function toWireJwt(issued: IssuedJwt, hint: string): JWTSVID {
  return {
    token: issued.token,
    id: toWireId(issued.spiffeId),
    expiresAt: BigInt(issued.expiresAtSeconds),
    issuedAt: BigInt(issued.issuedAtSeconds),
    hint,
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
