/** Identifier octets of the types that certificates, requests and keys are made of (X.680 §8). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier octet of a context-specific tag with a constructed value, such as `[0] EXPLICIT`. */
export function contextConstructed(number: number): number {
  return 0xa0 | number;
}

/** Identifier octet of a context-specific tag with a primitive value, such as `[6] IA5String`. */
export function contextPrimitive(number: number): number {
  return 0x80 | number;
}
