/**
 * SHA-256 of the SubjectPublicKeyInfo of keys whose private half anyone can read, by where it is
 * printed. They turn up where somebody copied an example; nobody who uses one is alone.
 */
export const PUBLISHED_KEYS: readonly string[] = [
  // RFC 9500 §2.1 (RSA, 2048 bits), §2.3 (P-256, P-384): test keys that are to be recognised.
  '8fb6bad671cfe698393c453357da61b56d757ab8c0f3fb9c87f2849e63131878',
  'b2b04340cfaee616ec9c2c62d261b208e54bb197498df52e8cadede23ac0ba5e',
  'c4c10105a0be0ed4dd3354428dc38a9bfee64da141ce16e75c94eda272f9dd3a',
  // RFC 7515 Appendix A.3 and RFC 7517 Appendix A.2: P-256.
  '2bd1bb0c44a897c30a7aa0991cde38d8062fe441de50da0f46825344f602e827',
  '51b944cdfa544d4c3273aa6bf350625a7dd53bbb6a71723274f538b19a207760',
  // Tests of Go's crypto/rsa: 2048, 3072 and 4096 bits.
  '6c6f211b38eb2e24d0e1f042e8da8245fccf15fa415afcf62284bea8f5cca4f3',
  'a966992050beefe356dd2219c30595377e991748f14dbb4e0c24935e15721a3c',
  'b2826a5439e55ac291fc97314e5f1beadb7aa77982a0f6c741975544000b2188',
];
