import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeBootedDpu, spdmChainBlob } from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import type { ErrorCode } from '../base/errors.ts';
import { readCertificateChain } from './certificate-chain.ts';
import { DEFAULT_SPDM_POLICY, type SpdmPolicy } from './policy.ts';

const { chain } = makeBootedDpu();
const blob = Buffer.from(spdmChainBlob(chain));

const read = (bytes: Uint8Array, against: Partial<SpdmPolicy> = {}) =>
  readCertificateChain(bytes, 'sha384', { ...DEFAULT_SPDM_POLICY, ...against });

/** The blob with a length that fits what it holds. */
function sized(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.writeUInt16LE(copy.length);
  return copy;
}

describe('certificate chain of a slot', () => {
  test('gives its certificates, the root first', () => {
    assert.deepEqual(
      assertValue(read(blob)).map((der) => Buffer.from(der)),
      chain.map((der) => Buffer.from(der)),
    );
  });

  test('may be as long and have as many certificates as the policy says, and no more', () => {
    assertValue(read(blob, { maxChainBytes: blob.length, maxCertificates: 6 }));
    assertRefused(read(blob, { maxChainBytes: blob.length - 1 }), 'SPDM_TOO_LARGE');
    assertRefused(read(blob, { maxCertificates: 5 }), 'SPDM_CERTIFICATE_CHAIN');
  });

  const cases: readonly (readonly [string, Uint8Array, ErrorCode])[] = [
    ['a length one less', blob.with(0, (blob[0] ?? 0) - 1), 'SPDM_CERTIFICATE_CHAIN'],
    ['a length one more', blob.with(0, (blob[0] ?? 0) + 1), 'SPDM_CERTIFICATE_CHAIN'],
    ['the longer length of 1.4', blob.with(2, 1), 'SPDM_CERTIFICATE_CHAIN'],
    ['the hash of another root', blob.with(4, (blob[4] ?? 0) ^ 1), 'SPDM_CERTIFICATE_CHAIN'],
    ['the hash of another algorithm', spdmChainBlob(chain, 'sha512'), 'DER_TAG'],
    ['a byte missing', blob.subarray(0, -1), 'SPDM_CERTIFICATE_CHAIN'],
    ['a byte missing and a length to match', sized(blob.subarray(0, -1)), 'DER_TRUNCATED'],
    ['a byte more and a length to match', sized(Buffer.concat([blob, Buffer.of(0)])), 'DER_TAG'],
    ['no certificate', sized(blob.subarray(0, 52)), 'DER_TRUNCATED'],
    ['half a hash', sized(blob.subarray(0, 28)), 'SPDM_TRUNCATED'],
    ['nothing', new Uint8Array(), 'SPDM_TRUNCATED'],
  ];
  for (const [name, bytes, code] of cases) {
    test(`with ${name} is refused: ${code}`, () => assertRefused(read(bytes), code));
  }
});
