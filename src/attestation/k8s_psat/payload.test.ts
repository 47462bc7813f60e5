import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { decodeK8sPsatPayload, encodeK8sPsatPayload, MAX_CLUSTER_NAME } from './payload.ts';

test('a payload is what was written', () => {
  const text = fc.string({ minLength: 1, maxLength: 200, unit: 'grapheme-ascii' });
  fc.assert(
    fc.property(text, text, (cluster, token) => {
      const payload = { cluster, token };
      assert.deepEqual(assertValue(decodeK8sPsatPayload(encodeK8sPsatPayload(payload))), payload);
    }),
  );
});

test("is SPIRE's", () => {
  const bytes = encodeK8sPsatPayload({ cluster: 'c', token: 't' });
  assert.equal(bytes.toString(), '{"cluster":"c","token":"t"}');
});

test('has a cluster of a bounded name and a token, each once', () => {
  const named = (length: number): Buffer =>
    encodeK8sPsatPayload({ cluster: 'c'.repeat(length), token: 't' });
  assertValue(decodeK8sPsatPayload(named(MAX_CLUSTER_NAME - 1)));
  assertValue(decodeK8sPsatPayload(named(MAX_CLUSTER_NAME)));
  assertRefused(decodeK8sPsatPayload(named(MAX_CLUSTER_NAME + 1)), 'ATTESTATION_PAYLOAD');
  for (const text of [
    '{"cluster":"","token":"t"}',
    '{"cluster":"c","token":""}',
    '{"cluster":null,"token":"t"}',
    '{"cluster":["c"],"token":"t"}',
    '{"cluster":"c","token":"t","token":"u"}',
    '"c"',
  ]) {
    assertRefused(decodeK8sPsatPayload(Buffer.from(text)), 'ATTESTATION_PAYLOAD');
  }
  assertValue(decodeK8sPsatPayload(Buffer.from('{"cluster":"c","token":"t","more":1}')));
});
