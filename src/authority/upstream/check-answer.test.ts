import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TRUST_DOMAIN } from '../../../test/support/issuance.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeRoot,
  nameConstraintsExtension,
  type TestCertificate,
} from '../../../test/support/x509.ts';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/result.ts';
import { derAscii } from '../../der/writer.ts';
import { GENERAL_NAME_TAG } from '../../x509/general-name.ts';
import { OID } from '../../x509/oids.ts';
import { checkAnswer } from './check-answer.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const key = makeKey();
const uris = ['spiffe://example.org'];
const root = makeRoot('example.org', { uris: [] });
const middle = makeIntermediate(root);
const own = makeIntermediate(middle, { key, uris });

const uriName = (host: string) => derAscii(GENERAL_NAME_TAG.uri, host);

const hex = (list: readonly { readonly der: Uint8Array }[]) => list.map(({ der }) => toHex(der));

const judge = (
  chain: readonly TestCertificate[],
  roots: readonly TestCertificate[] = [root],
  { nowMs = NOW_MS, casBelow = 0 } = {},
) =>
  checkAnswer(
    { chain: chain.map(({ der }) => der), roots: roots.map(({ der }) => der) },
    { trustDomain: TRUST_DOMAIN, spki: key.spki, nowMs, casBelow },
  );

describe('answers of upstream authorities', () => {
  test('B6 X509-25 are taken with the CAs between ours and the root, and with the first end', () => {
    const short = makeIntermediate(root, { notAfterMs: NOW_MS + 60_000 });
    const ca = makeIntermediate(short, { key, uris });
    const other = makeRoot('example.org', { uris: [] });
    const checked = unwrap(judge([ca, short], [other, root]));
    assert.deepEqual(hex([checked.certificate]), hex([ca]));
    assert.deepEqual(hex(checked.intermediates), hex([short]));
    assert.deepEqual(hex(checked.roots), hex([root, other]));
    assert.equal(checked.notAfterMs, NOW_MS + 60_000);
  });

  test('B6 may have their chain in any order, and end with the root', () => {
    const inner = makeIntermediate(middle);
    const ca = makeIntermediate(inner, { key, uris });
    const { intermediates } = unwrap(judge([ca, middle, root, inner]));
    assert.deepEqual(hex(intermediates), hex([inner, middle]));
  });

  const foreign = makeRoot('other.org');
  const limited = makeIntermediate(root, { pathLength: 0 });
  const deep = makeIntermediate(root, { pathLength: 1 });
  const cases: readonly [string, () => ReturnType<typeof judge>, RegExp][] = [
    ['an empty chain', () => judge([]), /empty/],
    ['no root', () => judge([own, middle], []), /no root/],
    ['another key', () => judge([makeIntermediate(middle, { uris }), middle]), /another key/],
    ['a missing intermediate', () => judge([own]), /no valid path/],
    ['a foreign root', () => judge([own, middle], [foreign]), /no valid path/],
    ['an idle certificate', () => judge([own, middle, foreign]), /leads nowhere/],
    [
      'an intermediate that has ended',
      () => judge([own, middle], [root], { nowMs: Date.UTC(2050, 1, 1) }),
      /no valid path/,
    ],
    [
      'a life of seconds',
      () => judge([makeIntermediate(root, { key, uris, notAfterMs: NOW_MS + 9000 })]),
      /ends within seconds/,
    ],
    ['no CA flag', () => judge([makeCertificate({ issuer: root, key, uris })]), /ca-flag/],
    [
      'a key usage without certificates',
      () => judge([makeIntermediate(root, { key, uris, keyUsage: ['crlSign'] })]),
      /foreign-ca-signs/,
    ],
    [
      'a key usage of leaves beside',
      () =>
        judge([
          makeIntermediate(root, { key, uris, keyUsage: ['keyCertSign', 'digitalSignature'] }),
        ]),
      /ca-no-leaf-usage/,
    ],
    [
      'an extended key usage',
      () => judge([makeIntermediate(root, { key, uris, extendedKeyUsage: [OID.serverAuth] })]),
      /ca-no-extended-usage/,
    ],
    ['no SPIFFE ID', () => judge([makeIntermediate(root, { key })]), /ca-spiffe-id/],
    [
      'the SPIFFE ID of another trust domain',
      () => judge([makeIntermediate(root, { key, uris: ['spiffe://other.org'] })]),
      /ca-spiffe-id/,
    ],
    [
      'a SPIFFE ID with a path',
      () => judge([makeIntermediate(root, { key, uris: ['spiffe://example.org/ca'] })]),
      /ca-spiffe-id/,
    ],
    [
      'a DNS name beside: a CA of something outside SPIFFE',
      () => judge([makeIntermediate(root, { key, uris, dnsNames: ['ca.example.org'] })]),
      /ca-spiffe-id/,
    ],
    [
      'a CA above it of another trust domain',
      () => {
        const above = makeIntermediate(root, { uris: ['spiffe://other.org'] });
        return judge([makeIntermediate(above, { key, uris }), above]);
      },
      /another trust domain/,
    ],
    [
      'name constraints of its own that leave out the trust domain',
      () => {
        const extraExtensions = [nameConstraintsExtension([uriName('other.org')])];
        return judge([makeIntermediate(root, { key, uris, extraExtensions })]);
      },
      /name constraints/,
    ],
    [
      'name constraints above it that leave out the trust domain',
      () => {
        const extraExtensions = [nameConstraintsExtension([uriName('other.org')])];
        const above = makeIntermediate(root, { extraExtensions });
        return judge([makeIntermediate(above, { key, uris }), above]);
      },
      /no valid path/,
    ],
    [
      'a path length of 0 above it',
      () => judge([makeIntermediate(limited, { key, uris }), limited]),
      /leaves no room/,
    ],
    [
      'a path length above it that an issuing CA would exceed',
      () => judge([makeIntermediate(deep, { key, uris }), deep], [root], { casBelow: 1 }),
      /leaves no room/,
    ],
    [
      'a path length of its own that an issuing CA would exceed',
      () => judge([makeIntermediate(root, { key, uris, pathLength: 0 })], [root], { casBelow: 1 }),
      /too short/,
    ],
    [
      'a signature that does not verify',
      () => {
        const broken = makeIntermediate(root, { key, uris, signature: Buffer.alloc(70, 1) });
        return judge([broken]);
      },
      /no valid path/,
    ],
  ];
  for (const [name, run, why] of cases) {
    test(`B6 are refused with ${name}`, () => {
      const result = run();
      assert.ok(!result.ok);
      assert.equal(result.error.code, 'UPSTREAM_ANSWER_INVALID');
      assert.match(result.error.message, why);
    });
  }

  test('RFC 5280 §4.2.1.10 may have name constraints that permit the trust domain', () => {
    const extraExtensions = [nameConstraintsExtension([uriName('example.org')])];
    assert.ok(judge([makeIntermediate(root, { key, uris, extraExtensions })]).ok);
  });

  test('RFC 5280 §4.2.1.9 fit exactly with the room that is needed', () => {
    const enough = makeIntermediate(deep, { key, uris, pathLength: 0 });
    assert.ok(judge([enough, deep]).ok);
    const wider = makeIntermediate(root, { pathLength: 2 });
    const ca = makeIntermediate(wider, { key, uris, pathLength: 1 });
    assert.ok(judge([ca, wider], [root], { casBelow: 1 }).ok);
  });
});
