import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  NVIDIA_FILES,
  type NvidiaEvidence,
  readNvidiaEvidence,
} from '../../test/support/nvidia-evidence.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { needsShared } from '../../test/support/shared.ts';
import { unwrap } from '../base/result.ts';
import { toKeyObject } from '../x509/public-key.ts';
import { DEFAULT_SPDM_POLICY, type SpdmPolicy } from './policy.ts';
import { verifySignedMeasurements } from './verify-measurements.ts';

/** Offsets in the one request and answer of a 1.1 transcript. */
const NONCE_AT = 4;
const RECORD_AT = 37 + 8;
const SIGNATURE_BYTES = 96;

function leafKeyOf(evidence: NvidiaEvidence): KeyObject {
  const [leaf] = evidence.chain;
  assert.ok(leaf);
  return unwrap(toKeyObject(leaf.publicKey));
}

function verify(evidence: NvidiaEvidence, change: Partial<NvidiaEvidence> = {}) {
  const { messages, nonce } = { ...evidence, ...change };
  return verifySignedMeasurements({
    messages,
    nonce,
    leafKey: leafKeyOf(evidence),
    policy: DEFAULT_SPDM_POLICY,
  });
}

/** The same bytes with one bit another; negative offsets count from the end. */
function flipped(bytes: Uint8Array, at: number, bit = 0): Uint8Array {
  const copy = new Uint8Array(bytes);
  const index = at < 0 ? bytes.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ (1 << bit);
  return copy;
}

for (const file of NVIDIA_FILES) {
  describe(`evidence of a real chip, ${file}`, needsShared(file), () => {
    const evidence = () => readNvidiaEvidence(file);

    test('verifies under the key of its leaf, for its nonce', () => {
      const { version, slot, hash, blocks } = assertValue(verify(evidence()));
      assert.deepEqual({ version, slot, hash }, { version: '1.1', slot: 0, hash: 'sha384' });
      assert.ok(blocks.length > 30, `${blocks.length} blocks`);
      assert.deepEqual([...new Set(blocks.map(({ value }) => value.length))], [48]);
    });

    test('is refused for another nonce', () => {
      const { nonce } = evidence();
      for (const at of [0, 15, 31]) {
        assertRefused(verify(evidence(), { nonce: flipped(nonce, at) }), 'SPDM_NONCE');
      }
    });

    test('is refused when its nonce was changed along with the one that is asked for', () => {
      const { messages, nonce } = evidence();
      const forged = { messages: flipped(messages, NONCE_AT), nonce: flipped(nonce, 0) };
      assertRefused(verify(evidence(), forged), 'SPDM_SIGNATURE');
    });

    test('is refused with a bit of a measured value flipped', () => {
      const { messages } = evidence();
      for (const at of [RECORD_AT + 7, RECORD_AT + 7 + 47, RECORD_AT + 55 + 7]) {
        const forged = flipped(messages, at, 3);
        assertRefused(verify(evidence(), { messages: forged }), 'SPDM_SIGNATURE');
      }
    });

    test('is refused with a bit of its opaque data flipped', () => {
      const { messages } = evidence();
      const forged = flipped(messages, -SIGNATURE_BYTES - 1);
      assertRefused(verify(evidence(), { messages: forged }), 'SPDM_SIGNATURE');
    });

    test('is refused with a bit of its signature flipped', () => {
      const { messages } = evidence();
      for (const at of [-SIGNATURE_BYTES, -SIGNATURE_BYTES / 2, -1]) {
        assertRefused(verify(evidence(), { messages: flipped(messages, at) }), 'SPDM_SIGNATURE');
      }
    });

    test('is refused a byte short, a byte long, and twice', () => {
      const { messages } = evidence();
      const cases = [
        [messages.subarray(0, -1), 'SPDM_TRUNCATED'],
        [Buffer.concat([messages, Buffer.of(0)]), 'SPDM_TRAILING_BYTES'],
        [Buffer.concat([messages, messages]), 'SPDM_TRAILING_BYTES'],
      ] as const;
      for (const [forged, code] of cases) {
        assertRefused(verify(evidence(), { messages: forged }), code);
      }
    });

    test('is refused where only other hashes are allowed for the curve', () => {
      const policy: SpdmPolicy = { ...DEFAULT_SPDM_POLICY, hashes: { 'ec-p384': ['sha512'] } };
      const { messages, nonce } = evidence();
      const request = { messages, nonce, leafKey: leafKeyOf(evidence()), policy };
      assertRefused(verifySignedMeasurements(request), 'SPDM_SIGNATURE');
      const none: SpdmPolicy = { ...policy, hashes: { 'ec-p521': ['sha512'] } };
      assertRefused(verifySignedMeasurements({ ...request, policy: none }), 'SPDM_ALGORITHM');
    });
  });
}

test(
  'evidence of one chip is refused under the leaf of another',
  needsShared(NVIDIA_FILES[0]),
  () => {
    const [gpu, nvSwitch] = NVIDIA_FILES.map(readNvidiaEvidence);
    assert.ok(gpu && nvSwitch);
    const { messages, nonce } = gpu;
    const policy = DEFAULT_SPDM_POLICY;
    const request = { messages, nonce, leafKey: leafKeyOf(nvSwitch), policy };
    assertRefused(verifySignedMeasurements(request), 'SPDM_SIGNATURE');
  },
);
