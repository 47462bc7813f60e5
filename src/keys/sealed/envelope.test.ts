import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '../../base/random.ts';
import { ok, type Result, unwrap } from '../../base/result.ts';
import type { KeyWrapper } from '../wrapper.ts';
import { openKey, type SealedKey, type SealTools, sealKey } from './envelope.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** A wrapping key that takes no notice of the context, as a Vault that is too old does. */
const blind: Pick<KeyWrapper, 'wrap' | 'unwrap'> = {
  wrap: async (secret) => ok({ wrappingKeyId: '1', ciphertext: Uint8Array.from(secret) }),
  unwrap: async ({ ciphertext }) => ok(Uint8Array.from(ciphertext)),
};

function tools(trustDomain = 'example.org'): SealTools {
  const none = async () => ok(undefined);
  const wrapper = { ...blind, current: none, rotate: none };
  return { trustDomain, wrapper, random: systemRandom };
}

const pkcs8 = Buffer.from('a private key');

async function sealed(): Promise<SealedKey> {
  const clear = { slot: 'A', type: 'ec-p256', publicKeySpki: Buffer.from('public'), pkcs8 };
  return unwrap(await sealKey(clear, tools()));
}

test('a sealed key opens as what it was', async () => {
  const opened = unwrap(await openKey(await sealed(), tools()));
  assert.deepEqual(Buffer.from(opened.pkcs8), pkcs8);
});

const CHANGES: readonly (readonly [string, Partial<SealedKey>])[] = [
  ['slot', { slot: 'B' }],
  ['public key', { publicKeySpki: Buffer.from('Public') }],
  ['type', { type: 'ec-p384' }],
];

for (const [what, change] of CHANGES) {
  test(`the seal itself tells another ${what}, whatever the wrapping key notices`, async () => {
    const opened = await openKey({ ...(await sealed()), ...change }, tools());
    assert.equal(code(opened), 'KEY_SEAL_BROKEN');
  });
}

test('the seal itself tells another trust domain', async () => {
  assert.equal(code(await openKey(await sealed(), tools('other.example'))), 'KEY_SEAL_BROKEN');
});

test('a box with any octet changed, or one less, is refused', async () => {
  const key = await sealed();
  for (let at = 0; at < key.box.length; at++) {
    const box = Uint8Array.from(key.box);
    box[at]! ^= 1;
    assert.equal(code(await openKey({ ...key, box }, tools())), 'KEY_SEAL_BROKEN', `octet ${at}`);
  }
  const box = key.box.subarray(0, -1);
  assert.equal(code(await openKey({ ...key, box }, tools())), 'KEY_SEAL_BROKEN');
});
