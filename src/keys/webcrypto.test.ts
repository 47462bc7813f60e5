import 'reflect-metadata';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequestGenerator,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type Device, outsideKeys } from '../../test/support/outside-keys.ts';
import { SignetError } from '../base/errors.ts';
import { fail, ok, unwrap } from '../base/result.ts';
import { parseCsr } from '../x509/csr.ts';
import { KEY_TYPES, type KeyType } from './key-manager.ts';
import { createKeyCrypto } from './webcrypto.ts';

const honest: Device = (sign, message, options) => sign(message, options);
const validity = { notBefore: new Date('2026-01-01'), notAfter: new Date('2027-01-01') };

/** A key that never leaves its manager, as a pair of WebCrypto keys. */
async function outsidePair(type: KeyType, act: Device = honest) {
  const keys = outsideKeys({ act });
  const key = unwrap(await keys.generate('x509-CA-A', type));
  const { crypto, pairOf } = createKeyCrypto();
  const hash = type === 'ec-p384' ? 'sha384' : 'sha256';
  return { crypto, key, pair: unwrap(await pairOf(key, hash)) };
}

const signingAlgorithm = (type: KeyType) =>
  type.startsWith('ec')
    ? { name: 'ECDSA', hash: type === 'ec-p384' ? 'SHA-384' : 'SHA-256' }
    : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

for (const type of KEY_TYPES.filter((each) => each !== 'rsa-4096')) {
  test(`@peculiar/x509 builds a root, an intermediate and a CSR with an outside ${type} key`, async () => {
    const { crypto, key, pair } = await outsidePair(type);
    const algorithm = signingAlgorithm(type);
    const ca = [new BasicConstraintsExtension(true)];
    const root = await X509CertificateGenerator.createSelfSigned(
      { ...validity, name: 'CN=root', keys: pair, signingAlgorithm: algorithm, extensions: ca },
      crypto,
    );
    const readRoot = new X509Certificate(Buffer.from(root.rawData));
    assert.ok(readRoot.verify(readRoot.publicKey));
    assert.deepEqual(
      readRoot.publicKey.export({ type: 'spki', format: 'der' }),
      Buffer.from(key.publicKeySpki),
    );
    const below = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ]);
    const intermediate = await X509CertificateGenerator.create(
      {
        ...validity,
        subject: 'CN=below',
        issuer: root.subject,
        publicKey: below.publicKey,
        signingKey: pair.privateKey,
        signingAlgorithm: algorithm,
        extensions: ca,
      },
      crypto,
    );
    assert.ok(new X509Certificate(Buffer.from(intermediate.rawData)).verify(readRoot.publicKey));
    const csr = await Pkcs10CertificateRequestGenerator.create(
      { name: 'CN=upstream', keys: pair, signingAlgorithm: algorithm },
      crypto,
    );
    const read = unwrap(parseCsr(new Uint8Array(csr.rawData)));
    assert.deepEqual(Buffer.from(read.publicKey.spki), Buffer.from(key.publicKeySpki));
  });
}

test('a key of the process signs as before', async () => {
  const { crypto } = createKeyCrypto();
  const local = { name: 'ECDSA', namedCurve: 'P-256' };
  const pair = await crypto.subtle.generateKey(local, false, ['sign', 'verify']);
  const how = { name: 'ECDSA', hash: 'SHA-256' };
  const message = Buffer.from('m');
  const signature = await crypto.subtle.sign(how, pair.privateKey, message);
  assert.ok(await crypto.subtle.verify(how, pair.publicKey, signature, message));
});

test('a refusal of the key manager ends the signing, with its code', async () => {
  const act: Device = async () => fail('KEY_DISABLED', 'by the test');
  const { crypto, pair } = await outsidePair('ec-p256', act);
  const signing = crypto.subtle.sign(
    { name: 'ECDSA', hash: 'SHA-256' },
    pair.privateKey,
    Buffer.from('m'),
  );
  await assert.rejects(signing, (thrown: Error) => {
    assert.ok(thrown.cause instanceof SignetError);
    return thrown.cause.code === 'KEY_DISABLED';
  });
});

test('the private key cannot be taken out', async () => {
  const { crypto, pair } = await outsidePair('ec-p256');
  await assert.rejects(crypto.subtle.exportKey('pkcs8', pair.privateKey));
  await assert.rejects(crypto.subtle.exportKey('jwk', pair.privateKey));
});

test('a hash that no key here signs with is refused before the key manager is asked', async () => {
  let asked = 0;
  const act: Device = async () => {
    asked += 1;
    return ok(new Uint8Array(64));
  };
  const { crypto, pair } = await outsidePair('ec-p256', act);
  const how = { name: 'ECDSA', hash: 'SHA-1' };
  await assert.rejects(crypto.subtle.sign(how, pair.privateKey, Buffer.from('m')), TypeError);
  assert.equal(asked, 0);
});
