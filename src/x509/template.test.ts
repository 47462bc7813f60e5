import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { assertValue } from '../../test/support/refused.ts';
import { makeKey, signWith, type TestKey } from '../../test/support/x509.ts';
import { seededRandom } from '../base/random.ts';
import { DerCursor } from '../der/reader.ts';
import { buildCaTbs, type CaFields, caSubjectDer } from './ca-template.ts';
import { parseCertificate } from './certificate.ts';
import { subjectKeyId } from './key-id.ts';
import { readName } from './name.ts';
import { derName } from './name-writer.ts';
import { OID } from './oids.ts';
import { validatePath } from './path.ts';
import { drawSerial, serialToDecimal } from './serial.ts';
import { schemeForKeyType, signatureAlgorithmDer } from './signature.ts';
import {
  assembleCertificate,
  buildLeafTbs,
  createLeafTemplate,
  type LeafFields,
} from './template.ts';
import type { Certificate } from './types.ts';

const NOW_MS = Date.UTC(2026, 10, 22, 12, 0, 0);
const HOUR_MS = 3_600_000;
const leafKey = makeKey();
const random = seededRandom(7);

function algorithmOf(key: TestKey): Uint8Array {
  const { type } = key.publicKey;
  assert.notEqual(type, 'unknown');
  return signatureAlgorithmDer(schemeForKeyType(type as Exclude<typeof type, 'unknown'>));
}

function makeCa(key: TestKey, fields: Partial<CaFields> = {}, signer = key): Certificate {
  const signatureAlgorithm = algorithmOf(signer);
  const tbs = buildCaTbs({
    serial: drawSerial(random),
    notBeforeMs: NOW_MS - 10_000,
    notAfterMs: NOW_MS + 24 * HOUR_MS,
    spki: key.spki,
    keyId: subjectKeyId(key.publicKey),
    uri: 'spiffe://example.org',
    signatureAlgorithm,
    ...fields,
  });
  const der = assembleCertificate(tbs, signatureAlgorithm, signWith(signer, tbs));
  return assertValue(parseCertificate(der));
}

function makeLeafOf(
  ca: Certificate,
  caKey: TestKey,
  fields: Partial<LeafFields> = {},
): Certificate {
  const signatureAlgorithm = algorithmOf(caKey);
  const template = createLeafTemplate({
    subjectDer: ca.subjectDer,
    keyId: subjectKeyId(caKey.publicKey),
    signatureAlgorithm,
  });
  const tbs = buildLeafTbs(template, {
    serial: drawSerial(random),
    notBeforeMs: NOW_MS - 10_000,
    notAfterMs: NOW_MS + HOUR_MS,
    spki: leafKey.spki,
    keyId: subjectKeyId(leafKey.publicKey),
    uri: 'spiffe://example.org/web',
    dnsNames: [],
    ...fields,
  });
  const der = assembleCertificate(tbs, signatureAlgorithm, signWith(caKey, tbs));
  return assertValue(parseCertificate(der));
}

/** Attributes of a name as `oid=text`. */
function nameTexts(nameDer: Uint8Array): string[] {
  return readName(new DerCursor(nameDer), 'name')
    .flat()
    .map(({ oid, value }) => `${oid}=${Buffer.from(value).toString()}`);
}

const C_US = `${OID.country}=US`;

describe('leaf template', () => {
  const caKey = makeKey();
  const ca = makeCa(caKey);

  it('X509-1 X509-7 to X509-12 X509-27 writes the SVID profile, extension by extension', () => {
    const serial = Buffer.alloc(16, 0xff);
    const leaf = makeLeafOf(ca, caKey, { serial, dnsNames: ['a.test', 'b.test'] });
    assert.equal(leaf.serialDecimal, (2n ** 128n - 1n).toString());
    assert.deepEqual([...leaf.issuerDer], [...ca.subjectDer]);
    assert.deepEqual([...leaf.publicKey.spki], [...leafKey.spki]);
    assert.equal(leaf.notBeforeMs, NOW_MS - 10_000);
    assert.equal(leaf.notAfterMs, NOW_MS + HOUR_MS);
    assert.deepEqual(leaf.keyUsage, {
      critical: true,
      digitalSignature: true,
      contentCommitment: false,
      keyEncipherment: true,
      dataEncipherment: false,
      keyAgreement: true,
      keyCertSign: false,
      crlSign: false,
      encipherOnly: false,
      decipherOnly: false,
    });
    assert.deepEqual(leaf.extendedKeyUsage, [OID.serverAuth, OID.clientAuth]);
    const noCa = { critical: true, ca: false, pathLength: undefined };
    assert.deepEqual(leaf.basicConstraints, noCa);
    assert.deepEqual(leaf.subjectKeyId, new Uint8Array(subjectKeyId(leafKey.publicKey)));
    assert.deepEqual(leaf.authorityKeyId, new Uint8Array(subjectKeyId(caKey.publicKey)));
    assert.deepEqual(leaf.subjectAltName, {
      critical: false,
      names: [
        { kind: 'uri', text: 'spiffe://example.org/web' },
        { kind: 'dns', text: 'a.test' },
        { kind: 'dns', text: 'b.test' },
      ],
    });
    assert.equal(leaf.extensions.length, 6);
  });

  it('names the leaf as SPIRE does: C, O, and the first DNS name as CN', () => {
    const organization = `${OID.organization}=SPIRE`;
    assert.deepEqual(nameTexts(makeLeafOf(ca, caKey).subjectDer), [C_US, organization]);
    const named = makeLeafOf(ca, caKey, { dnsNames: ['a.test', 'b.test'] });
    const commonName = `${OID.commonName}=a.test`;
    assert.deepEqual(nameTexts(named.subjectDer), [C_US, organization, commonName]);
  });

  it('leaves the common name out where the DNS name is longer than 64 characters', () => {
    for (const [length, attributes] of [
      [64, 3],
      [65, 2],
    ] as const) {
      const leaf = makeLeafOf(ca, caKey, { dnsNames: ['a'.repeat(length)] });
      assert.equal(nameTexts(leaf.subjectDer).length, attributes);
      assert.equal(leaf.subjectAltName?.names.length, 2);
    }
  });

  it('holds a SPIFFE ID of 2048 bytes and a time after 2049', () => {
    const uri = `spiffe://example.org/${'a'.repeat(2048 - 21)}`;
    const notAfterMs = Date.UTC(2050, 0, 1);
    const leaf = makeLeafOf(ca, caKey, { uri, notAfterMs });
    assert.equal(leaf.notAfterMs, notAfterMs);
    assert.deepEqual(leaf.subjectAltName?.names[0], { kind: 'uri', text: uri });
  });

  it('treats text that is not ASCII as a mistake of the caller', () => {
    assert.throws(() => makeLeafOf(ca, caKey, { uri: 'spiffe://exämple.org/x' }), TypeError);
    assert.throws(() => makeLeafOf(ca, caKey, { dnsNames: ['ä.test'] }), TypeError);
  });

  it('gives a certificate memory of its own, so that it can go to another thread', () => {
    const der = assembleCertificate(Uint8Array.of(0x30, 0), algorithmOf(caKey), Uint8Array.of(1));
    assert.equal(der.buffer.byteLength, der.length);
  });

  for (const type of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    it(`validates under an authority of ${type}, and OpenSSL agrees`, () => {
      const key = makeKey(type);
      const root = makeCa(key);
      const leaf = makeLeafOf(root, key);
      assertValue(validatePath({ chain: [leaf], roots: [root], atMs: NOW_MS }));
      const issuer = new X509Certificate(root.der);
      const parsed = new X509Certificate(leaf.der);
      assert.equal(parsed.verify(issuer.publicKey), true);
      assert.equal(parsed.checkIssued(issuer), true);
    });
  }
});

describe('CA template', () => {
  const rootKey = makeKey();

  it('X509-8 X509-13 X509-14 X509-16 ID-18 writes a self-signed root', () => {
    const serial = Buffer.from('0102030405060708090a0b0c0d0e0f10', 'hex');
    const root = makeCa(rootKey, { serial });
    assert.deepEqual([...root.issuerDer], [...root.subjectDer]);
    assert.deepEqual(nameTexts(root.subjectDer), [
      C_US,
      `${OID.organization}=SPIFFE`,
      `${OID.serialNumber}=${serialToDecimal(serial)}`,
    ]);
    assert.deepEqual(root.basicConstraints, { critical: true, ca: true, pathLength: undefined });
    const { critical, keyCertSign, crlSign, digitalSignature } = root.keyUsage ?? {};
    assert.deepEqual([critical, keyCertSign, crlSign, digitalSignature], [true, true, true, false]);
    assert.deepEqual(root.subjectAltName?.names, [{ kind: 'uri', text: 'spiffe://example.org' }]);
    assert.deepEqual(root.subjectKeyId, new Uint8Array(subjectKeyId(rootKey.publicKey)));
    assert.equal(root.authorityKeyId, undefined);
    assert.equal(root.extendedKeyUsage, undefined);
  });

  it('writes an intermediate that names its issuer', () => {
    const root = makeCa(rootKey);
    const issuer = { subjectDer: root.subjectDer, keyId: subjectKeyId(rootKey.publicKey) };
    const key = makeKey();
    const subject = { country: 'DE', organization: 'Signet', organizationalUnit: 'DOWNSTREAM-1' };
    const intermediate = makeCa(key, { issuer, pathLength: 0, subject }, rootKey);
    assert.deepEqual([...intermediate.issuerDer], [...root.subjectDer]);
    assert.deepEqual(intermediate.authorityKeyId, root.subjectKeyId);
    assert.equal(intermediate.basicConstraints?.pathLength, 0);
    assert.deepEqual(nameTexts(intermediate.subjectDer).slice(0, 3), [
      `${OID.country}=DE`,
      `${OID.organization}=Signet`,
      `${OID.organizationalUnit}=DOWNSTREAM-1`,
    ]);
    const leaf = makeLeafOf(intermediate, key);
    assertValue(validatePath({ chain: [leaf, intermediate], roots: [root], atMs: NOW_MS }));
  });

  it('gives each authority its own name', () => {
    const one = caSubjectDer(Uint8Array.of(1));
    assert.notDeepEqual([...one], [...caSubjectDer(Uint8Array.of(2))]);
    const common = derName({ organization: 'X', commonName: 'Y', serialNumber: '1' });
    const subject = { organization: 'X', commonName: 'Y', country: '' };
    assert.deepEqual([...caSubjectDer(Uint8Array.of(1), subject)], [...common]);
  });
});

describe('serial numbers', () => {
  it('have 16 random bytes and are never zero', () => {
    const answers = [new Uint8Array(16), new Uint8Array(16).fill(9)];
    const serial = drawSerial({ bytes: () => answers.shift() ?? new Uint8Array() });
    assert.deepEqual([...serial], Array(16).fill(9));
  });

  it('read as decimal numbers of any size', () => {
    assert.equal(serialToDecimal(Uint8Array.of()), '0');
    assert.equal(serialToDecimal(Uint8Array.of(0, 1, 0)), '256');
    assert.equal(serialToDecimal(new Uint8Array(16).fill(255)), (2n ** 128n - 1n).toString());
  });
});
