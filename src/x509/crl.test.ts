import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  anyEntry,
  CRL_FROM_MS,
  CRL_UNTIL_MS,
  certificateIssuer,
  distributionPoint,
  EMPTY_LIST,
  makeAnyCrl,
  makeCrl,
  makeCrlSigner,
  plainExtensions,
  reasonCode,
  revokedEntry,
  SOMEBODY,
} from '../../test/support/crl.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { directoryName, makeIntermediate, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import { derNumber, derOctetString, derSequence, derTime, derUnsigned } from '../der/writer.ts';
import { parseCrl } from './crl.ts';
import { derExtension } from './extension-writer.ts';
import { OID } from './oids.ts';
import { signatureAlgorithmDer } from './signature.ts';

const root = makeRoot();
const signer = makeCrlSigner(root);
const issuing = makeIntermediate(root);

describe('a CRL that is written', () => {
  test('reads back as what it says', () => {
    const leaves = [makeLeaf(root), makeLeaf(issuing), makeLeaf(root)];
    const der = makeCrl(
      signer,
      leaves.map((leaf, i) => revokedEntry(leaf, [0, 1, 9][i])),
    );
    const crl = assertValue(parseCrl(der));
    assert.deepEqual(crl.der, der);
    assert.deepEqual([crl.number, crl.size, crl.indirect, crl.scope], [7n, 3, true, 'all']);
    assert.deepEqual([crl.thisUpdateMs, crl.nextUpdateMs], [CRL_FROM_MS, CRL_UNTIL_MS]);
    assert.deepEqual(Buffer.from(crl.signerCertificate?.der ?? []), Buffer.from(signer.der));
    for (const [i, { certificate }] of leaves.entries()) {
      const entry = crl.find(certificate.issuerDer, certificate.serial);
      assert.deepEqual(entry, { revokedAtMs: CRL_FROM_MS, reason: [0, 1, 9][i] });
      // The same number by another issuer is another certificate.
      assert.equal(crl.find(makeRoot().subjectDer, certificate.serial), undefined);
    }
  });

  test('without entries has no list of them (RFC 5280 §5.1.2.6)', () => {
    const crl = assertValue(parseCrl(makeCrl(signer, [])));
    assert.equal(crl.size, 0);
  });

  test('holds any serial numbers of any issuers', () => {
    const issuers = [root.subjectDer, issuing.subjectDer, makeRoot().subjectDer];
    const entry = fc.record({
      issuer: fc.integer({ min: 0, max: 2 }),
      serial: fc.uint8Array({ minLength: 1, maxLength: 19 }).filter((bytes) => bytes[0] !== 0),
      reason: fc.constantFrom(0, 1, 3, 4, 5, 9),
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 40 }), (entries) => {
        const revoked = entries.map(({ issuer, serial, reason }) => ({
          issuerDer: issuers[issuer]!,
          serial,
          reason,
          revokedAtMs: CRL_FROM_MS,
        }));
        const crl = assertValue(parseCrl(makeCrl(signer, revoked)));
        for (const { issuerDer, serial } of revoked) {
          assert.ok(crl.find(issuerDer, derUnsigned(serial).subarray(2)));
        }
      }),
      { numRuns: 50 },
    );
  });
});

const extended = (...more: Uint8Array[]) => ({ extensions: [...plainExtensions(signer), ...more] });
const indirect = distributionPoint([4]);
const UNKNOWN = '1.3.6.1.4.1.99999.1';
const other = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha384' });
const times = (...ms: number[]) => ({ times: Buffer.concat(ms.map(derTime)) });
const listed = (entry: Uint8Array, ...more: Uint8Array[]) => ({
  entries: derSequence(entry),
  ...extended(...more),
});
const number = (...octets: number[]) =>
  derExtension(OID.crlNumber, false, Uint8Array.of(2, octets.length, ...octets));
const access = (uri: string) =>
  derExtension(
    OID.authorityInfoAccess,
    false,
    derSequence(
      derSequence(
        Uint8Array.of(6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2),
        Buffer.concat([Uint8Array.of(0x86, uri.length), Buffer.from(uri)]),
      ),
    ),
  );

/** Name, what it is made of, and the code; none where it is to be read. */
const CASES: readonly [string, Parameters<typeof makeAnyCrl>[1], ErrorCode | undefined][] = [
  ['the least there may be', {}, undefined],
  ['version 1: absent', { version: new Uint8Array() }, 'CRL_MALFORMED'],
  ['version 1: written out', { version: derNumber(0) }, 'CRL_MALFORMED'],
  ['version 3', { version: derNumber(2) }, 'CRL_MALFORMED'],
  ['another algorithm inside', { innerAlgorithm: other }, 'CRL_MALFORMED'],
  ['no issuer', { issuerDer: derSequence() }, 'CRL_MALFORMED'],
  ['no nextUpdate', times(CRL_FROM_MS), 'CRL_MALFORMED'],
  ['ends where it begins', times(CRL_FROM_MS, CRL_FROM_MS), undefined],
  ['ends before it begins', times(CRL_FROM_MS, CRL_FROM_MS - 1000), 'CRL_MALFORMED'],
  ['an empty list of entries', { entries: EMPTY_LIST }, 'CRL_MALFORMED'],
  ['no extensions', { extensions: [] }, 'DER_TRUNCATED'],
  ['no CRL number', { extensions: plainExtensions(signer).slice(0, 1) }, 'CRL_MALFORMED'],
  [
    'no authority key identifier',
    { extensions: plainExtensions(signer).slice(1) },
    'CRL_MALFORMED',
  ],
  ['an extension twice', extended(number(9)), 'CRL_MALFORMED'],
  [
    'a CRL number of 20 octets',
    { extensions: [plainExtensions(signer)[0]!, number(...Array(20).fill(0x7f))] },
    undefined,
  ],
  [
    'a CRL number of 21 octets',
    { extensions: [plainExtensions(signer)[0]!, number(...Array(21).fill(0x7f))] },
    'CRL_MALFORMED',
  ],
  [
    'a negative CRL number',
    { extensions: [plainExtensions(signer)[0]!, number(0x80)] },
    'CRL_MALFORMED',
  ],
  ['an unknown extension', extended(derExtension(UNKNOWN, false, derNumber(1))), undefined],
  [
    'an unknown critical extension',
    extended(derExtension(UNKNOWN, true, derNumber(1))),
    'CRL_CRITICAL_EXTENSION',
  ],
  [
    'a delta (RFC 5280 §5.2.4)',
    extended(derExtension('2.5.29.27', true, derNumber(1))),
    'CRL_CRITICAL_EXTENSION',
  ],
  ['for leaves', extended(distributionPoint([1])), undefined],
  ['for authorities', extended(distributionPoint([2])), undefined],
  ['for leaves and for authorities only', extended(distributionPoint([1, 2])), 'CRL_MALFORMED'],
  ['for some reasons', extended(distributionPoint([3])), 'CRL_SCOPE'],
  ['for attribute certificates', extended(distributionPoint([5])), 'CRL_SCOPE'],
  ['fields out of order', extended(distributionPoint([4, 1])), 'DER_TRAILING_BYTES'],
  [
    'a distribution point that is not critical',
    extended(distributionPoint([4], false)),
    'CRL_MALFORMED',
  ],
  ['an entry', listed(anyEntry()), undefined],
  ['an entry with a reason', listed(anyEntry(reasonCode(10))), undefined],
  ['reason 7, which is not used', listed(anyEntry(reasonCode(7))), 'CRL_MALFORMED'],
  ['reason 8, for deltas only', listed(anyEntry(reasonCode(8))), 'CRL_MALFORMED'],
  ['reason 11', listed(anyEntry(reasonCode(11))), 'CRL_MALFORMED'],
  ['a reason twice', listed(anyEntry(reasonCode(1), reasonCode(1))), 'CRL_MALFORMED'],
  [
    'an entry with an unknown extension',
    listed(anyEntry(derExtension(UNKNOWN, false, derNumber(1)))),
    undefined,
  ],
  [
    'an entry with an unknown critical extension',
    listed(anyEntry(derExtension(UNKNOWN, true, derNumber(1)))),
    'CRL_CRITICAL_EXTENSION',
  ],
  [
    'an issuer in an indirect CRL',
    listed(anyEntry(certificateIssuer(true, SOMEBODY)), indirect),
    undefined,
  ],
  [
    'an issuer in a direct CRL',
    listed(anyEntry(certificateIssuer(true, SOMEBODY))),
    'CRL_MALFORMED',
  ],
  [
    'an issuer that is not critical',
    listed(anyEntry(certificateIssuer(false, SOMEBODY)), indirect),
    'CRL_MALFORMED',
  ],
  [
    'two issuers',
    listed(anyEntry(certificateIssuer(true, SOMEBODY, directoryName({ country: 'CH' }))), indirect),
    'CRL_MALFORMED',
  ],
  [
    'an issuer that is no name',
    listed(anyEntry(certificateIssuer(true, Uint8Array.of(0x86, 1, 0x61))), indirect),
    'CRL_MALFORMED',
  ],
  [
    'a serial number of 21 octets',
    listed(derSequence(derUnsigned(new Uint8Array(21).fill(1)), derTime(CRL_FROM_MS))),
    'CRL_MALFORMED',
  ],
  [
    'a negative serial number',
    listed(derSequence(Uint8Array.of(2, 1, 0x80), derTime(CRL_FROM_MS))),
    'CRL_MALFORMED',
  ],
  ['an entry without a date', listed(derSequence(derNumber(5))), 'DER_TAG'],
  [
    'an entry with bytes after it',
    listed(
      derSequence(derNumber(5), derTime(CRL_FROM_MS), derSequence(reasonCode(1)), derNumber(1)),
    ),
    'DER_TRAILING_BYTES',
  ],
  ['its signer elsewhere: not fetched', extended(access('http://x.example/crl.cer')), undefined],
  [
    'its signer is junk',
    extended(access('data:application/pkix-cert;base64,AAAA')),
    'CRL_MALFORMED',
  ],
  [
    'a value that is no extension',
    extended(derExtension(OID.authorityInfoAccess, false, derOctetString())),
    'DER_TAG',
  ],
];

describe('a CRL that comes from outside', () => {
  for (const [name, options, code] of CASES) {
    test(`${code === undefined ? 'reads' : 'refuses'} ${name}`, () => {
      const parsed = parseCrl(makeAnyCrl(signer, options));
      if (code === undefined) assertValue(parsed);
      else assertRefused(parsed, code);
    });
  }

  test('refuses one that is longer than allowed, by a byte', () => {
    const der = makeCrl(signer, [revokedEntry(makeLeaf(root))]);
    assertValue(parseCrl(der, der.length));
    assertRefused(parseCrl(der, der.length - 1), 'DER_TOO_LARGE');
  });

  test('answers every cut and every flipped bit with a value or a code', () => {
    const der = makeCrl(signer, [revokedEntry(makeLeaf(root)), revokedEntry(makeLeaf(issuing))]);
    for (let length = 0; length < der.length; length++) {
      assert.equal(parseCrl(der.subarray(0, length)).ok, false);
    }
    for (let at = 0; at < der.length * 8; at++) {
      const flipped = new Uint8Array(der);
      flipped[at >> 3] = (flipped[at >> 3] ?? 0) ^ (1 << (at & 7));
      const parsed = parseCrl(flipped);
      if (!parsed.ok) assert.notEqual(parsed.error.code, 'INTERNAL');
    }
  });
});
