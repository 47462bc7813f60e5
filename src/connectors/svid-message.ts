import type { X509Svid } from '../gen/signet/connector/v1/connector.ts';
import type { IssuedX509 } from '../issuance/issuer.ts';

/** An SVID as connectors get it. */
export function toSvidMessage(issued: IssuedX509): X509Svid {
  return {
    chain: issued.chain.map((der) => Buffer.from(der)),
    serialNumber: issued.serialDecimal,
    notBefore: BigInt(issued.notBeforeSeconds),
    expiresAt: BigInt(issued.expiresAtSeconds),
  };
}
