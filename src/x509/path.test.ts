import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeLeaf,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Result } from '../base/result.ts';
import { derBoolean, derNull, derOctetString, derOid, derSequence } from '../der/writer.ts';
import { derExtension } from './extension-writer.ts';
import { derName } from './name-writer.ts';
import { OID } from './oids.ts';
import { type PathRequest, type ValidatedPath, validatePath } from './path.ts';
import { signatureAlgorithmDer } from './signature.ts';

const NOW_MS = Date.UTC(2026, 5, 1);
const URI = 'spiffe://example.org/web';
const root = makeRoot();
const key = makeKey();
const caKey = makeKey();

function validate(
  chain: readonly TestCertificate[],
  roots: readonly TestCertificate[] = [root],
  options: Partial<PathRequest> = {},
): Result<ValidatedPath> {
  return validatePath({
    chain: chain.map(({ certificate }) => certificate),
    roots: roots.map(({ certificate }) => certificate),
    atMs: NOW_MS,
    ...options,
  });
}

const leafOf = (issuer: TestCertificate, options: TestCertificateOptions = {}): TestCertificate =>
  makeLeaf(issuer, URI, { key, ...options });

const caOf = (issuer: TestCertificate, options: TestCertificateOptions = {}): TestCertificate =>
  makeIntermediate(issuer, { key: caKey, ...options });

/** Intermediates on top of each other, the last one first. */
function stack(count: number): TestCertificate[] {
  const chain: TestCertificate[] = [];
  for (let i = 0; i < count; i++) chain.unshift(makeIntermediate(chain[0] ?? root));
  return chain;
}

const critical = derExtension('1.2.3.4', true, derNull());

/** What a leaf must not be. */
const BAD_LEAVES: readonly [name: string, options: TestCertificateOptions, code: ErrorCode][] = [
  ['an unknown critical extension', { extraExtensions: [critical] }, 'PATH_CRITICAL_EXTENSION'],
  [
    'a critical authority key identifier',
    {
      authorityKeyId: null,
      extraExtensions: [derExtension(OID.authorityKeyId, true, derSequence())],
    },
    'PATH_EXTENSION',
  ],
  ['no authority key identifier', { authorityKeyId: null }, 'PATH_EXTENSION'],
  ['keyCertSign without CA', { keyUsage: ['digitalSignature', 'keyCertSign'] }, 'PATH_EXTENSION'],
  ['an empty issuer', { issuerDer: derSequence() }, 'PATH_EXTENSION'],
  ['an empty subject without critical names', { subject: derSequence() }, 'PATH_EXTENSION'],
  ['a DNS name with an underscore', { dnsNames: ['a_b.test'] }, 'PATH_EXTENSION'],
  ['an IP address as DNS name', { dnsNames: ['192.0.2.1'] }, 'PATH_EXTENSION'],
  ['a wildcard that is not the first label', { dnsNames: ['a.*.test'] }, 'PATH_EXTENSION'],
  [
    'critical policy constraints',
    { extraExtensions: [derExtension(OID.policyConstraints, true, derSequence())] },
    'PATH_CRITICAL_EXTENSION',
  ],
  [
    'policy constraints that are not critical',
    { extraExtensions: [derExtension(OID.policyConstraints, false, derSequence())] },
    'PATH_EXTENSION',
  ],
  [
    'a P-521 signature of SHA-1',
    { algorithm: derSequence(derOid('1.2.840.10045.4.1')) },
    'PATH_SIGNATURE_WEAK',
  ],
  [
    'an MD5 signature',
    { algorithm: derSequence(derOid('1.2.840.113549.1.1.4'), derNull()) },
    'PATH_SIGNATURE_WEAK',
  ],
  [
    'an algorithm that does not fit the key',
    { algorithm: signatureAlgorithmDer({ kind: 'rsa', hash: 'sha256' }) },
    'PATH_SIGNATURE',
  ],
  ['a signature of nothing', { signature: new Uint8Array(72) }, 'PATH_SIGNATURE'],
];

/** What an intermediate must not be; roots must not be it either. */
const BAD_AUTHORITIES: readonly [name: string, options: TestCertificateOptions, code: ErrorCode][] =
  [
    ['no basic constraints', { ca: null, keyUsage: null }, 'PATH_NOT_CA'],
    ['CA false', { ca: false, keyUsage: null }, 'PATH_NOT_CA'],
    [
      'basic constraints that are not critical',
      {
        ca: null,
        keyUsage: null,
        extraExtensions: [derExtension(OID.basicConstraints, false, derSequence(derBoolean(true)))],
      },
      'PATH_EXTENSION',
    ],
    ['no keyCertSign', { keyUsage: ['crlSign'] }, 'PATH_KEY_USAGE'],
    ['no subject key identifier', { subjectKeyId: null }, 'PATH_EXTENSION'],
    [
      'a critical subject key identifier',
      {
        subjectKeyId: null,
        extraExtensions: [derExtension(OID.subjectKeyId, true, derOctetString(Uint8Array.of(1)))],
      },
      'PATH_EXTENSION',
    ],
    ['an unknown critical extension', { extraExtensions: [critical] }, 'PATH_CRITICAL_EXTENSION'],
    [
      'name constraints that are not critical',
      { extraExtensions: [derExtension(OID.nameConstraints, false, derSequence())] },
      'PATH_EXTENSION',
    ],
    ['an end before now', { notAfterMs: NOW_MS - 1000 }, 'PATH_EXPIRED'],
    ['a begin after now', { notBeforeMs: NOW_MS + 1000 }, 'PATH_NOT_YET_VALID'],
  ];

describe('validatePath', () => {
  it('X509-20 answers the path from the leaf to the root', () => {
    const intermediate = caOf(root);
    const leaf = leafOf(intermediate);
    const value = assertValue(validate([leaf, intermediate]));
    const ders = [leaf, intermediate, root].map(({ der }) => [...der]);
    assert.deepEqual(
      value.path.map(({ der }) => [...der]),
      ders,
    );
    assert.deepEqual([...value.root.der], [...root.der]);
    assert.deepEqual([...value.leaf.der], [...leaf.der]);
  });

  it('refuses no certificate, no root and another root', () => {
    assertRefused(validate([]), 'PATH_EMPTY');
    assertRefused(validate([leafOf(root)], []), 'PATH_NOT_FOUND');
    assertRefused(validate([leafOf(root)], [makeRoot()]), 'PATH_NOT_FOUND');
    assertRefused(validate([leafOf(caOf(root))]), 'PATH_NOT_FOUND');
  });

  it('refuses a root of the same name with another key', () => {
    const { subjectDer } = root;
    const impostor = makeRoot('example.org', { subject: subjectDer });
    assertRefused(validate([leafOf(impostor)]), 'PATH_SIGNATURE');
    assertValue(validate([leafOf(root)], [impostor, root]));
  });

  it('takes intermediates in any order, and beside others that lead nowhere', () => {
    const [third, second, first] = stack(3) as [TestCertificate, TestCertificate, TestCertificate];
    const leaf = leafOf(third);
    const stray = makeIntermediate(makeRoot());
    assertValue(validate([leaf, first, stray, second, third]));
  });

  for (const [name, options, code] of BAD_LEAVES) {
    it(`X509-20 refuses a leaf with ${name}`, () => {
      const authority = options.issuerDer === undefined ? caOf(root) : root;
      assertRefused(validate([leafOf(authority, options), authority]), code);
    });
  }

  for (const [name, options, code] of BAD_AUTHORITIES) {
    it(`X509-13 X509-20 refuses an intermediate with ${name}`, () => {
      const intermediate = caOf(root, options);
      assertRefused(validate([leafOf(intermediate), intermediate]), code);
    });

    it(`X509-13 X509-20 refuses a root with ${name}`, () => {
      const bad = makeRoot('example.org', options);
      assertRefused(validate([leafOf(bad)], [bad]), code);
    });
  }

  it('accepts a CA without key usage, and an empty subject with critical names', () => {
    const intermediate = caOf(root, { keyUsage: null });
    const leaf = leafOf(intermediate, { subject: derSequence(), sanCritical: true });
    assertValue(validate([leaf, intermediate]));
  });

  it('refuses a CA without a name', () => {
    const nameless = caOf(root, {
      subject: derSequence(),
      uris: ['spiffe://example.org'],
      sanCritical: true,
    });
    const leaf = leafOf(nameless);
    assertRefused(validate([leaf, nameless]), 'PATH_EXTENSION');
  });

  it('refuses a cross-signed root without authority key identifier', () => {
    const crossSigned = caOf(makeRoot(), { authorityKeyId: null });
    assertRefused(validate([leafOf(crossSigned)], [crossSigned]), 'PATH_EXTENSION');
  });

  it('takes an intermediate as trust anchor', () => {
    const anchor = caOf(makeRoot());
    assertValue(validate([leafOf(anchor)], [anchor]));
  });

  for (const [name, atMs, code] of [
    ['a millisecond before notBefore', NOW_MS - 1, 'PATH_NOT_YET_VALID'],
    ['at notBefore', NOW_MS, undefined],
    ['at notAfter', NOW_MS + 60_000, undefined],
    ['within the second of notAfter', NOW_MS + 60_999, undefined],
    ['a second after notAfter', NOW_MS + 61_000, 'PATH_EXPIRED'],
  ] as const) {
    it(`X509-20 ${code === undefined ? 'accepts' : 'refuses'} a leaf ${name}`, () => {
      const leaf = leafOf(root, { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + 60_000 });
      const result = validate([leaf], [root], { atMs });
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  for (const [below, pathLength, isFine] of [
    [0, 0, true],
    [1, 0, false],
    [1, 1, true],
    [2, 1, false],
    [2, 2, true],
  ] as const) {
    it(`X509-15 ${isFine ? 'accepts' : 'refuses'} ${below} below path length ${pathLength}`, () => {
      const chain = [makeIntermediate(root, { pathLength })];
      for (let i = 0; i < below; i++) chain.unshift(makeIntermediate(chain[0]!));
      const result = validate([leafOf(chain[0]!), ...chain]);
      if (isFine) assertValue(result);
      else assertRefused(result, 'PATH_LENGTH');
    });
  }

  it('does not count self-issued intermediates (RFC 5280 §6.1.4 l)', () => {
    const subject = derName({ commonName: 'rollover' });
    const first = makeIntermediate(root, { subject, pathLength: 0 });
    const second = makeIntermediate(first, { subject });
    assertValue(validate([leafOf(second), second, first], [root], { maxIntermediates: 1 }));
  });

  it('takes 8 intermediates and refuses 9, or what the caller allows', () => {
    const eight = stack(8);
    assertValue(validate([leafOf(eight[0]!), ...eight]));
    const nine = stack(9);
    assertRefused(validate([leafOf(nine[0]!), ...nine]), 'PATH_LENGTH');
    const one = caOf(root);
    assertRefused(validate([leafOf(one), one], [root], { maxIntermediates: 0 }), 'PATH_LENGTH');
    assertValue(validate([leafOf(root)], [root], { maxIntermediates: 0 }));
  });

  for (const [name, usages, caUsages, isFine] of [
    ['named by both', [OID.clientAuth], [OID.clientAuth], true],
    ['named by none', null, null, true],
    ['covered by any', [OID.anyExtendedKeyUsage], [OID.anyExtendedKeyUsage], true],
    ['not named by the leaf', [OID.serverAuth], null, false],
    ['not named by the intermediate', [OID.clientAuth], [OID.serverAuth], false],
  ] as const) {
    it(`X509-19 ${isFine ? 'accepts' : 'refuses'} an extended key usage ${name}`, () => {
      const intermediate = caOf(root, { extendedKeyUsage: caUsages });
      const leaf = leafOf(intermediate, { extendedKeyUsage: usages });
      assertValue(validate([leaf, intermediate]));
      const demanded = { extendedKeyUsage: OID.clientAuth };
      const result = validate([leaf, intermediate], [root], demanded);
      if (isFine) assertValue(result);
      else assertRefused(result, 'PATH_EXTENDED_KEY_USAGE');
    });
  }

  for (const type of ['ec-p384', 'ec-p521', 'rsa-2048', 'ed25519'] as const) {
    it(`takes keys of ${type}`, () => {
      const authority = makeRoot('example.org', { key: makeKey(type) });
      assertValue(validate([leafOf(authority, { key: authority.key })], [authority]));
    });
  }

  it('refuses a leaf and a root whose key is weak', () => {
    // 1024 bits, made for this test.
    const weak = makeKey('rsa-1024');
    assertRefused(validate([leafOf(root, { key: weak })]), 'PATH_KEY');
    const weakRoot = makeRoot('example.org', { key: weak });
    assertRefused(validate([leafOf(weakRoot)], [weakRoot]), 'PATH_KEY');
  });

  it('finds the way around an expired cross-signature', () => {
    const subject = derName({ commonName: 'ca' });
    const shared = makeKey();
    const expired = makeIntermediate(root, { key: shared, subject, notAfterMs: NOW_MS - 1 });
    const good = makeIntermediate(root, { key: shared, subject });
    assertValue(validate([leafOf(good), expired, good]));
  });
});

describe('validatePath under attack', () => {
  it('G-8 refuses two authorities that sign each other', () => {
    const names = ['a', 'b'].map((commonName) => derName({ commonName }));
    const keys = [makeKey(), makeKey()];
    const a0 = makeCertificate({ ca: true, subject: names[0]!, key: keys[0]! });
    const b = makeIntermediate(a0, { subject: names[1]!, key: keys[1]! });
    const a = makeIntermediate(b, { subject: names[0]!, key: keys[0]! });
    assertRefused(validate([leafOf(a), a, b]), 'PATH_NOT_FOUND');
  });

  it('G-8 stops after 100 issuers where every intermediate could have signed every other', () => {
    const subject = derName({ commonName: 'same' });
    const keys = Array.from({ length: 60 }, () => makeKey());
    const first = makeCertificate({ ca: true, subject, key: keys[0]! });
    const all = keys.map((caKey2) =>
      makeIntermediate(first, { subject, key: caKey2, subjectKeyId: first.keyId }),
    );
    assertRefused(validate([leafOf(first), ...all]), 'PATH_TOO_COSTLY');
  });

  it('G-8 tries an authority with the same name and key once', () => {
    const subject = derName({ commonName: 'same' });
    const first = makeCertificate({ ca: true, subject, key: caKey });
    const all = Array.from({ length: 60 }, () => makeIntermediate(first, { subject, key: caKey }));
    assertRefused(validate([leafOf(first), ...all]), 'PATH_NOT_FOUND');
  });

  it('G-8 takes 64 certificates and refuses 65, and 10,000', () => {
    const intermediate = caOf(root);
    const leaf = leafOf(intermediate).certificate;
    const request = (count: number): PathRequest => ({
      chain: [leaf, ...Array(count - 1).fill(intermediate.certificate)],
      roots: [root.certificate],
      atMs: NOW_MS,
    });
    assertValue(validatePath(request(64)));
    assertRefused(validatePath(request(65)), 'PATH_TOO_COSTLY');
    assertRefused(validatePath(request(10_000)), 'PATH_TOO_COSTLY');
  });
});
