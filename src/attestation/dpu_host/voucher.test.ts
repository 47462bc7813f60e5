import assert from 'node:assert/strict';
import { createHmac, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { BOOTS, HOST } from '../../../test/support/dpu-host.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey, type TestKey } from '../../../test/support/x509.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { seededRandom } from '../../base/random.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { DPU_HOST_LIMITS } from './payload.ts';
import {
  certificateSha256,
  type ReadVoucher,
  readVoucher,
  signVoucher,
  type VoucherClaims,
  verifyVoucher,
  voucherAudience,
} from './voucher.ts';

const KEY = makeKey();
const LEAF = Buffer.from('a certificate');

const CLAIMS: VoucherClaims = {
  aud: voucherAudience('example.org'),
  iat: 1000,
  exp: 1060,
  nonce: Buffer.alloc(32, 7),
  key: 'cd'.repeat(32),
  anchor: 'ef'.repeat(32),
  boot: BOOTS[0],
  witness: '',
  host: HOST,
  tenant: 'blue',
};

function made(key: TestKey = KEY, keyType: 'ec-p256' | 'ec-p384' = 'ec-p256'): string {
  const { privateKey } = key;
  const signer = { leaf: LEAF, keyType, sign: signWith(privateKey) };
  return unwrap(signVoucher(CLAIMS, signer));
}

function signWith(key: TestKey['privateKey']) {
  return (hash: string, message: Uint8Array): Buffer =>
    sign(hash, message, { key, dsaEncoding: 'ieee-p1363' });
}

/** A token with this header and these claims, signed as told. */
function token(header: unknown, claims: unknown, by?: (input: string) => Uint8Array): string {
  const input = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const signature = by?.(input) ?? signWith(KEY.privateKey)('sha256', Buffer.from(input));
  return `${input}.${Buffer.from(signature).toString('base64url')}`;
}

function judged(text: string, key: TestKey = KEY): Result<ReadVoucher> {
  const read = readVoucher(text);
  if (!read.ok) return read;
  const verified = verifyVoucher(read.value, unwrap(parsePublicKey(key.spki)));
  return verified.ok ? read : verified;
}

const HEADER = { alg: 'ES256', typ: 'dpu-voucher+jwt', kid: certificateSha256(LEAF) };
const PLAIN = { ...CLAIMS, nonce: Buffer.alloc(32, 7).toString('base64url') };

describe('a voucher', () => {
  test('says what was put into it', () => {
    const { claims, leafSha256 } = assertValue(judged(made()));
    assert.deepEqual({ ...claims, nonce: Buffer.from(claims.nonce) }, CLAIMS);
    assert.equal(leafSha256, certificateSha256(LEAF));
    assertValue(judged(token(HEADER, PLAIN)));
  });

  test('is signed by the algorithm of the key’s curve', () => {
    const key = makeKey('ec-p384');
    assert.equal(assertValue(judged(made(key, 'ec-p384'), key)).jws.algorithm, 'ES384');
    const rsa = { leaf: LEAF, keyType: 'rsa', sign: signWith(KEY.privateKey) } as const;
    assertRefused(signVoucher(CLAIMS, rsa), 'VOUCHER_ALGORITHM');
  });

  const hmac = (input: string): Buffer => createHmac('sha256', KEY.spki).update(input).digest();
  const { kid: _kid, ...noKid } = HEADER;
  const { tenant: _tenant, ...noTenant } = PLAIN;
  const cases: readonly (readonly [string, ErrorCode, string])[] = [
    ['of no algorithm', 'VOUCHER_MALFORMED', token({ ...HEADER, alg: 'none' }, PLAIN)],
    ['without a signature', 'VOUCHER_MALFORMED', `${made().split('.', 2).join('.')}.`],
    [
      'with an HMAC by the public key',
      'VOUCHER_MALFORMED',
      token({ ...HEADER, alg: 'HS256' }, PLAIN, hmac),
    ],
    [
      'of another algorithm than the key’s',
      'VOUCHER_ALGORITHM',
      token({ ...HEADER, alg: 'ES384' }, PLAIN),
    ],
    ['that says RS256', 'VOUCHER_ALGORITHM', token({ ...HEADER, alg: 'RS256' }, PLAIN)],
    [
      'with something critical',
      'VOUCHER_MALFORMED',
      token({ ...HEADER, crit: ['b64'], b64: false }, PLAIN),
    ],
    ['that brings its key', 'VOUCHER_MALFORMED', token({ ...HEADER, jwk: {} }, PLAIN)],
    [
      'that brings a chain in its header',
      'VOUCHER_MALFORMED',
      token({ ...HEADER, x5c: ['AA=='] }, PLAIN),
    ],
    ['with more in its header', 'VOUCHER_MALFORMED', token({ ...HEADER, cty: 'x' }, PLAIN)],
    ['of another type', 'VOUCHER_MALFORMED', token({ ...HEADER, typ: 'JWT' }, PLAIN)],
    ['that names no certificate', 'VOUCHER_MALFORMED', token(noKid, PLAIN)],
    ['without a tenant', 'VOUCHER_MALFORMED', token(HEADER, noTenant)],
    ['with one claim more', 'VOUCHER_MALFORMED', token(HEADER, { ...PLAIN, sub: 'x' })],
    [
      'with a time in parts of a second',
      'VOUCHER_MALFORMED',
      token(HEADER, { ...PLAIN, iat: 1.5 }),
    ],
    [
      'with a nonce of 31 bytes',
      'VOUCHER_MALFORMED',
      token(HEADER, { ...PLAIN, nonce: 'A'.repeat(42) }),
    ],
    ['for two audiences', 'VOUCHER_MALFORMED', token(HEADER, { ...PLAIN, aud: [PLAIN.aud] })],
    ['that is too long', 'VOUCHER_MALFORMED', made().padEnd(DPU_HOST_LIMITS.voucherBytes + 1, 'A')],
    ['that is signed by another key', 'VOUCHER_SIGNATURE', made(makeKey())],
  ];
  for (const [name, code, text] of cases) {
    test(`is refused: one ${name}`, () => assertRefused(judged(text), code));
  }

  test('is refused with any bit or any end of it another', () => {
    const seed = Number(process.env.SIGNET_FAULT_SEED ?? 17);
    const random = seededRandom(seed);
    const good = Buffer.from(made(), 'latin1');
    for (let run = 0; run < 600; run++) {
      const [a = 0, b = 0, c = 0] = random.bytes(3);
      const copy = Buffer.from(good);
      const at = (a * 256 + b) % copy.length;
      copy[at] = (copy[at] ?? 0) ^ (1 << (c & 7));
      const text = copy.toString('latin1');
      assert.equal(judged(text).ok, false, `seed ${seed}, run ${run}, byte ${at}`);
    }
    for (let length = 0; length < good.length; length += 3) {
      const cut = good.toString('latin1', 0, length);
      assert.equal(judged(cut).ok, false, `cut to ${length}`);
    }
  });
});
