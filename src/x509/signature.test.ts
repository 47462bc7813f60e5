import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeKey, signWith } from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import { derNull, derNumber, derOid, derSequence } from '../der/writer.ts';
import { OID } from './oids.ts';
import {
  parseSignatureAlgorithm,
  type SignatureScheme,
  schemeForKeyType,
  signatureAlgorithmDer,
  verifySignature,
  verifyWithScheme,
} from './signature.ts';

const message = Buffer.from('a message');

const SCHEMES: readonly SignatureScheme[] = [
  ...(['ecdsa', 'rsa', 'rsa-pss'] as const).flatMap((kind) =>
    (['sha256', 'sha384', 'sha512'] as const).map((hash) => ({ kind, hash })),
  ),
  { kind: 'ed25519', hash: 'sha512' },
];

const keys = {
  ecdsa: makeKey('ec-p256'),
  rsa: makeKey('rsa-2048'),
  'rsa-pss': makeKey('rsa-2048'),
  ed25519: makeKey('ed25519'),
};

describe('signature algorithms', () => {
  for (const scheme of SCHEMES) {
    it(`reads back and verifies ${scheme.kind} with ${scheme.hash}`, () => {
      const algorithm = signatureAlgorithmDer(scheme);
      assert.deepEqual(assertValue(parseSignatureAlgorithm(algorithm)), scheme);
      const key = keys[scheme.kind];
      const signature = signWith(key, message, scheme);
      assertValue(verifySignature(key.publicKey, algorithm, message, signature));
      const changed = Buffer.from('A message');
      const refused = verifySignature(key.publicKey, algorithm, changed, signature);
      assertRefused(refused, 'SIGNATURE_INVALID');
    });
  }

  it('signs with a hash that fits the key, as SPIRE does', () => {
    const hashes = (['ec-p256', 'ec-p384', 'ec-p521', 'rsa', 'ed25519'] as const).map(
      (type) => `${schemeForKeyType(type).kind} ${schemeForKeyType(type).hash}`,
    );
    assert.deepEqual(hashes, [
      'ecdsa sha256',
      'ecdsa sha384',
      'ecdsa sha512',
      'rsa sha256',
      'ed25519 sha512',
    ]);
  });

  const REFUSED: readonly [name: string, algorithm: Uint8Array, code: ErrorCode][] = [
    ['MD2', derSequence(derOid('1.2.840.113549.1.1.2'), derNull()), 'SIGNATURE_ALGORITHM_WEAK'],
    ['MD5', derSequence(derOid('1.2.840.113549.1.1.4'), derNull()), 'SIGNATURE_ALGORITHM_WEAK'],
    [
      'RSA SHA-1',
      derSequence(derOid('1.2.840.113549.1.1.5'), derNull()),
      'SIGNATURE_ALGORITHM_WEAK',
    ],
    ['ECDSA SHA-1', derSequence(derOid('1.2.840.10045.4.1')), 'SIGNATURE_ALGORITHM_WEAK'],
    ['RSA without NULL', derSequence(derOid(OID.rsaSha256)), 'SIGNATURE_ALGORITHM'],
    ['ECDSA with NULL', derSequence(derOid(OID.ecdsaSha256), derNull()), 'SIGNATURE_ALGORITHM'],
    [
      'PSS with default parameters, SHA-1',
      derSequence(derOid(OID.rsaPss), derSequence()),
      'SIGNATURE_ALGORITHM',
    ],
    ['an unknown algorithm', derSequence(derOid('1.2.3')), 'SIGNATURE_ALGORITHM'],
    ['a number', derNumber(1), 'DER_TAG'],
    ['nothing', new Uint8Array(), 'DER_TRUNCATED'],
  ];
  for (const [name, algorithm, code] of REFUSED) {
    it(`refuses ${name}`, () => assertRefused(parseSignatureAlgorithm(algorithm), code));
  }

  it('refuses a scheme that does not fit the key, before any arithmetic', () => {
    for (const scheme of SCHEMES) {
      for (const [kind, key] of Object.entries(keys)) {
        const fits =
          kind.startsWith('rsa') === scheme.kind.startsWith('rsa') &&
          kind.slice(0, 3) === scheme.kind.slice(0, 3);
        if (fits) continue;
        const result = verifyWithScheme(key.publicKey, scheme, message, new Uint8Array(64));
        assertRefused(result, 'SIGNATURE_ALGORITHM_KEY');
      }
    }
  });

  it('refuses a PSS signature that the key is too short for', () => {
    const short = makeKey('rsa-1024');
    const scheme: SignatureScheme = { kind: 'rsa-pss', hash: 'sha512' };
    const result = verifyWithScheme(short.publicKey, scheme, message, new Uint8Array(128));
    assertRefused(result, 'SIGNATURE_INVALID');
  });

  it('keeps PKCS#1 v1.5 and PSS apart, and DER and P1363', () => {
    const pkcs = signWith(keys.rsa, message, { kind: 'rsa', hash: 'sha256' });
    const pss: SignatureScheme = { kind: 'rsa-pss', hash: 'sha256' };
    assertRefused(verifyWithScheme(keys.rsa.publicKey, pss, message, pkcs), 'SIGNATURE_INVALID');
    const der = signWith(keys.ecdsa, message);
    const p1363: SignatureScheme = { kind: 'ecdsa', hash: 'sha256', encoding: 'p1363' };
    assertRefused(verifyWithScheme(keys.ecdsa.publicKey, p1363, message, der), 'SIGNATURE_INVALID');
  });
});
