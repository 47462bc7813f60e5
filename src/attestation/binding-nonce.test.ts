import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { BINDING_NONCE_BYTES, bindingNonce } from './binding-nonce.ts';

const INPUT = {
  serverNonce: Buffer.alloc(32, 1),
  csrSpki: Buffer.from('spki'),
  trustDomain: 'example.org',
  session: '00112233445566778899aabbccddeeff',
  target: 'tpm',
};

test('a binding nonce is the hash that both sides agreed on', () => {
  const sha = (...parts: (string | Buffer)[]): Buffer => {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest();
  };
  const expected = sha(
    'dpu-attest/v1\0',
    INPUT.serverNonce,
    sha('spki'),
    sha('example.org'),
    sha(`${INPUT.session}tpm`),
  );
  assert.deepEqual(bindingNonce(INPUT), expected);
  assert.equal(expected.length, BINDING_NONCE_BYTES);
});

test('every part of the input changes the nonce', () => {
  const changes = [
    { serverNonce: Buffer.alloc(32, 2) },
    { csrSpki: Buffer.from('other') },
    { trustDomain: 'example.com' },
    { session: 'ff112233445566778899aabbccddeeff' },
    { target: 'irot' },
  ];
  const nonces = changes.map((change) => bindingNonce({ ...INPUT, ...change }).toString('hex'));
  nonces.push(bindingNonce(INPUT).toString('hex'));
  assert.equal(new Set(nonces).size, changes.length + 1);
});
