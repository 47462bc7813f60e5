import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { CRL_FROM_MS, CRL_UNTIL_MS, crlOf } from '../../test/support/crl.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  AK_ATTRIBUTES,
  EK_ATTRIBUTES,
  EK_PURPOSE,
  openCredential,
  pretendAk,
  pretendCertify,
  pretendEk,
  pretendQuote,
} from '../../test/support/tpm.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeRoot,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import { seededRandom, systemRandom } from '../base/random.ts';
import { readDeviceCrl } from '../dice/device-revocation.ts';
import { OID } from '../x509/oids.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { TPM_ATTRIBUTE } from './algorithms.ts';
import { parseTpmAttest } from './attest.ts';
import { judgeEndorsement } from './endorsement.ts';
import { makeCredential } from './make-credential.ts';
import { endorsementPrimaryName, parseTpmPublic, tpmKeyObject, tpmName } from './public-area.ts';
import { parseTpmSignature } from './signature.ts';
import { verifyCertify, verifyQuote } from './verify.ts';

const seed = Number(process.env.SIGNET_FAULT_SEED ?? 1);
const ek = pretendEk();
const ak = pretendAk();
const ekArea = assertValue(parseTpmPublic(ek.publicArea));
const akArea = assertValue(parseTpmPublic(ak.publicArea));
const nonce = Buffer.alloc(32, 7);
const indices = [0, 7];
const values = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
const usual = { nonce, indices, values };
const rules = { key: akArea, nonce, bank: 'sha256', indices } as const;

describe('a quote', () => {
  test('holds, and tells how often its TPM was reset', () => {
    const { clock } = assertValue(verifyQuote(pretendQuote(ak, usual), values, rules));
    assert.deepEqual(clock, { clock: 0n, resetCount: 3, restartCount: 1, safe: true });
  });

  const cases: readonly (readonly [string, object, string])[] = [
    ['that no TPM made', { magic: 0xff544348 }, 'TPM_STRUCTURE'],
    ['of another type', { type: 0x8019 }, 'TPM_STRUCTURE'],
    ['with another nonce', { nonce: Buffer.alloc(32, 8) }, 'TPM_QUOTE'],
    ['with a shorter nonce', { nonce: Buffer.alloc(31, 7) }, 'TPM_QUOTE'],
    ['over fewer registers', { indices: [0] }, 'TPM_QUOTE'],
    ['over more registers', { indices: [0, 7, 8] }, 'TPM_QUOTE'],
    ['of another bank', { bank: 0x000c }, 'TPM_QUOTE'],
    ['of a bank that is not taken', { bank: 0x0004 }, 'TPM_STRUCTURE'],
    ['of other values', { values: [values[0], values[0]] }, 'TPM_QUOTE'],
    ['with a byte too many', { more: Buffer.of(0) }, 'TPM_STRUCTURE'],
  ];
  for (const [name, change, code] of cases) {
    test(`${name} is refused`, () => {
      const quote = pretendQuote(ak, { ...usual, ...change });
      const verified = verifyQuote(quote, values, rules);
      assert.equal(verified.ok ? 'accepted' : verified.error.code, code);
    });
  }

  test('of another key, and a certification in its place, are refused', () => {
    assertRefused(verifyQuote(pretendQuote(pretendAk(), usual), values, rules), 'TPM_SIGNATURE');
    const certified = pretendCertify(ak, tpmName(akArea));
    assertRefused(verifyQuote(certified, values, rules), 'TPM_QUOTE');
  });

  test('with a value too few or of another size is refused', () => {
    const quote = pretendQuote(ak, usual);
    assertRefused(verifyQuote(quote, values.slice(1), rules), 'TPM_QUOTE');
    const cut = [Buffer.concat(values).subarray(0, 31), Buffer.concat(values).subarray(31)];
    assertRefused(verifyQuote(quote, cut, rules), 'TPM_QUOTE');
  });
});

describe('an attestation key', () => {
  const { fixedTpm, fixedParent, sensitiveDataOrigin, restricted, sign, decrypt } = TPM_ATTRIBUTE;
  const weaker: readonly (readonly [string, number])[] = [
    ['that may leave its TPM', AK_ATTRIBUTES & ~fixedTpm],
    ['that may get another parent', AK_ATTRIBUTES & ~fixedParent],
    ['that was made elsewhere', AK_ATTRIBUTES & ~sensitiveDataOrigin],
    ['that signs whatever it is given', AK_ATTRIBUTES & ~restricted],
    ['that does not sign', AK_ATTRIBUTES & ~sign],
    ['that decrypts', AK_ATTRIBUTES | decrypt],
  ];
  for (const [name, attributes] of weaker) {
    test(`${name} is refused`, () => {
      const key = pretendAk(attributes);
      const area = assertValue(parseTpmPublic(key.publicArea));
      const quote = pretendQuote(key, usual);
      assertRefused(verifyQuote(quote, values, { ...rules, key: area }), 'TPM_KEY');
    });
  }

  test('certifies the key whose name it signs, and no other', () => {
    const devId = assertValue(parseTpmPublic(pretendAk().publicArea));
    const certified = pretendCertify(ak, tpmName(devId));
    assertValue(verifyCertify(certified, akArea, devId));
    assertRefused(verifyCertify(certified, akArea, ekArea), 'TPM_CERTIFY');
    assertRefused(verifyCertify(pretendQuote(ak, usual), akArea, devId), 'TPM_CERTIFY');
  });
});

describe('an attestation key of a quote', () => {
  test('is a primary key of the endorsement hierarchy: counters of others are hidden', () => {
    for (const hierarchy of [0x4000_0001, 0x4000_000c, 0x4000_0007]) {
      const quote = pretendQuote(ak, { ...usual, hierarchy });
      assertRefused(verifyQuote(quote, values, rules), 'TPM_KEY');
    }
    const { attest } = pretendQuote(ak, { ...usual, hierarchy: 0x4000_000b });
    assert.deepEqual(
      Buffer.from(assertValue(parseTpmAttest(attest)).signer),
      Buffer.from(endorsementPrimaryName(akArea)),
    );
  });

  test('says of its clock that it is safe or not, and nothing else', () => {
    const bytes = Buffer.from(pretendQuote(ak, usual).attest);
    const at = bytes.indexOf(Buffer.of(0, 0, 0, 3, 0, 0, 0, 1, 1)) + 8;
    for (const [value, good] of [
      [0, true],
      [1, true],
      [2, false],
      [255, false],
    ] as const) {
      bytes[at] = value;
      assert.equal(parseTpmAttest(bytes).ok, good, `${value}`);
    }
  });
});

describe('a credential', () => {
  test('opens for its endorsement key and the named key only', () => {
    const secret = systemRandom.bytes(32);
    const made = assertValue(makeCredential(ekArea, tpmName(akArea), secret, systemRandom));
    assert.deepEqual(openCredential(ek, tpmName(akArea), made), Buffer.from(secret));
    assert.equal(openCredential(ek, tpmName(ekArea), made), undefined);
  });

  test('is made for no key that signs, and of no secret over a digest', () => {
    const secret = Buffer.alloc(33);
    assertRefused(makeCredential(ekArea, tpmName(akArea), secret, systemRandom), 'TPM_KEY');
    const short = secret.subarray(1);
    assertRefused(makeCredential(akArea, tpmName(akArea), short, systemRandom), 'TPM_KEY');
  });
});

describe('an endorsement key', () => {
  const root = makeRoot();
  const middle = makeIntermediate(root);
  const spki = assertValue(tpmKeyObject(ekArea)).export({ type: 'spki', format: 'der' });
  const key = { ...makeKey(), publicKey: assertValue(parsePublicKey(spki)), spki };
  const certificate = makeCertificate({ issuer: middle, key, ...EK_PURPOSE });
  const trust = {
    roots: [root.certificate],
    intermediates: [middle.certificate],
    knownKeys: new Set<string>(),
    atMs: Date.UTC(2030, 0, 1),
  };

  test('is one of a pinned maker by its certificate, or known by its hash', () => {
    const judged = assertValue(judgeEndorsement(ekArea, certificate.der, trust));
    assert.equal(judged.trust, 'manufacturer');
    const knownKeys = new Set([judged.sha256]);
    assert.equal(
      assertValue(judgeEndorsement(ekArea, undefined, { ...trust, knownKeys })).trust,
      'known',
    );
    const stranger = makeCertificate({ issuer: makeRoot(), key, ...EK_PURPOSE });
    const known = judgeEndorsement(ekArea, stranger.der, { ...trust, knownKeys });
    assert.equal(assertValue(known).trust, 'known');
  });

  test('is refused without either, with a certificate for another, and with other attributes', () => {
    assertRefused(judgeEndorsement(ekArea, undefined, trust), 'TPM_EK');
    const stranger = makeCertificate({ issuer: makeRoot(), key, ...EK_PURPOSE });
    assertRefused(judgeEndorsement(ekArea, stranger.der, trust), 'PATH_NOT_FOUND');
    const other = makeCertificate({ issuer: middle, ...EK_PURPOSE });
    assertRefused(judgeEndorsement(ekArea, other.der, trust), 'TPM_EK');
    assertRefused(judgeEndorsement(akArea, certificate.der, trust), 'TPM_KEY');
    const loose = pretendEk(EK_ATTRIBUTES & ~TPM_ATTRIBUTE.fixedTpm);
    const area = assertValue(parseTpmPublic(loose.publicArea));
    assertRefused(judgeEndorsement(area, certificate.der, trust), 'TPM_KEY');
  });
});

describe('a certificate of a maker', () => {
  const root = makeRoot();
  const spki = assertValue(tpmKeyObject(ekArea)).export({ type: 'spki', format: 'der' });
  const key = { ...makeKey(), publicKey: assertValue(parsePublicKey(spki)), spki };
  const judge = (options: Partial<TestCertificateOptions>) =>
    judgeEndorsement(
      ekArea,
      makeCertificate({ issuer: root, key, ...EK_PURPOSE, ...options }).der,
      {
        roots: [root.certificate],
        intermediates: [],
        knownKeys: new Set<string>(),
        atMs: Date.UTC(2030, 0, 1),
      },
    );

  for (const [what, options] of [
    ['says that it is of an endorsement key', {}],
    ['does not say what it is for', { keyUsage: null, extendedKeyUsage: null }],
  ] as const) {
    test(`that ${what} is taken`, () => {
      assertValue(judge(options));
    });
  }

  for (const [what, options] of [
    ['signs', { keyUsage: ['digitalSignature'] }],
    ['agrees on keys, as an RSA key does not', { keyUsage: ['keyAgreement'] }],
    ['is for servers', { extendedKeyUsage: [OID.serverAuth] }],
    ['is of an attestation key', { extendedKeyUsage: ['2.23.133.8.3'] }],
    ['is a CA', { ca: true, keyUsage: ['keyCertSign', 'keyEncipherment'] }],
  ] as const) {
    test(`that ${what} is of no endorsement key`, () => {
      assertRefused(judge(options), 'TPM_EK');
    });
  }
});

describe('CRLs above an endorsement key', () => {
  const root = makeRoot();
  const middle = makeIntermediate(root);
  const spki = assertValue(tpmKeyObject(ekArea)).export({ type: 'spki', format: 'der' });
  const key = { ...makeKey(), publicKey: assertValue(parsePublicKey(spki)), spki };
  const certificate = makeCertificate({ issuer: middle, key, ...EK_PURPOSE });
  const judge = (
    ders: readonly Uint8Array[],
    { atMs = CRL_FROM_MS, maxStaleMs = 0, known = false } = {},
  ) => {
    const crls = ders.map((der) => assertValue(readDeviceCrl(der)));
    const knownKeys = new Set(known ? [createHash('sha256').update(spki).digest('hex')] : []);
    return judgeEndorsement(ekArea, certificate.der, {
      roots: [root.certificate],
      intermediates: [middle.certificate],
      knownKeys,
      atMs,
      revocation: { crls, maxStaleMs },
    });
  };

  test('are not asked for where there are none, and clear a key that is not listed', () => {
    assertValue(judge([]));
    assertValue(judge([crlOf(middle, makeCertificate({ issuer: middle }))]));
  });

  test('put out a key or a CA that is listed, whether or not the key was recorded', () => {
    for (const known of [false, true]) {
      assertRefused(judge([crlOf(middle, certificate)], { known }), 'DEVICE_REVOKED');
      assertRefused(judge([crlOf(root, middle)], { known }), 'DEVICE_REVOKED');
    }
  });

  test('close the door when they are of somebody else or past their end', () => {
    const clear = crlOf(middle);
    const stale = { atMs: CRL_UNTIL_MS + 1 };
    assertRefused(judge([clear], stale), 'DEVICE_REVOCATION_UNKNOWN');
    assertValue(judge([clear], { ...stale, maxStaleMs: 1 }));
    const forged = crlOf({ ...middle, key: makeKey() });
    assertRefused(judge([forged]), 'DEVICE_REVOCATION_UNKNOWN');
  });
});

describe(`parsers of TPM structures, seed ${seed}`, () => {
  const quote = pretendQuote(ak, usual);
  const samples: readonly (readonly [
    string,
    Uint8Array,
    (bytes: Uint8Array) => { ok: boolean },
  ])[] = [
    ['RSA public area', ek.publicArea, parseTpmPublic],
    ['ECC public area', ak.publicArea, parseTpmPublic],
    ['quote', quote.attest, parseTpmAttest],
    ['certification', pretendCertify(ak, tpmName(akArea)).attest, parseTpmAttest],
    ['signature', quote.signature, parseTpmSignature],
  ];
  for (const [name, bytes, parse] of samples) {
    test(`${name}: refuses every truncation and every byte too many`, () => {
      assert.ok(parse(bytes).ok);
      for (let length = 0; length < bytes.length; length++) {
        assert.equal(parse(bytes.subarray(0, length)).ok, false, String(length));
      }
      assert.equal(parse(Buffer.concat([bytes, Buffer.of(0)])).ok, false);
    });

    test(`${name}: answers every change with a value or a refusal of its own`, () => {
      const random = seededRandom(seed);
      for (let run = 0; run < 4000; run++) {
        const copy = Buffer.from(bytes);
        for (let flips = (random.bytes(1)[0] ?? 0) % 4; flips >= 0; flips--) {
          const at = Buffer.from(random.bytes(2)).readUInt16BE() % copy.length;
          copy[at] = (copy[at] ?? 0) ^ (1 << ((random.bytes(1)[0] ?? 0) & 7));
        }
        const parsed = parse(copy) as ReturnType<typeof parseTpmPublic>;
        if (!parsed.ok) assert.equal(parsed.error.code, 'TPM_STRUCTURE', copy.toString('hex'));
      }
    });
  }

  test('a key whose numbers are on no curve is refused where it is used', () => {
    const broken = Buffer.from(ak.publicArea);
    broken[broken.length - 1] = (broken[broken.length - 1] ?? 0) ^ 1;
    assertRefused(tpmKeyObject(assertValue(parseTpmPublic(broken))), 'TPM_STRUCTURE');
  });
});
