import assert from 'node:assert/strict';
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { readCertificateChain } from '../../src/spdm/certificate-chain.ts';
import { DEFAULT_SPDM_POLICY, type SpdmPolicy } from '../../src/spdm/policy.ts';
import { collectMeasurements } from '../../src/spdm/requester.ts';
import { verifyChallengeAuth } from '../../src/spdm/verify-challenge.ts';
import { verifySignedMeasurements } from '../../src/spdm/verify-measurements.ts';
import { SPDM_VERSIONS } from '../../src/spdm/version.ts';
import { toKeyObject } from '../../src/x509/public-key.ts';
import { spdmChainBlob } from '../support/dice.ts';
import { NVIDIA_FILES, readNvidiaEvidence } from '../support/nvidia-evidence.ts';
import { needsShared } from '../support/shared.ts';
import { makeSpdmDevice } from '../support/spdm-device.ts';
import { between, runSeed } from './seed.ts';

const { random } = runSeed('spdm evidence');

/** One hash for the curve, as the chips sign: a forged signature costs one check. */
const policy: SpdmPolicy = { ...DEFAULT_SPDM_POLICY, hashes: { 'ec-p384': ['sha384'] } };

const REAL_CASES = 100_000;
const OWN_CASES = 10_000;

/** Where most of the lengths and codes of a transcript stand. */
const HEAD_BYTES = 400;

/** A bit of some byte of the first `within`. */
function flip(bytes: Uint8Array, within: number): void {
  const at = between(random, 0, Math.min(within, bytes.length));
  bytes[at] = (bytes[at] ?? 0) ^ (1 << between(random, 0, 8));
}

function flipSeveral(original: Uint8Array, within: number): Uint8Array {
  const bytes = new Uint8Array(original);
  for (let flips = between(random, 1, 4); flips > 0; flips--) flip(bytes, within);
  return bytes;
}

function truncate(original: Uint8Array): Uint8Array {
  return original.subarray(0, between(random, 0, original.length));
}

/** Bytes left out, or others put in, somewhere. */
function splice(original: Uint8Array, drawn: Random): Uint8Array {
  const at = between(drawn, 0, original.length);
  const until = Math.min(original.length, at + between(drawn, 0, 9));
  const added = drawn.bytes(between(drawn, 0, 9));
  return Buffer.concat([original.subarray(0, at), added, original.subarray(until)]);
}

/**
 * One case. What breaks the structure is refused before a signature is looked at, which costs the most;
 * so one case in twelve is a change anywhere, which mostly hits a measured value, and the others are
 * truncations, splices and changes among the lengths and codes. Each is verified in full.
 */
function mutate(original: Uint8Array): Uint8Array {
  const kind = between(random, 0, 12);
  if (kind < 5) return truncate(original);
  if (kind < 7) return truncate(flipSeveral(original, HEAD_BYTES));
  if (kind < 9) return splice(original, random);
  if (kind < 11) return flipSeveral(flipSeveral(original, HEAD_BYTES), 48);
  return flipSeveral(original, original.length);
}

/** Refusals by code over a run of cases; none may be accepted, and none INTERNAL or thrown. */
function run(
  cases: number,
  original: Uint8Array,
  verify: (bytes: Uint8Array) => Result<unknown>,
): ReadonlyMap<string, number> {
  const refusals = new Map<string, number>();
  for (let at = 0; at < cases; at++) {
    const mutated = mutate(original);
    if (Buffer.compare(mutated, original) === 0) continue;
    const result = verify(mutated);
    assert.equal(result.ok, false, `accepted: ${Buffer.from(mutated).toString('base64')}`);
    const code = result.ok ? '' : result.error.code;
    assert.match(code, /^(SPDM|DER)_/, Buffer.from(mutated).toString('base64'));
    refusals.set(code, (refusals.get(code) ?? 0) + 1);
  }
  return refusals;
}

function verifier(nonce: Uint8Array, leafKey: KeyObject) {
  return (messages: Uint8Array) => verifySignedMeasurements({ messages, nonce, leafKey, policy });
}

describe('evidence of real chips', () => {
  for (const file of NVIDIA_FILES) {
    test(`${file}: no flip, truncation or splice is accepted`, needsShared(file), () => {
      const { messages, nonce, chain } = readNvidiaEvidence(file);
      const [leaf] = chain;
      assert.ok(leaf);
      const verify = verifier(nonce, unwrap(toKeyObject(leaf.publicKey)));
      assert.ok(verify(messages).ok);
      const refusals = run(REAL_CASES / NVIDIA_FILES.length, messages, verify);
      assert.ok((refusals.get('SPDM_SIGNATURE') ?? 0) > 0, 'some reached the signature');
      assert.ok((refusals.get('SPDM_TRUNCATED') ?? 0) > 0);
      assert.ok((refusals.get('SPDM_MEASUREMENT_RECORD') ?? 0) > 0);
    });
  }
});

describe('evidence of our own device', () => {
  for (const version of SPDM_VERSIONS) {
    test(`${version}: no change of measurements or challenge is accepted`, async () => {
      const device = makeSpdmDevice({ versions: [version], opaque: Buffer.from('opaque data') });
      const leafKey = createPublicKey(device.boot.leafKey);
      const nonce = randomBytes(32);
      const options = { nonce, challengeNonce: nonce, policy, clock: systemClock };
      const collected = unwrap(await collectMeasurements(device.exchange, options));
      const { messages, challengeMessages = new Uint8Array() } = collected;
      const verify = verifier(nonce, leafKey);
      assert.ok(verify(messages).ok);
      run(OWN_CASES, messages, verify);
      const challenge = (bytes: Uint8Array) =>
        verifyChallengeAuth({ messages: bytes, nonce, leafKey, policy });
      assert.ok(challenge(challengeMessages).ok);
      run(OWN_CASES, challengeMessages, challenge);
    });
  }

  test('no change of a certificate chain is a crash', () => {
    const { boot } = makeSpdmDevice();
    const blob = spdmChainBlob(boot.chain);
    for (let at = 0; at < OWN_CASES; at++) {
      const read = readCertificateChain(mutate(blob), 'sha384', policy);
      if (!read.ok) assert.match(read.error.code, /^(SPDM|DER)_/);
    }
  });
});
