import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { enrolmentCas, enrolmentWorld } from '../../test/support/enrolment.ts';
import {
  makeCsr,
  makeKey,
  nameConstraintsExtension,
  sanExtension,
} from '../../test/support/x509.ts';
import { systemRandom } from '../base/random.ts';
import { type Result, unwrap } from '../base/result.ts';
import {
  derBitString,
  derElement,
  derNull,
  derOid,
  derSequence,
  derUnsigned,
} from '../der/writer.ts';
import type { PolicyContext } from '../policy/context.ts';
import { grantEnrolmentCa } from '../policy/enrolment-grants.ts';
import {
  basicConstraintsExtension,
  derExtension,
  extendedKeyUsageExtension,
  keyUsageExtension,
} from '../x509/extension-writer.ts';
import { OID } from '../x509/oids.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const FRESH = { stalenessMs: () => 0 } as PolicyContext['registry'];
const CONTEXT = { registry: FRESH, maxStalenessMs: 1 } as PolicyContext;
const SUBJECT = { organization: 'Example', commonName: 'ZPA Connector CA' };

function leave() {
  const caller = { kind: 'local', uid: 7, gid: 7, pid: 1 } as const;
  return unwrap(grantEnrolmentCa(caller, { vendor: 'zpa', ttlSeconds: 0 }, CONTEXT));
}

const key = makeKey('rsa-2048');
const csr = (options: Parameters<typeof makeCsr>[0] = {}) =>
  makeCsr({ key, subject: SUBJECT, ...options });

/** An RSA key of any numbers, in a request whose signature is nobody's. */
function rsaCsr(modulus: Uint8Array, exponent: Uint8Array): Uint8Array {
  const numbers = derSequence(derUnsigned(modulus), derUnsigned(exponent));
  const algorithm = derSequence(derOid(OID.rsaEncryption), derNull());
  return csr({ spki: derSequence(algorithm, derBitString(numbers)) });
}

function odd(bytes: number): Uint8Array {
  const modulus = systemRandom.bytes(bytes);
  modulus[0] = 0xff;
  modulus[bytes - 1] = 0xff;
  return modulus;
}

const F4 = Uint8Array.of(1, 0, 1);
const pssKey = generateKeyPairSync('rsa-pss', {
  ...{ modulusLength: 2048, hashAlgorithm: 'sha256', mgf1HashAlgorithm: 'sha256' },
});
const tail = (der: Uint8Array) => Buffer.concat([der, Buffer.of(0)]);
const NEGATIVE = derElement(
  0x30,
  derElement(0x01, Buffer.of(0xff)),
  derElement(0x02, Buffer.of(0x80)),
);

const REFUSED: readonly (readonly [string, () => Uint8Array, RegExp])[] = [
  [
    'a key for PSS alone',
    () => csr({ spki: pssKey.publicKey.export({ type: 'spki', format: 'der' }) }),
    /^KEY_ALGORITHM$/,
  ],
  [
    'a PSS signature without parameters',
    () => csr({ algorithm: derSequence(derOid(OID.rsaPss)) }),
    /^SIGNATURE_/,
  ],
  [
    'a PSS signature with parameters of no known form',
    () => csr({ algorithm: derSequence(derOid(OID.rsaPss), derSequence(derNull())) }),
    /^(SIGNATURE|DER)_/,
  ],
  ['a key of 2047 bits', () => rsaCsr(odd(256).with(0, 0x7f), F4), /^KEY_RSA_SIZE$/],
  ['a key of 16,384 bits', () => rsaCsr(odd(2048), F4), /^KEY_RSA_SIZE$/],
  ['a key of a megabit', () => rsaCsr(odd(125_000), F4), /^(KEY_RSA_SIZE|DER_|CSR_)/],
  ['an even exponent', () => rsaCsr(odd(256), Uint8Array.of(1, 0, 0)), /^KEY_RSA_EXPONENT$/],
  ['the exponent 1', () => rsaCsr(odd(256), Uint8Array.of(1)), /^KEY_RSA_EXPONENT$/],
  ['bytes after it', () => tail(csr()), /^DER_/],
  ['bytes after its signature', () => csr({ afterSignature: [derNull()] }), /^DER_/],
  ['bytes after its attributes', () => csr({ afterAttributes: [derNull()] }), /^DER_/],
  ['version 2', () => csr({ version: 1 }), /^CSR_|^CERTIFICATE_VERSION/],
  [
    'a negative path length',
    () => csr({ extraExtensions: [derExtension(OID.basicConstraints, true, NEGATIVE)] }),
    /^(DER|CERTIFICATE)_/,
  ],
  [
    'a path length of 2^31',
    () => csr({ extraExtensions: [basicConstraintsExtension(true, 2 ** 31)] }),
    /^(ENROLMENT_CSR|DER_.*|CERTIFICATE_.*)$/,
  ],
  [
    'names that are none',
    () => csr({ extraExtensions: [sanExtension([])] }),
    /^(CERTIFICATE_|DER_|ENROLMENT_CSR)/,
  ],
];

for (const [what, make, expected] of REFUSED) {
  test(`G-1 a vendor's request with ${what} is refused`, async () => {
    const cas = await enrolmentCas(enrolmentWorld());
    assert.match(code(await cas.sign(leave(), make())), expected);
    assert.deepEqual(cas.list(), []);
  });
}

const USAGE = keyUsageExtension(['keyCertSign']);

/** Extensions that a request may ask for: none of them is in what is signed. */
const PASSED_OVER: readonly (readonly [string, Uint8Array])[] = [
  ['every purpose', extendedKeyUsageExtension(['2.5.29.37.0', '1.3.6.1.5.5.7.3.1'])],
  ['more usage', keyUsageExtension(['keyCertSign', 'crlSign', 'digitalSignature'])],
  ['name constraints that permit all', nameConstraintsExtension([derElement(0x86)])],
  ['no name constraints', nameConstraintsExtension([], [derElement(0x86, Buffer.from('.a'))])],
  ['a critical extension of nobody', derExtension('1.3.6.1.4.1.55555.1', true, derNull())],
  ['a CA without a limit', basicConstraintsExtension(true)],
  ['usage twice', Buffer.concat([USAGE, USAGE])],
];

for (const [what, extension] of PASSED_OVER) {
  test(`G-3 a vendor's request for ${what} is signed as the profile has it`, async () => {
    const cas = await enrolmentCas(enrolmentWorld());
    const request = csr({ extraExtensions: [extension] });
    const { certificate } = unwrap(await cas.sign(leave(), request));
    assert.deepEqual(
      certificate.extensions.map(({ oid }) => oid),
      [
        OID.keyUsage,
        OID.basicConstraints,
        OID.subjectKeyId,
        OID.authorityKeyId,
        OID.nameConstraints,
      ],
    );
    assert.equal(certificate.basicConstraints?.pathLength, 0);
    assert.ok(certificate.serial[0]! < 0x80);
  });
}
