import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENROLMENT_BEGIN_MS, enrolmentCas, enrolmentWorld } from '../../test/support/enrolment.ts';
import { extensionRequest, makeCertificate, makeCsr, makeKey } from '../../test/support/x509.ts';
import type { CaRecord } from '../authority/x509-certificate.ts';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import { derElement, derOid, derSequence, derSetOf } from '../der/writer.ts';
import type { PolicyContext } from '../policy/context.ts';
import { type EnrolmentCaGrant, grantEnrolmentCa } from '../policy/enrolment-grants.ts';
import { basicConstraintsExtension } from '../x509/extension-writer.ts';
import { OID } from '../x509/oids.ts';
import { validatePath } from '../x509/path.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const DAY_SECONDS = 86_400;

/** Only whether the view is fresh is looked at. */
const FRESH = { stalenessMs: () => 0 } as PolicyContext['registry'];
const CONTEXT = { registry: FRESH, maxStalenessMs: 1 } as PolicyContext;

function leave(ttlSeconds = 0, vendor = 'zpa'): Result<EnrolmentCaGrant> {
  const caller = { kind: 'local', uid: 7, gid: 7, pid: 1 } as const;
  return grantEnrolmentCa(caller, { vendor, ttlSeconds }, CONTEXT);
}

const SUBJECT = { organization: 'Example', commonName: 'ZPA Connector CA' };

describe("a vendor's enrolment CA", () => {
  test('is signed for what the portal asks for: its subject and key, path length 0, no URIs', async () => {
    const world = enrolmentWorld();
    const cas = await enrolmentCas(world);
    const key = makeKey('rsa-2048');
    const extraExtensions = [basicConstraintsExtension(true, 0)];
    const csr = makeCsr({ key, subject: SUBJECT, extraExtensions });
    const { certificate, vendor } = unwrap(await cas.sign(unwrap(leave()), csr));
    const root = unwrap(await cas.root());
    assert.equal(vendor, 'zpa');
    assert.ok(equalBytes(certificate.publicKey.spki, key.spki));
    assert.deepEqual(certificate.basicConstraints, { critical: true, ca: true, pathLength: 0 });
    assert.equal(certificate.subjectAltName, undefined);
    assert.ok(equalBytes(certificate.issuerDer, root.subjectDer));
    assert.equal(certificate.notAfterMs, ENROLMENT_BEGIN_MS + 1825 * DAY_SECONDS * 1000);
    const again = await enrolmentCas(world);
    assert.deepEqual(
      again.list().map(({ certificate: { serialDecimal } }) => serialDecimal),
      [certificate.serialDecimal],
    );
  });

  test('RFC 5280 §4.2.1.10 a leaf below it holds without a URI, and with none of any kind', async () => {
    const world = enrolmentWorld();
    const cas = await enrolmentCas(world);
    const key = makeKey();
    const made = unwrap(await cas.sign(unwrap(leave()), makeCsr({ key, subject: SUBJECT })));
    const root = unwrap(await cas.root());
    const { subjectDer, subjectKeyId } = made.certificate;
    const issuer = { key, subjectDer, keyId: subjectKeyId! } as ReturnType<typeof makeCertificate>;
    const judge = (options: Parameters<typeof makeCertificate>[0]) =>
      code(
        validatePath({
          chain: [makeCertificate({ issuer, ...options }).certificate, made.certificate],
          roots: [root],
          atMs: ENROLMENT_BEGIN_MS,
        }),
      );
    assert.equal(judge({}), 'ok');
    assert.equal(judge({ dnsNames: ['connector.example.org'] }), 'ok');
    for (const uri of [
      'spiffe://example.org/web',
      'spiffe://other.example/web',
      'spiffe://example.org',
      'https://example.org/',
      'urn:uuid:0',
      'spiffe://10.0.0.1/web',
      'spiffe:///web',
      'spiffe://',
    ]) {
      assert.equal(judge({ uris: [uri] }), 'PATH_NAME_CONSTRAINTS', uri);
      assert.equal(judge({ dnsNames: ['a.example'], uris: [uri] }), 'PATH_NAME_CONSTRAINTS', uri);
    }
    const below = makeCertificate({ issuer, ca: true });
    const chain = [makeCertificate({ issuer: below }).certificate, below.certificate];
    const path = { chain: [...chain, made.certificate], roots: [root], atMs: ENROLMENT_BEGIN_MS };
    assert.equal(code(validatePath(path)), 'PATH_LENGTH');
  });

  test('I2 is on record before it is signed, with who asked and the vendor', async () => {
    const records: CaRecord[] = [];
    let refuse = false;
    const cas = await enrolmentCas(enrolmentWorld(), {
      recordCa: async (record) => {
        records.push(record);
        return refuse ? fail('LEDGER_IO', 'the disk is full') : ok(undefined);
      },
    });
    unwrap(await cas.root());
    refuse = true;
    const csr = makeCsr({ subject: SUBJECT });
    assert.equal(code(await cas.sign(unwrap(leave()), csr)), 'LEDGER_IO');
    assert.deepEqual(cas.list(), []);
    assert.deepEqual(
      records.map(({ requestedBy, purpose }) => [requestedBy, purpose]),
      [
        ['self', 'enrolment-root'],
        ['local:7', 'enrolment-ca:zpa'],
      ],
    );
  });

  test('needs leave by policy, for a vendor with a plain name and a life in range', async () => {
    const cas = await enrolmentCas(enrolmentWorld());
    const csr = makeCsr({ subject: SUBJECT });
    const forged = { vendor: 'zpa', requestedBy: 'x', ttlSeconds: 0 } as EnrolmentCaGrant;
    assert.equal(code(await cas.sign(forged, csr)), 'GRANT_FORGED');
    assert.equal(code(leave(0, 'Zscaler ZPA')), 'FIELD_INVALID');
    assert.equal(code(leave(0, '')), 'FIELD_INVALID');
    assert.equal(code(leave(0, 'a'.repeat(32))), 'ok');
    assert.equal(code(leave(0, 'a'.repeat(33))), 'FIELD_INVALID');
    assert.equal(code(await cas.sign(unwrap(leave(1825 * DAY_SECONDS)), csr)), 'ok');
    assert.equal(code(await cas.sign(unwrap(leave(1825 * DAY_SECONDS + 1)), csr)), 'TTL_RANGE');
  });

  test('X509-26 ends with the root at the latest, and is not made for a last hour', async () => {
    const world = enrolmentWorld();
    const cas = await enrolmentCas(world);
    const root = unwrap(await cas.root());
    world.clock.advance(root.notAfterMs - world.clock.nowMs() - DAY_SECONDS * 1000);
    const csr = makeCsr({ subject: SUBJECT });
    const { certificate } = unwrap(await cas.sign(unwrap(leave()), csr));
    assert.equal(certificate.notAfterMs, root.notAfterMs);
    world.clock.advance((DAY_SECONDS - 3599) * 1000);
    assert.equal(code(await cas.sign(unwrap(leave()), csr)), 'ENROLMENT_ROOT_ENDED');
  });
});

const stranger = makeKey();

/** A subject with one part of any kind. */
function subjectOf(oid: string, tag: number, value: string | Uint8Array): Uint8Array {
  const part = derSequence(derOid(oid), derElement(tag, Buffer.from(value)));
  return derSequence(derSetOf(part));
}

const UTF8 = 0x0c;
const HOSTILE: readonly (readonly [string, () => Uint8Array, string])[] = [
  ['no request', () => new Uint8Array(), 'FIELD_MISSING'],
  ['half a request', () => makeCsr({ subject: SUBJECT }).subarray(0, 60), 'DER_TRUNCATED'],
  ['a URI', () => makeCsr({ subject: SUBJECT, uris: ['spiffe://example.org'] }), 'ENROLMENT_CSR'],
  ['a DNS name', () => makeCsr({ subject: SUBJECT, dnsNames: ['a.example'] }), 'ENROLMENT_CSR'],
  ['an e-mail name', () => makeCsr({ subject: SUBJECT, emails: ['a@a.example'] }), 'ENROLMENT_CSR'],
  [
    'a leaf',
    () => makeCsr({ subject: SUBJECT, extraExtensions: [basicConstraintsExtension(false)] }),
    'ENROLMENT_CSR',
  ],
  [
    'a CA with CAs below it',
    () => makeCsr({ subject: SUBJECT, extraExtensions: [basicConstraintsExtension(true, 1)] }),
    'ENROLMENT_CSR',
  ],
  [
    'a CA twice',
    () =>
      makeCsr({
        subject: SUBJECT,
        extraExtensions: [basicConstraintsExtension(true), basicConstraintsExtension(true)],
      }),
    'CERTIFICATE_EXTENSION_TWICE',
  ],
  [
    'extensions twice',
    () => makeCsr({ subject: SUBJECT, attributes: [extensionRequest([]), extensionRequest([])] }),
    'CERTIFICATE_EXTENSION_TWICE',
  ],
  [
    'a foreign signature',
    () => makeCsr({ subject: SUBJECT, signer: stranger }),
    'SIGNATURE_INVALID',
  ],
  ['a short key', () => makeCsr({ subject: SUBJECT, key: makeKey('rsa-1024') }), 'KEY_RSA_SIZE'],
  ['P-521', () => makeCsr({ subject: SUBJECT, key: makeKey('ec-p521') }), 'KEY_ALGORITHM'],
  ['no subject', () => makeCsr({ subject: derSequence() }), 'ENROLMENT_CSR'],
  ['no name', () => makeCsr({ subject: { country: 'US' } }), 'ENROLMENT_CSR'],
  ['an ID', () => makeCsr({ subject: { commonName: 'SPIFFE://example.org' } }), 'ENROLMENT_CSR'],
  [
    'a line feed',
    () => makeCsr({ subject: subjectOf(OID.commonName, UTF8, 'a\nb') }),
    'ENROLMENT_CSR',
  ],
  [
    'a right-to-left mark',
    () => makeCsr({ subject: subjectOf(OID.commonName, UTF8, 'a\u202eb') }),
    'ENROLMENT_CSR',
  ],
  [
    'no UTF-8',
    () => makeCsr({ subject: subjectOf(OID.commonName, UTF8, Uint8Array.of(0xff, 0xfe)) }),
    'ENROLMENT_CSR',
  ],
  ['no text', () => makeCsr({ subject: subjectOf(OID.commonName, 0x04, 'a') }), 'ENROLMENT_CSR'],
  ['an odd part', () => makeCsr({ subject: subjectOf('2.5.4.41', UTF8, 'a') }), 'ENROLMENT_CSR'],
  [
    'a long part',
    () => makeCsr({ subject: subjectOf(OID.commonName, UTF8, 'a'.repeat(256)) }),
    'ENROLMENT_CSR',
  ],
];

for (const [what, csr, expected] of HOSTILE) {
  test(`G-1 G-3 a request with ${what} is ${expected}`, async () => {
    const cas = await enrolmentCas(enrolmentWorld());
    assert.equal(code(await cas.sign(unwrap(leave()), csr())), expected);
    assert.deepEqual(cas.list(), []);
  });
}

test('a part of 255 octets is taken', async () => {
  const cas = await enrolmentCas(enrolmentWorld());
  const csr = makeCsr({ subject: subjectOf(OID.commonName, UTF8, 'a'.repeat(255)) });
  assert.equal(code(await cas.sign(unwrap(leave()), csr)), 'ok');
});

test('no CA of a vendor has the key or the name of an authority of ours', async () => {
  const ours = makeCertificate({ ca: true });
  const cas = await enrolmentCas(enrolmentWorld(), { authorities: () => [ours.certificate] });
  const root = unwrap(await cas.root());
  for (const csr of [
    makeCsr({ subject: SUBJECT, key: ours.key }),
    makeCsr({ subject: ours.subjectDer }),
    makeCsr({ subject: root.subjectDer }),
  ]) {
    assert.equal(code(await cas.sign(unwrap(leave()), csr)), 'ENROLMENT_CSR');
  }
});
