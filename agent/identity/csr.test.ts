import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { parseSpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { parseCsr, verifyCsrSignature } from '../../src/x509/csr.ts';
import { checkKeyPolicy } from '../../src/x509/key-policy.ts';
import { assertValue } from '../../test/support/refused.ts';
import { WORKLOAD_KEY_TYPES } from '../config.ts';
import { createKey, createKeyAndRequest, createRequest } from './csr.ts';

test('a request of every key type is signed by its key, fit by policy, and asks for its ID', async () => {
  const id = assertValue(parseSpiffeId('spiffe://example.org/workload'));
  for (const type of WORKLOAD_KEY_TYPES) {
    const made = await createKeyAndRequest(type, id);
    const csr = assertValue(parseCsr(made.csr));
    const key = assertValue(verifyCsrSignature(csr));
    assertValue(checkKeyPolicy(key));
    assert.deepEqual(csr.requestedUris, [id.uri]);
    assert.deepEqual(Buffer.from(key.spki), made.publicKeySpki);
  }
});

test('WLAPI-17 the private key is unencrypted PKCS#8 DER of the key in the request', async () => {
  const made = await createKeyAndRequest('ec-p256', undefined);
  const key = createPrivateKey({ key: made.privateKeyPkcs8, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  assert.deepEqual(spki, made.publicKeySpki);
});

test("an agent's request has no URI, and the same key gives the same key again", async () => {
  const key = await createKey('ec-p256');
  const first = createRequest('ec-p256', key, undefined);
  assert.deepEqual(assertValue(parseCsr(first.csr)).requestedUris, []);
  assert.deepEqual(createRequest('ec-p256', key, undefined).publicKeySpki, first.publicKeySpki);
});
