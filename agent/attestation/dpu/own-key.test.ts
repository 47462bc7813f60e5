import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownKeyChallenge } from '../../../src/attestation/dpu/payload.ts';
import { decodeX509PopResponse } from '../../../src/attestation/x509pop/payload.ts';
import { verifyProof } from '../../../src/attestation/x509pop/proof.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { encodePem } from '../../../src/der/pem.ts';
import { parsePublicKey } from '../../../src/x509/public-key.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { makeCertificate } from '../../../test/support/x509.ts';
import { DPU_KEY_FILE, proveOwnKey } from './own-key.ts';

const NONCE = new Uint8Array(32).fill(7);
const CHALLENGE = ownKeyChallenge(NONCE);

test('the key is made when it is first asked for, for the agent alone to read, and stays', async (context) => {
  const dataDir = testFolder(context);
  const parts = { settings: { key: undefined }, dataDir, random: systemRandom };
  const first = assertValue(await proveOwnKey(parts, NONCE));
  const again = assertValue(await proveOwnKey(parts, NONCE));
  assert.ok(first.spki && again.spki);
  assert.deepEqual(Buffer.from(first.spki), Buffer.from(again.spki));
  assert.notDeepEqual(Buffer.from(first.proof), Buffer.from(again.proof), 'with another nonce');
  assert.equal(statSync(join(dataDir, DPU_KEY_FILE)).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dataDir), [DPU_KEY_FILE]);
  const proof = assertValue(decodeX509PopResponse(first.proof));
  assertValue(verifyProof(assertValue(parsePublicKey(first.spki)), CHALLENGE, proof));
});

test('a key file that is damaged is not replaced', async (context) => {
  const dataDir = testFolder(context);
  const path = join(dataDir, DPU_KEY_FILE);
  for (const text of ['', 'damaged', encodePem('PRIVATE KEY', NONCE)]) {
    writeFileSync(path, text);
    const parts = { settings: { key: undefined }, dataDir, random: systemRandom };
    assertRefused(await proveOwnKey(parts, NONCE), 'AGENT_DPU_KEY');
    assert.equal(readFileSync(path, 'utf8'), text);
  }
});

test('a key that the image brought is proven with its certificates, and none is made', async (context) => {
  const dataDir = testFolder(context);
  const leaf = makeCertificate({ subject: { serialNumber: 'MT0000X00001' } });
  const file = (name: string, text: string): string => {
    writeFileSync(join(dataDir, name), text);
    return join(dataDir, name);
  };
  const pem = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const key = {
    certificatePath: file('card.pem', leaf.pem),
    privateKeyPath: file('card.key', String(pem)),
  };
  const parts = { settings: { key }, dataDir, random: systemRandom };
  const shown = assertValue(await proveOwnKey(parts, NONCE));
  assert.equal(shown.spki, undefined);
  assert.deepEqual(
    shown.certificates?.map((der) => Buffer.from(der)),
    [Buffer.from(leaf.der)],
  );
  assert.deepEqual(readdirSync(dataDir).sort(), ['card.key', 'card.pem']);
  const gone = { ...key, privateKeyPath: join(dataDir, 'gone') };
  const missing = { ...parts, settings: { key: gone } };
  assertRefused(await proveOwnKey(missing, NONCE), 'AGENT_X509POP_FILES');
});
