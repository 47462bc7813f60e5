import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeKey, makeRoot } from '../../test/support/x509.ts';
import { ok, type Result, unwrap } from '../base/result.ts';
import { encodeJwtSvidHeader, encodeJwtSvidInput } from '../spiffe/jwt-svid-encoding.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import { buildLeafTbs, createLeafTemplate } from '../x509/template.ts';
import { lintJwt, lintLeaf, redeem } from './gate.ts';
import type { LeafExpectation } from './leaf-lints.ts';
import { onlyLinted } from './linted-key.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const id = (path: string) => unwrap(parseSpiffeId(`spiffe://example.org${path}`));

const root = makeRoot();
const key = makeKey();
const OTHER_ALGORITHM = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha384' });
const signatureAlgorithm = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' });
const fields = {
  serial: Uint8Array.of(0x80, 2, 3),
  notBeforeMs: 1_800_000_000_000,
  notAfterMs: 1_800_003_600_000,
  spki: key.spki,
  keyId: subjectKeyId(key.publicKey),
  dnsNames: ['a.example.org', 'b.example.org'],
};
const template = createLeafTemplate({
  subjectDer: root.subjectDer,
  keyId: root.keyId,
  signatureAlgorithm,
});
const expected: LeafExpectation = {
  ...fields,
  id: id('/web'),
  issuer: {
    subjectDer: root.subjectDer,
    keyId: root.keyId,
    spki: root.key.spki,
    signatureAlgorithm,
    notBeforeMs: root.certificate.notBeforeMs,
    notAfterMs: root.certificate.notAfterMs,
  },
};
const tbs = buildLeafTbs(template, { ...fields, uri: expected.id.uri });

describe('lint of certificates', () => {
  test('I3 a token is good for one signature', () => {
    const token = unwrap(lintLeaf(tbs, expected));
    assert.deepEqual(Buffer.from(unwrap(redeem(token, root.key.spki))), Buffer.from(tbs));
    assert.equal(code(redeem(token, root.key.spki)), 'LINT_TOKEN_USED');
    assert.equal(code(redeem(token, root.key.spki)), 'LINT_TOKEN_USED');
  });

  test('what is signed is what was read, though the builder’s bytes change later', () => {
    const mine = Uint8Array.from(tbs);
    const token = unwrap(lintLeaf(mine, expected));
    mine.fill(0);
    assert.deepEqual(Buffer.from(unwrap(redeem(token, root.key.spki))), Buffer.from(tbs));
  });

  const other = makeKey();
  const mismatches: readonly [string, Partial<LeafExpectation>][] = [
    ['SPIFFE ID', { id: id('/other') }],
    ['serial', { serial: Uint8Array.of(0x80, 2, 4) }],
    ['serial without its first octet', { serial: Uint8Array.of(2, 3) }],
    ['key', { spki: other.spki }],
    ['subject key identifier', { keyId: subjectKeyId(other.publicKey) }],
    ['beginning', { notBeforeMs: expected.notBeforeMs - 1000 }],
    ['end', { notAfterMs: expected.notAfterMs + 1000 }],
    [
      'issuer',
      { issuer: { ...expected.issuer, subjectDer: makeRoot('other.example').subjectDer } },
    ],
    ['issuer key identifier', { issuer: { ...expected.issuer, keyId: new Uint8Array(20) } }],
    ['set of DNS names', { dnsNames: ['a.example.org'] }],
    ['order of DNS names', { dnsNames: fields.dnsNames.toReversed() }],
    [
      'signature algorithm',
      { issuer: { ...expected.issuer, signatureAlgorithm: OTHER_ALGORITHM } },
    ],
  ];
  for (const [name, change] of mismatches) {
    test(`refuses a body with another ${name} than was asked for`, () => {
      assert.equal(code(lintLeaf(tbs, { ...expected, ...change })), 'LINT_REFUSED');
    });
  }

  const subjects: readonly [string, string, string][] = [
    ['organization', 'SPIRE', 'SPIRF'],
    ['country', 'US', 'UT'],
    ['common name', 'a.example.org', 'root.exam.org'],
  ];
  for (const [name, from, to] of subjects) {
    test(`refuses a body whose subject has another ${name}`, () => {
      const changed = Buffer.from(tbs);
      // The subject stands last before the key, the alternative names after it.
      changed.write(to, changed.lastIndexOf(from, changed.indexOf(key.spki)), 'latin1');
      assert.equal(code(lintLeaf(changed, expected)), 'LINT_REFUSED');
    });
  }

  const label = 'a'.repeat(59);
  for (const dnsNames of [[], [`${label}.orgs`], [`${label}.orgss`], ['b.org', 'a.org']]) {
    test(`takes the builder's subject for ${JSON.stringify(dnsNames)}`, () => {
      const body = buildLeafTbs(template, { ...fields, dnsNames, uri: expected.id.uri });
      assert.equal(code(lintLeaf(body, { ...expected, dnsNames })), 'ok');
    });
  }

  test('refuses a body with any one octet cut off or changed to end elsewhere', () => {
    for (let at = 0; at < tbs.length; at++) {
      const broken = Buffer.concat([tbs.subarray(0, at), tbs.subarray(at + 1)]);
      assert.equal(code(lintLeaf(broken, expected)), 'LINT_REFUSED', `octet ${at}`);
    }
  });

  test('lets no changed bit through that changes what the certificate says', () => {
    for (let bit = 0; bit < tbs.length * 8; bit++) {
      const flipped = Uint8Array.from(tbs);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const linted = lintLeaf(flipped, expected);
      assert.equal(code(linted), 'LINT_REFUSED', `bit ${bit} of octet ${bit >> 3}`);
    }
  });
});

describe('lint of tokens', () => {
  const claims = {
    id: id('/web'),
    audience: ['db', 'cache'],
    issuedAtSeconds: 1_800_000_000,
    expiresAtSeconds: 1_800_000_300,
    issuer: 'https://issuer.example.org',
    jwtId: 'x',
  };
  const header = encodeJwtSvidHeader('ES256', 'k');
  const input = encodeJwtSvidInput(header, claims);
  const signer = { spki: root.key.spki, header };

  test('I3 a token is good for one signature', () => {
    const token = unwrap(lintJwt(input, claims, signer));
    assert.deepEqual(unwrap(redeem(token, root.key.spki)), Buffer.from(input));
    assert.equal(code(redeem(token, root.key.spki)), 'LINT_TOKEN_USED');
  });

  const mismatches: readonly [string, object][] = [
    ['subject', { id: id('/other') }],
    ['audience', { audience: ['db'] }],
    ['audience order', { audience: ['cache', 'db'] }],
    ['issue time', { issuedAtSeconds: 1_800_000_001 }],
    ['expiry', { expiresAtSeconds: 1_800_000_301 }],
    ['issuer', { issuer: 'https://other.example.org' }],
    ['token id', { jwtId: 'y' }],
    ['no issuer', { issuer: undefined }],
    ['no token id', { jwtId: undefined }],
  ];
  for (const [name, change] of mismatches) {
    test(`refuses claims with another ${name} than was asked for`, () => {
      assert.equal(code(lintJwt(input, { ...claims, ...change }, signer)), 'LINT_REFUSED');
    });
  }

  test('refuses the header of another key or algorithm', () => {
    for (const other of [encodeJwtSvidHeader('ES256', 'l'), encodeJwtSvidHeader('ES384', 'k')]) {
      const linted = lintJwt(encodeJwtSvidInput(other, claims), claims, signer);
      assert.equal(code(linted), 'LINT_REFUSED');
      assert.equal(linted.ok ? '' : linted.error.details?.lints, 'jwt-header');
    }
  });

  test('refuses a token that ends when it begins', () => {
    const empty = { ...claims, expiresAtSeconds: claims.issuedAtSeconds };
    assert.equal(code(lintJwt(encodeJwtSvidInput(header, empty), empty, signer)), 'LINT_REFUSED');
  });

  test('refuses a claim that nobody asked for', () => {
    const json = JSON.parse(Buffer.from(input.split('.')[1]!, 'base64url').toString());
    const more = Buffer.from(JSON.stringify({ ...json, admin: true })).toString('base64url');
    assert.equal(code(lintJwt(`${header}.${more}`, claims, signer)), 'LINT_REFUSED');
  });
});

describe('keys behind the gate', () => {
  const spy = { asked: 0 };
  const key = onlyLinted({
    slot: 'x',
    type: 'ec-p256',
    publicKeySpki: root.key.spki,
    sign: async () => {
      spy.asked += 1;
      return ok(new Uint8Array(70));
    },
    exportPkcs8: () => undefined,
  });
  const options = { hash: 'sha256', encoding: 'der' } as const;

  test('I3 sign once for a token', async () => {
    const token = unwrap(lintLeaf(tbs, expected));
    const signed = unwrap(await key.sign(token, options));
    assert.deepEqual(Buffer.from(signed.body), Buffer.from(tbs));
    assert.equal(code(await key.sign(token, options)), 'LINT_TOKEN_USED');
    assert.equal(spy.asked, 1);
  });

  test('I3 sign nothing for a token that was made for another key, which then is used up', async () => {
    const { spki } = makeKey();
    const token = unwrap(lintLeaf(tbs, { ...expected, issuer: { ...expected.issuer, spki } }));
    assert.equal(code(await key.sign(token, options)), 'LINT_TOKEN_KEY');
    assert.equal(code(redeem(token, spki)), 'LINT_TOKEN_USED');
    assert.equal(spy.asked, 1);
  });

  test('say whether the private key is in this process', () => {
    assert.equal(key.local, false);
    assert.equal(key.exportPkcs8(), undefined);
  });
});
