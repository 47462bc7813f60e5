import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  makeCertificate,
  makeKey,
  makeLeaf,
  makeRoot,
  sanExtension,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import { concatBytes } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { encodePem } from '../der/pem.ts';
import { contextConstructed, contextPrimitive, TAG } from '../der/tags.ts';
import {
  derAscii,
  derBitString,
  derBoolean,
  derElement,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derTime,
  derUnsigned,
} from '../der/writer.ts';
import { parseCertificate, parseCertificates, parseCertificatesPem } from './certificate.ts';
import { derExtension } from './extension-writer.ts';
import { derName } from './name-writer.ts';
import { OID } from './oids.ts';
import { signatureAlgorithmDer } from './signature.ts';

const key = makeKey();
const root = makeRoot();
const leaf = makeLeaf(root, 'spiffe://example.org/web', {
  key,
  serial: Buffer.from('eb83d529b1be8479ab2606e715da145d', 'hex'),
  dnsNames: ['web.example.org'],
  emails: ['ops@example.org'],
  ips: [Uint8Array.of(192, 0, 2, 1), new Uint8Array(16)],
});

const sha384 = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha384' });
const extension = (value: Uint8Array, oid: string = OID.keyUsage): TestCertificateOptions => ({
  extensions: [derExtension(oid, true, value)],
});
const falseCritical = derSequence(
  derOid('1.2.3'),
  derBoolean(false),
  derOctetString(Uint8Array.of(1)),
);
const emptyRdn = derSequence(derElement(TAG.set));

/** A TBSCertificate field by field, to break one. */
function tbsFields(): Uint8Array[] {
  return [
    derElement(contextConstructed(0), derNumber(2)),
    derNumber(7),
    signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' }),
    derName({ commonName: 'issuer' }),
    derSequence(derTime(0), derTime(1000)),
    derName({ commonName: 'subject' }),
    key.spki,
  ];
}

function fromTbs(fields: readonly Uint8Array[], tail: readonly Uint8Array[] = []): Uint8Array {
  const algorithm = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' });
  return derSequence(
    derSequence(...fields),
    algorithm,
    derBitString(Uint8Array.of(1, 2, 3)),
    ...tail,
  );
}

const HOSTILE: readonly [name: string, options: TestCertificateOptions, code: ErrorCode][] = [
  ['version 1', { version: 0, extensions: [] }, 'CERTIFICATE_VERSION'],
  ['version 2', { version: 1 }, 'CERTIFICATE_VERSION'],
  ['version 4', { version: 3 }, 'CERTIFICATE_VERSION'],
  ['serial zero', { serial: Uint8Array.of(0) }, 'CERTIFICATE_SERIAL'],
  ['a negative serial', { serialDer: Uint8Array.of(2, 1, 0x80) }, 'CERTIFICATE_SERIAL'],
  ['a serial of 21 octets', { serial: new Uint8Array(20).fill(0xff) }, 'CERTIFICATE_SERIAL'],
  ['a padded serial', { serialDer: Uint8Array.of(2, 2, 0, 1) }, 'DER_VALUE'],
  ['two algorithms', { innerAlgorithm: sha384 }, 'CERTIFICATE_ALGORITHM_MISMATCH'],
  ['an end before its begin', { notBeforeMs: 2000, notAfterMs: 1000 }, 'CERTIFICATE_VALIDITY'],
  [
    'an extension twice',
    { extraExtensions: [sanExtension([derAscii(0x82, 'a')]), sanExtension([derAscii(0x82, 'a')])] },
    'CERTIFICATE_EXTENSION_TWICE',
  ],
  ['FALSE written out as criticality', { extraExtensions: [falseCritical] }, 'DER_VALUE'],
  [
    '65 extensions',
    {
      extensions: Array.from({ length: 65 }, (_, i) =>
        derExtension(`1.2.3.${i}`, false, Uint8Array.of(1)),
      ),
    },
    'CERTIFICATE_EXTENSION',
  ],
  ['an empty RDN', { subject: emptyRdn }, 'DER_TRUNCATED'],
  [
    '65 RDNs',
    {
      subject: derSequence(
        ...Array.from({ length: 65 }, () => derName({ commonName: 'x' }).subarray(2)),
      ),
    },
    'CERTIFICATE_NAME',
  ],
  ['a key usage without bits', extension(derBitString(new Uint8Array())), 'CERTIFICATE_EXTENSION'],
  [
    'a key usage of zero bits',
    extension(derBitString(Uint8Array.of(0), 7)),
    'CERTIFICATE_EXTENSION',
  ],
  [
    'a key usage with trailing zero bits',
    extension(derBitString(Uint8Array.of(0x80), 0)),
    'CERTIFICATE_EXTENSION',
  ],
  [
    'a key usage of 3 octets',
    extension(derBitString(Uint8Array.of(1, 1, 1))),
    'CERTIFICATE_EXTENSION',
  ],
  [
    'bytes after a key usage',
    extension(concatBytes([derBitString(Uint8Array.of(0x80), 7), Uint8Array.of(0)])),
    'DER_TRAILING_BYTES',
  ],
  [
    'CA FALSE written out',
    extension(derSequence(derBoolean(false)), OID.basicConstraints),
    'DER_VALUE',
  ],
  [
    'a path length without CA',
    extension(derSequence(derNumber(0)), OID.basicConstraints),
    'CERTIFICATE_EXTENSION',
  ],
  [
    'a negative path length',
    extension(derSequence(derBoolean(true), Uint8Array.of(2, 1, 0xff)), OID.basicConstraints),
    'DER_VALUE',
  ],
  [
    'an element after the path length',
    extension(derSequence(derBoolean(true), derNumber(0), derNumber(0)), OID.basicConstraints),
    'DER_TRAILING_BYTES',
  ],
  ['an empty extended key usage', extension(derSequence(), OID.extendedKeyUsage), 'DER_TRUNCATED'],
  ['empty alternative names', extension(derSequence(), OID.subjectAltName), 'CERTIFICATE_NAME'],
  ['a NUL in a URI', { uris: ['spiffe://example.org/a\0b'] }, 'CERTIFICATE_NAME'],
  ['a line end in a DNS name', { dnsNames: ['a\nb'] }, 'CERTIFICATE_NAME'],
  [
    'an octet above 7F in a URI',
    { otherNames: [derElement(contextPrimitive(6), Uint8Array.of(0x80))] },
    'CERTIFICATE_NAME',
  ],
  ['an IP address of 5 bytes', { ips: [new Uint8Array(5)] }, 'CERTIFICATE_NAME'],
  ['an IP address with a mask', { ips: [new Uint8Array(8)] }, 'CERTIFICATE_NAME'],
  [
    'a GeneralName that does not exist',
    { otherNames: [derElement(contextPrimitive(9))] },
    'CERTIFICATE_NAME',
  ],
];

describe('parseCertificate', () => {
  it('reads every field of a leaf', () => {
    const certificate = assertValue(parseCertificate(leaf.der));
    assert.equal(certificate.version, 3);
    assert.equal(certificate.serialDecimal, '313053093354532701683239476923513574493');
    assert.equal(certificate.serial.length, 17);
    assert.deepEqual([...certificate.issuerDer], [...root.subjectDer]);
    assert.deepEqual([...certificate.subjectDer], [...leaf.subjectDer]);
    assert.equal(certificate.notBeforeMs, Date.UTC(2020, 0, 1));
    assert.equal(certificate.notAfterMs, Date.UTC(2049, 11, 31, 23, 59, 59));
    assert.equal(certificate.publicKey.type, 'ec-p256');
    assert.deepEqual([...certificate.publicKey.spki], [...key.spki]);
    assert.deepEqual(certificate.basicConstraints, {
      critical: true,
      ca: false,
      pathLength: undefined,
    });
    assert.equal(certificate.keyUsage?.digitalSignature, true);
    assert.equal(certificate.keyUsage?.keyCertSign, false);
    assert.deepEqual(certificate.extendedKeyUsage, [OID.serverAuth, OID.clientAuth]);
    assert.deepEqual([...(certificate.subjectKeyId ?? [])], [...leaf.keyId]);
    assert.deepEqual([...(certificate.authorityKeyId ?? [])], [...root.keyId]);
    assert.deepEqual(
      certificate.subjectAltName?.names.map((name) => ('text' in name ? name.text : name.kind)),
      ['spiffe://example.org/web', 'web.example.org', 'ops@example.org', 'ip', 'ip'],
    );
  });

  it('reads each key usage bit by itself', () => {
    const bits = [
      'digitalSignature',
      'contentCommitment',
      'keyEncipherment',
      'dataEncipherment',
      'keyAgreement',
      'keyCertSign',
      'crlSign',
      'encipherOnly',
      'decipherOnly',
    ] as const;
    for (const bit of bits) {
      const { keyUsage } = makeCertificate({ key, keyUsage: [bit] }).certificate;
      assert.deepEqual(
        bits.filter((other) => keyUsage?.[other]),
        [bit],
      );
    }
  });

  it('reads a serial of 20 octets', () => {
    const { certificate } = makeCertificate({ key, serial: new Uint8Array(20).fill(0x7f) });
    assert.equal(certificate.serial.length, 20);
  });

  it('reads a certificate without extensions, and one with unique identifiers', () => {
    assert.equal(assertValue(parseCertificate(fromTbs(tbsFields()))).extensions.length, 0);
    const ids = [1, 2].map((n) => derElement(contextPrimitive(n), Uint8Array.of(0, 1)));
    assertValue(parseCertificate(fromTbs([...tbsFields(), ...ids])));
  });

  it('reads a directory name and names of other kinds', () => {
    const names = [
      derElement(contextConstructed(4), derName({ commonName: 'x' })),
      derElement(contextConstructed(0), derOid('1.2.3')),
    ];
    const { subjectAltName } = makeCertificate({ key, otherNames: names }).certificate;
    assert.deepEqual(
      subjectAltName?.names.map(({ kind }) => kind),
      ['directory', 'other'],
    );
  });

  for (const [name, options, code] of HOSTILE) {
    it(`refuses ${name}`, () => {
      assertRefused(parseCertificate(makeCertificate({ key, ...options }).der), code);
    });
  }

  it('refuses bytes after the certificate, after its signature and after its extensions', () => {
    const extra = Uint8Array.of(5, 0);
    assertRefused(parseCertificate(concatBytes([leaf.der, extra])), 'DER_TRAILING_BYTES');
    assertRefused(parseCertificate(fromTbs(tbsFields(), [extra])), 'DER_TRAILING_BYTES');
    const extensions = derElement(contextConstructed(3), derSequence(falseCritical.subarray(0, 0)));
    assertRefused(parseCertificate(fromTbs([...tbsFields(), extensions])), 'DER_TRUNCATED');
    assertRefused(parseCertificate(fromTbs([...tbsFields(), extra])), 'DER_TAG');
  });

  it('refuses a certificate above its size limit before reading it', () => {
    assertRefused(parseCertificate(leaf.der, leaf.der.length - 1), 'DER_TOO_LARGE');
    assertRefused(parseCertificate(new Uint8Array(65_537)), 'DER_TOO_LARGE');
    assertValue(parseCertificate(leaf.der, leaf.der.length));
  });

  it('reads from a copy, so that the caller cannot change what was checked', () => {
    const bytes = new Uint8Array(leaf.der);
    const certificate = assertValue(parseCertificate(bytes));
    bytes.fill(0);
    assert.deepEqual([...certificate.der], [...leaf.der]);
    assert.equal(certificate.serial[1], 0xeb);
  });

  it('never throws on a truncated certificate, and always refuses it', () => {
    for (let length = 0; length < leaf.der.length; length++) {
      assert.equal(parseCertificate(leaf.der.subarray(0, length)).ok, false);
    }
  });

  it('answers any flipped bits with a value or a coded refusal', () => {
    const position = fc.nat(leaf.der.length * 8 - 1);
    fc.assert(
      fc.property(fc.array(position, { minLength: 1, maxLength: 4 }), (bits) => {
        const bytes = new Uint8Array(leaf.der);
        for (const bit of bits) bytes[bit >> 3]! ^= 1 << (bit & 7);
        const result = parseCertificate(bytes);
        return result.ok || result.error.code !== 'INTERNAL';
      }),
      { numRuns: 2000 },
    );
  });
});

describe('parseCertificates', () => {
  const chain = concatBytes([leaf.der, root.der]);

  it('reads certificates that follow each other', () => {
    const certificates = assertValue(parseCertificates(chain));
    assert.deepEqual(
      certificates.map(({ der }) => der.length),
      [leaf.der.length, root.der.length],
    );
  });

  const REFUSED: readonly [name: string, bytes: Uint8Array, code: ErrorCode][] = [
    ['no bytes', new Uint8Array(), 'CERTIFICATE_NONE'],
    ['a byte left over', concatBytes([chain, Uint8Array.of(0x30)]), 'DER_TRUNCATED'],
    ['zeros left over', concatBytes([chain, new Uint8Array(2)]), 'DER_TAG'],
    ['a last certificate cut short', chain.subarray(0, -1), 'DER_TRUNCATED'],
    ['an element that is no certificate', concatBytes([leaf.der, derSequence()]), 'DER_TRUNCATED'],
  ];
  for (const [name, bytes, code] of REFUSED) {
    it(`refuses ${name}`, () => assertRefused(parseCertificates(bytes), code));
  }

  it('reads 16 and refuses 17, or what the caller allows', () => {
    const many = (count: number): Uint8Array => concatBytes(Array(count).fill(leaf.der));
    assert.equal(assertValue(parseCertificates(many(16))).length, 16);
    assertRefused(parseCertificates(many(17)), 'CERTIFICATE_TOO_MANY');
    assertRefused(parseCertificates(many(2), 1), 'CERTIFICATE_TOO_MANY');
  });
});

describe('parseCertificatesPem', () => {
  it('reads the blocks in order', () => {
    assert.equal(assertValue(parseCertificatesPem(leaf.pem + root.pem)).length, 2);
  });

  it('refuses no block, another block and a broken certificate', () => {
    assertRefused(parseCertificatesPem(''), 'CERTIFICATE_NONE');
    const keyBlock = encodePem('PRIVATE KEY', Uint8Array.of(1));
    assertRefused(parseCertificatesPem(leaf.pem + keyBlock), 'PEM_LABEL');
    const broken = encodePem('CERTIFICATE', derUnsigned(Uint8Array.of(1)));
    assertRefused(parseCertificatesPem(broken), 'DER_TAG');
    assertRefused(parseCertificatesPem(leaf.pem.repeat(2), 1), 'PEM_TOO_LARGE');
  });
});
