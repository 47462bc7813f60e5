import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey, signWith } from '../../../test/support/x509.ts';
import { toHex } from '../../base/bytes.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { enrolText, verifyEnrolText } from './signed-text.ts';

interface Vector {
  readonly publicKey: string;
  readonly csr: string;
  readonly challenge: string;
  readonly text: string;
  readonly signature: string;
}

describe('what is signed at an enrolment', () => {
  test('is what the vector of the protocol says', () => {
    const file = new URL('../../../test/support/connector-enrol-vector.json', import.meta.url);
    const vector = JSON.parse(readFileSync(file, 'utf8')) as Vector;
    const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
    const text = enrolText(bytes(vector.challenge), bytes(vector.csr));
    assert.equal(toHex(text), vector.text);
    const key = assertValue(parsePublicKey(bytes(vector.publicKey)));
    assertValue(verifyEnrolText(key, text, bytes(vector.signature), 'it'));
  });

  for (const type of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    test(`${type}: verifies with its own hash, and with no other`, () => {
      const key = makeKey(type);
      const text = enrolText(Buffer.of(1), Buffer.of(2));
      assertValue(verifyEnrolText(key.publicKey, text, signWith(key, text), 'it'));
      const kind = type === 'rsa-2048' ? 'rsa' : 'ecdsa';
      const other = signWith(key, text, { kind, hash: 'sha512' });
      const p1363 = Buffer.alloc(64, 1);
      for (const signature of [other, p1363, new Uint8Array(), signWith(makeKey(type), text)]) {
        const verified = verifyEnrolText(key.publicKey, text, signature, 'it');
        assertRefused(verified, 'CONNECTOR_SIGNATURE');
      }
      const swapped = enrolText(Buffer.of(2), Buffer.of(1));
      const signature = signWith(key, text);
      assertRefused(
        verifyEnrolText(key.publicKey, swapped, signature, 'it'),
        'CONNECTOR_SIGNATURE',
      );
    });
  }
});
