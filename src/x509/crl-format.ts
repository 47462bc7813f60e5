import { contextConstructed, contextPrimitive } from '../der/tags.ts';

/** Identifier octets in a CRL (RFC 5280 §5.2.5, §5.3.1). */
export const CRL_TAG = {
  enumerated: 0x0a,
  distributionPoint: contextConstructed(0),
  onlyUser: contextPrimitive(1),
  onlyCa: contextPrimitive(2),
  onlySomeReasons: contextPrimitive(3),
  indirect: contextPrimitive(4),
  onlyAttribute: contextPrimitive(5),
} as const;

/** How a location begins that holds the signer's certificate itself (RFC 2397, RFC 2585 §4.1). */
export const CRL_DATA_URI = 'data:application/pkix-cert;base64,';

/** Longest CRL in bytes: some 80,000 entries. */
export const MAX_CRL_BYTES = 4 * 1024 * 1024;
