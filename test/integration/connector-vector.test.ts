import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { publicKeyOf } from '../../examples/connector/csr.ts';
import { textToSign } from '../../examples/connector/enrol.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import { assertValue } from '../support/refused.ts';

const vector: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(new URL('../support/connector-enrol-vector.json', import.meta.url), 'utf8'),
);
const bytes = (name: string): Buffer => Buffer.from(vector[name] ?? '', 'hex');
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

test('the vector of the protocol page is what an enrolment signs', () => {
  const key = createPrivateKey({ key: bytes('privateKeyPkcs8'), format: 'der', type: 'pkcs8' });
  assert.deepEqual(publicKeyOf(key), bytes('publicKey'));
  assert.deepEqual(
    Buffer.from(assertValue(parseCsr(bytes('csr'))).publicKey.spki),
    bytes('publicKey'),
  );
  assert.equal(sha256(bytes('challenge')), vector.challengeSha256);
  assert.equal(sha256(bytes('csr')), vector.csrSha256);
  assert.deepEqual(textToSign(bytes('challenge'), bytes('csr')), bytes('text'));
  assert.equal(sha256(bytes('text')), vector.digest);
  assert.ok(verify('sha256', bytes('text'), createPublicKey(key), bytes('signature')));
});

test('docs/connector-protocol.md shows the vector', () => {
  const page = readFileSync('docs/connector-protocol.md', 'utf8').replaceAll('\n', '');
  for (const name of ['publicKey', 'csr', 'challenge', 'challengeSha256', 'csrSha256']) {
    assert.ok(page.includes(vector[name] ?? name), name);
  }
  for (const name of ['text', 'digest', 'signature'])
    assert.ok(page.includes(vector[name] ?? name));
});
