import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, test } from 'node:test';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KeyType, SignOptions } from '../key-manager.ts';
import { createOutsideKey, type OutsideKeyParts } from './outside-key.ts';

const message = Buffer.from('to be signed');
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicKeySpki = publicKey.export({ format: 'der', type: 'spki' });
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

function keyThatAnswers(
  answer: Uint8Array | Result<Uint8Array>,
  extra: Partial<OutsideKeyParts> = {},
) {
  const answered = answer instanceof Uint8Array ? ok(answer) : answer;
  const type: KeyType = 'ec-p256';
  const parts = { slot: 'slot', type, publicKeySpki, ecdsaForm: 'der' as const };
  return createOutsideKey({ ...parts, signDigest: async () => answered, ...extra });
}

const asDer = sign('sha256', message, privateKey);
const asPair = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });

describe('a key outside the process', () => {
  const forms: readonly [OutsideKeyParts['ecdsaForm'], Uint8Array][] = [
    ['der', asDer],
    ['p1363', asPair],
  ];
  for (const [ecdsaForm, answer] of forms) {
    for (const encoding of ['der', 'p1363'] as const) {
      test(`gives ${encoding} where the manager gives ${ecdsaForm}`, async () => {
        const key = keyThatAnswers(answer, { ecdsaForm });
        const signed = await key.sign(message, { hash: 'sha256', encoding });
        assert.ok(signed.ok);
        const dsaEncoding = encoding === 'der' ? 'der' : 'ieee-p1363';
        const input = { key: createPublicKey(publicKey.export({ format: 'pem', type: 'spki' })) };
        assert.ok(verify('sha256', message, { ...input, dsaEncoding }, signed.value));
      });
    }
  }

  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const wrong: readonly [string, Uint8Array][] = [
    ["another key's signature", sign('sha256', message, stranger)],
    ["another message's signature", sign('sha256', Buffer.from('other'), privateKey)],
    ['nothing', new Uint8Array()],
    ['noise', new Uint8Array(70).fill(7)],
    ['a signature cut short', asDer.subarray(0, -1)],
    ['a signature with bytes after it', Buffer.concat([asDer, Buffer.of(0)])],
    ['a signature in another form', asPair],
  ];
  const asked: readonly SignOptions['encoding'][] = ['der', 'p1363'];
  for (const [name, answer] of wrong) {
    for (const encoding of asked) {
      test(`B4 does not release ${name} as ${encoding}`, async () => {
        const signed = await keyThatAnswers(answer).sign(message, { hash: 'sha256', encoding });
        assert.equal(code(signed), 'KEY_SIGNATURE_WRONG');
      });
    }
  }

  test('passes a refusal on as it is', async () => {
    const key = keyThatAnswers(fail('KEY_DISABLED', 'disabled'));
    assert.equal(
      code(await key.sign(message, { hash: 'sha256', encoding: 'der' })),
      'KEY_DISABLED',
    );
  });
});
