import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  extensionRequest,
  makeCsr,
  makeKey,
  sanExtension,
  type TestCsrOptions,
} from '../../test/support/x509.ts';
import { concatBytes } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { contextPrimitive, TAG } from '../der/tags.ts';
import {
  derAscii,
  derElement,
  derNull,
  derNumber,
  derOid,
  derSequence,
  derSetOf,
} from '../der/writer.ts';
import { parseCsr, verifyCsrSignature } from './csr.ts';
import { basicConstraintsExtension, extendedKeyUsageExtension } from './extension-writer.ts';
import { OID } from './oids.ts';
import { signatureAlgorithmDer } from './signature.ts';

const key = makeKey();
const otherKey = makeKey();
const uri = derAscii(contextPrimitive(6), 'spiffe://example.org/web');
const san = sanExtension([uri]);
const request = makeCsr({
  key,
  uris: ['spiffe://example.org/web'],
  dnsNames: ['a.test', 'b.test'],
});
const weak = (oid: string): TestCsrOptions => ({ algorithm: derSequence(derOid(oid), derNull()) });

describe('parseCsr', () => {
  it('reads the key and the names that are asked for', () => {
    const csr = assertValue(parseCsr(request));
    assert.deepEqual(csr.requestedUris, ['spiffe://example.org/web']);
    assert.deepEqual(csr.requestedDnsNames, ['a.test', 'b.test']);
    assert.deepEqual([...csr.publicKey.spki], [...key.spki]);
    assert.deepEqual([...csr.der], [...request]);
  });

  it('reads a request without attributes, and one with attributes it does not know', () => {
    assert.deepEqual(assertValue(parseCsr(makeCsr({ key }))).requestedUris, []);
    const challenge = derSequence(
      derOid('1.2.840.113549.1.9.7'),
      derSetOf(derAscii(TAG.printableString, 'secret')),
    );
    const csr = assertValue(parseCsr(makeCsr({ key, attributes: [challenge] })));
    assert.deepEqual(csr.requestedDnsNames, []);
  });

  it('G-2 passes over CA, EKU and other extensions that are asked for', () => {
    const extraExtensions = [
      basicConstraintsExtension(true),
      extendedKeyUsageExtension([OID.serverAuth]),
    ];
    const csr = assertValue(parseCsr(makeCsr({ key, uris: ['x:y'], extraExtensions })));
    assert.deepEqual(Object.keys(csr).sort(), [
      'der',
      'info',
      'publicKey',
      'requestedConstraints',
      'requestedDnsNames',
      'requestedNames',
      'requestedUris',
      'signature',
      'signatureAlgorithm',
      'subjectDer',
    ]);
  });

  const HOSTILE: readonly [name: string, der: Uint8Array, code: ErrorCode][] = [
    ['trailing bytes', concatBytes([request, Uint8Array.of(0)]), 'DER_TRAILING_BYTES'],
    [
      'an element after the attributes',
      makeCsr({ key, afterAttributes: [derNull()] }),
      'DER_TRAILING_BYTES',
    ],
    [
      'an element after the signature',
      makeCsr({ key, afterSignature: [derNull()] }),
      'DER_TRAILING_BYTES',
    ],
    ['no bytes', new Uint8Array(), 'DER_TRUNCATED'],
    ['version 2', makeCsr({ key, version: 1 }), 'CERTIFICATE_VERSION'],
    [
      'two extension requests',
      makeCsr({ key, attributes: [extensionRequest([san]), extensionRequest([san])] }),
      'CERTIFICATE_EXTENSION_TWICE',
    ],
    [
      'two alternative names',
      makeCsr({ key, attributes: [extensionRequest([san, san])] }),
      'CERTIFICATE_EXTENSION_TWICE',
    ],
    [
      '65 attributes',
      makeCsr({ key, attributes: Array(65).fill(derSequence(derOid('1.2.3'), derSetOf())) }),
      'CERTIFICATE_EXTENSION',
    ],
    [
      '65 extensions',
      makeCsr({
        key,
        attributes: [extensionRequest(Array(65).fill(basicConstraintsExtension(true)))],
      }),
      'CERTIFICATE_EXTENSION',
    ],
    [
      'a second value of the extension request',
      makeCsr({
        key,
        attributes: [
          derSequence(derOid(OID.extensionRequest), derSetOf(derSequence(), derSequence())),
        ],
      }),
      'DER_TRAILING_BYTES',
    ],
    [
      'an attribute of three parts',
      makeCsr({ key, attributes: [derSequence(derOid('1.2.3'), derSetOf(), derSetOf())] }),
      'DER_TRAILING_BYTES',
    ],
    ['a key that is none', makeCsr({ key, spki: derSequence() }), 'DER_TRUNCATED'],
    ['a request of 16 KiB and a byte', new Uint8Array(16_385), 'DER_TOO_LARGE'],
    [
      'BER with an indefinite length',
      concatBytes([Uint8Array.of(0x30, 0x80), request.subarray(3), new Uint8Array(2)]),
      'DER_LENGTH',
    ],
    [
      'BER with a longer length than needed',
      derElement(0x30, Uint8Array.of(0x30, 0x81, 3), derNumber(0)),
      'DER_LENGTH',
    ],
  ];
  for (const [name, der, code] of HOSTILE) {
    it(`G-1 refuses ${name}`, () => assertRefused(parseCsr(der), code));
  }

  it('refuses every truncation', () => {
    for (let length = 0; length < request.length; length++) {
      assert.equal(parseCsr(request.subarray(0, length)).ok, false);
    }
  });

  it('lets no flipped bit through the signature check', () => {
    fc.assert(
      fc.property(fc.nat(request.length * 8 - 1), (bit) => {
        const bytes = new Uint8Array(request);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        const csr = parseCsr(bytes);
        const verified = csr.ok ? verifyCsrSignature(csr.value) : csr;
        return !verified.ok && verified.error.code !== 'INTERNAL';
      }),
      { numRuns: 500 },
    );
  });
});

describe('verifyCsrSignature', () => {
  for (const type of ['ec-p256', 'ec-p384', 'rsa-2048', 'ed25519'] as const) {
    it(`answers the key of a request that its ${type} key signed`, () => {
      const signer = makeKey(type);
      const csr = assertValue(parseCsr(makeCsr({ key: signer })));
      assert.deepEqual([...assertValue(verifyCsrSignature(csr)).spki], [...signer.spki]);
    });
  }

  const HOSTILE: readonly [name: string, options: TestCsrOptions, code: ErrorCode][] = [
    ['a wrong signature', { signature: new Uint8Array(70) }, 'SIGNATURE_INVALID'],
    ['no signature', { signature: new Uint8Array() }, 'SIGNATURE_INVALID'],
    ['a signature by another key', { signer: otherKey }, 'SIGNATURE_INVALID'],
    ['MD5 with RSA', weak('1.2.840.113549.1.1.4'), 'SIGNATURE_ALGORITHM_WEAK'],
    ['SHA-1 with RSA', weak('1.2.840.113549.1.1.5'), 'SIGNATURE_ALGORITHM_WEAK'],
    ['SHA-1 with ECDSA', weak('1.2.840.10045.4.1'), 'SIGNATURE_ALGORITHM_WEAK'],
    ['an algorithm that does not exist', weak('1.2.3.4'), 'SIGNATURE_ALGORITHM'],
    [
      'an RSA algorithm over an EC key',
      { algorithm: signatureAlgorithmDer({ kind: 'rsa', hash: 'sha256' }) },
      'SIGNATURE_ALGORITHM_KEY',
    ],
    [
      'another hash than was signed',
      { algorithm: signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha384' }) },
      'SIGNATURE_INVALID',
    ],
  ];
  for (const [name, options, code] of HOSTILE) {
    it(`G-1 refuses ${name}`, () => {
      const csr = assertValue(parseCsr(makeCsr({ key, ...options })));
      assertRefused(verifyCsrSignature(csr), code);
    });
  }
});
