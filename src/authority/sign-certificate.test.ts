import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import { generateLocalKey } from '../keys/local-key.ts';
import { type LintedKey, onlyLinted } from '../lint/linted-key.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { drawSerial } from '../x509/serial.ts';
import type { Certificate } from '../x509/types.ts';
import { DEFAULT_CA_SUBJECT, signRoot } from './x509-certificate.ts';

const random = seededRandom(1);
const key = onlyLinted(unwrap(await generateLocalKey('x509-CA-A', 'ec-p256')));

function root(by: LintedKey): Promise<Result<Certificate>> {
  return signRoot(by, {
    trustDomain: unwrap(parseTrustDomain('example.org')),
    subject: DEFAULT_CA_SUBJECT,
    serial: drawSerial(random),
    notBeforeSeconds: 1_800_000_000,
    notAfterSeconds: 1_800_086_400,
  });
}

/** The key, but for what it makes of each signed body. */
function keyThat(changes: (body: Uint8Array, signature: Uint8Array) => object): LintedKey {
  return {
    ...key,
    exportPkcs8: () => undefined,
    async sign(token, options) {
      const signed = await key.sign(token, options);
      if (!signed.ok) return signed;
      const { body, signature } = signed.value;
      return ok({ body, signature, ...changes(body, signature) });
    },
  };
}

const other = unwrap(await root(key)).tbs;
const flipped = (bytes: Uint8Array) => bytes.map((byte, at) => (at === 20 ? byte ^ 1 : byte));

for (const [name, changes] of [
  ['another body under a signature of the linted one', () => ({ body: other })],
  [
    'another signature',
    (_body: Uint8Array, signature: Uint8Array) => ({ signature: flipped(signature) }),
  ],
  ['a body that is no certificate', () => ({ body: Uint8Array.of(0x30, 0) })],
] as const) {
  test(`B4 a key that answers ${name} makes no certificate`, async () => {
    const made = await root(keyThat(changes));
    assert.equal(made.ok ? 'ok' : made.error.code, 'AUTHORITY_CERTIFICATE_INVALID');
  });
}

test('a key that refuses is told as it is', async () => {
  const refuses = {
    ...key,
    exportPkcs8: () => undefined,
    sign: async () => fail('KEY_DISABLED', 'x'),
  };
  const made = await root(refuses);
  assert.equal(made.ok ? 'ok' : made.error.code, 'KEY_DISABLED');
});
