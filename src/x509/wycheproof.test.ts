import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertValue } from '../../test/support/refused.ts';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { parsePublicKey } from './public-key.ts';
import {
  type SignatureScheme,
  signatureAlgorithmDer,
  verifySignature,
  verifyWithScheme,
} from './signature.ts';

interface WycheproofFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly {
    readonly publicKeyDer: string;
    readonly tests: readonly {
      readonly tcId: number;
      readonly comment: string;
      readonly msg: string;
      readonly sig: string;
      readonly result: 'valid' | 'invalid' | 'acceptable';
      readonly flags: readonly string[];
    }[];
  }[];
}

const FILES: readonly [name: string, scheme: SignatureScheme][] = [
  ['ecdsa_secp256r1_sha256', { kind: 'ecdsa', hash: 'sha256' }],
  ['ecdsa_secp384r1_sha384', { kind: 'ecdsa', hash: 'sha384' }],
  ['ecdsa_secp521r1_sha512', { kind: 'ecdsa', hash: 'sha512' }],
  ['ecdsa_secp256r1_sha256_p1363', { kind: 'ecdsa', hash: 'sha256', encoding: 'p1363' }],
  ['ecdsa_secp384r1_sha384_p1363', { kind: 'ecdsa', hash: 'sha384', encoding: 'p1363' }],
  ['ecdsa_secp521r1_sha512_p1363', { kind: 'ecdsa', hash: 'sha512', encoding: 'p1363' }],
  ['rsa_signature_2048_sha256', { kind: 'rsa', hash: 'sha256' }],
  ['rsa_pss_2048_sha256_mgf1_32', { kind: 'rsa-pss', hash: 'sha256' }],
  ['ed25519', { kind: 'ed25519', hash: 'sha512' }],
];

const folder = 'vectors/wycheproof';

describe('wycheproof signatures', () => {
  for (const [name, scheme] of FILES) {
    it(`${name}: every case as published`, needsShared(folder), () => {
      const text = readFileSync(join(sharedDir, folder, `${name}.json`), 'utf8');
      const file: WycheproofFile = JSON.parse(text);
      const wrong: string[] = [];
      let count = 0;
      for (const { publicKeyDer, tests } of file.testGroups) {
        const publicKey = assertValue(parsePublicKey(Buffer.from(publicKeyDer, 'hex')));
        for (const { tcId, comment, msg, sig, result } of tests) {
          count++;
          const message = Buffer.from(msg, 'hex');
          const signature = Buffer.from(sig, 'hex');
          const verified =
            scheme.encoding === 'p1363'
              ? verifyWithScheme(publicKey, scheme, message, signature)
              : verifySignature(publicKey, signatureAlgorithmDer(scheme), message, signature);
          // "acceptable" is the RSA encoding without NULL: either answer is right, ours is checked below.
          if (result !== 'acceptable' && verified.ok !== (result === 'valid')) {
            wrong.push(`${tcId} ${comment}: ${result}`);
          }
          if (result === 'acceptable' && verified.ok) wrong.push(`${tcId} ${comment}: lax`);
        }
      }
      assert.deepEqual(wrong, []);
      assert.equal(count, file.numberOfTests);
    });
  }
});
