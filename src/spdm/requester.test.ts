import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { makeBootedDpu } from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  changed,
  changedAndSigned,
  dpuMeasurements,
  eagerClock,
  errorMessage,
  exchangeWith,
  insteadOf,
  makeSpdmDevice,
  type SpdmDevice,
  withByte,
} from '../../test/support/spdm-device.ts';
import type { ResponderFault, ResponderOptions } from '../../test/support/spdm-responder.ts';
import type { ErrorCode } from '../base/errors.ts';
import { fail } from '../base/result.ts';
import type { SpdmHash } from './algorithms.ts';
import { DEFAULT_SPDM_POLICY, type SpdmPolicy } from './policy.ts';
import { type CollectOptions, collectMeasurements } from './requester.ts';
import type { Exchange } from './talk.ts';
import { verifyChallengeAuth } from './verify-challenge.ts';
import { verifySignedMeasurements } from './verify-measurements.ts';
import { SPDM_VERSIONS } from './version.ts';

const policy = DEFAULT_SPDM_POLICY;
const nonce = randomBytes(32);
const challengeNonce = randomBytes(32);

function collect(exchange: Exchange, options: Partial<CollectOptions> = {}) {
  return collectMeasurements(exchange, { nonce, policy, clock: eagerClock(), ...options });
}

/** Collects from a device with a fault, and expects it to be refused while collecting. */
async function refusedWith(
  code: ErrorCode,
  options: Partial<ResponderOptions>,
  collecting: Partial<CollectOptions> = {},
): Promise<void> {
  assertRefused(await collect(makeSpdmDevice(options).exchange, collecting), code);
}

async function collectAndVerify(device: SpdmDevice, options: Partial<CollectOptions> = {}) {
  const evidence = assertValue(await collect(device.exchange, options));
  const { messages } = evidence;
  const { leafKey } = device;
  const against = options.policy ?? policy;
  const verified = verifySignedMeasurements({ messages, nonce, leafKey, policy: against });
  return { evidence, verified: assertValue(verified) };
}

describe('collecting from a responder', () => {
  for (const version of SPDM_VERSIONS) {
    for (const mode of ['all', 'each'] as const) {
      test(`${version}: measurements asked ${mode === 'all' ? 'at once' : 'one by one'} verify`, async () => {
        const device = makeSpdmDevice({ versions: [version] });
        const { evidence, verified } = await collectAndVerify(device, { mode });
        assert.equal(verified.version, version);
        assert.equal(verified.hash, 'sha384');
        assert.deepEqual(
          verified.blocks.map(({ value, ...rest }) => ({ ...rest, value: Buffer.from(value) })),
          dpuMeasurements().map(({ value, ...rest }) => ({ ...rest, value: Buffer.from(value) })),
        );
        assert.deepEqual(
          evidence.certificateChain.map((der) => Buffer.from(der)),
          device.boot.chain.map((der) => Buffer.from(der)),
        );
      });
    }

    test(`${version}: the answer to a challenge verifies, with the chain in it`, async () => {
      const device = makeSpdmDevice({ versions: [version], opaque: Buffer.from('opaque') });
      const { evidence } = await collectAndVerify(device, { challengeNonce });
      assert.ok(evidence.challengeMessages);
      const request = { messages: evidence.challengeMessages, leafKey: device.leafKey, policy };
      const proof = assertValue(verifyChallengeAuth({ ...request, nonce: challengeNonce }));
      assert.equal(proof.version, version);
      assert.equal(proof.certificateChain.length, 6);
      assertRefused(verifyChallengeAuth({ ...request, nonce }), 'SPDM_NONCE');
    });
  }

  test('the highest version that both sides speak is taken', async () => {
    const device = makeSpdmDevice();
    assert.equal((await collectAndVerify(device)).verified.version, '1.3');
    const lower: SpdmPolicy = { ...policy, versions: ['1.1', '1.2'] };
    assert.equal((await collectAndVerify(device, { policy: lower })).verified.version, '1.2');
  });

  const curves = [
    ['ec-p256', 'sha256'],
    ['ec-p384', 'sha384'],
    ['ec-p384', 'sha512'],
  ] as const;
  for (const [curve, hash] of curves) {
    test(`${curve} with ${hash} verifies in every version where it is allowed`, async () => {
      const hashes: Partial<Record<typeof curve, readonly SpdmHash[]>> = { [curve]: [hash] };
      const boot = makeBootedDpu({ keyType: curve });
      for (const version of SPDM_VERSIONS) {
        const device = makeSpdmDevice({ boot, hash, versions: [version] });
        const { verified } = await collectAndVerify(device, { policy: { ...policy, hashes } });
        assert.equal(verified.hash, hash);
      }
    });
  }

  test('a device without challenges gives none and still measures', async () => {
    const device = makeSpdmDevice({ versions: ['1.1'], flags: 0x32 });
    const { evidence } = await collectAndVerify(device, { challengeNonce, mode: 'each' });
    assert.equal(evidence.challengeMessages, undefined);
  });

  test('a chain that comes in small parts is put together', async () => {
    const device = makeSpdmDevice({ portionBytes: 100 });
    const { evidence } = await collectAndVerify(device, { challengeNonce });
    const request = { leafKey: device.leafKey, policy, nonce: challengeNonce };
    const messages = evidence.challengeMessages ?? new Uint8Array();
    assertValue(verifyChallengeAuth({ ...request, messages }));
  });

  test('the digest of the chain is the one over its header too', async () => {
    const device = makeSpdmDevice();
    const { evidence } = await collectAndVerify(device);
    const ders = Buffer.concat(device.boot.chain);
    const head = Buffer.alloc(4);
    head.writeUInt16LE(4 + 48 + ders.length);
    const rootHash = createHash('sha384').update(device.boot.chain[0]!).digest();
    const digest = createHash('sha384')
      .update(Buffer.concat([head, rootHash, ders]))
      .digest();
    assert.deepEqual(Buffer.from(evidence.chainDigest), digest);
  });

  test('a device whose answer is too long at once is asked for each', async () => {
    for (const error of [0x0d, 0x0f]) {
      const all = insteadOf(0xe0, 1, errorMessage(error));
      const { verified } = await collectAndVerify(makeSpdmDevice({ faults: [all] }));
      assert.equal(verified.blocks.length, dpuMeasurements().length);
    }
  });
});

describe('a responder that is not ready', () => {
  const cases = [
    ['GET_VERSION', 0x84],
    ['GET_CAPABILITIES', 0xe1],
    ['GET_CERTIFICATE', 0x82],
    ['GET_MEASUREMENTS', 0xe0],
  ] as const;
  for (const [name, code] of cases) {
    test(`is asked again while it is busy at ${name}`, async () => {
      const clock = eagerClock();
      const device = makeSpdmDevice({ faults: [insteadOf(code, 3, errorMessage(0x03))] });
      await collectAndVerify(device, { clock });
      assert.deepEqual(clock.delaysMs, [250, 250, 250]);
    });
  }

  test('is asked for the answer by its token after the time that it names', async () => {
    const clock = eagerClock();
    let held: Uint8Array | undefined;
    const { respond, leafKey } = makeSpdmDevice();
    const exchange = exchangeWith((request) => {
      const [version = 0, code, param1, param2] = request;
      if (code === 0xe0) {
        held = respond(request);
        return Uint8Array.of(version, 0x7f, 0x42, 0, 16, 0xe0, 7, 1);
      }
      if (code !== 0xff) return respond(request);
      assert.deepEqual([param1, param2], [0xe0, 7]);
      return held ?? new Uint8Array();
    });
    const { messages } = assertValue(await collect(exchange, { clock }));
    assertValue(verifySignedMeasurements({ messages, nonce, leafKey, policy }));
    assert.deepEqual(clock.delaysMs, [Math.ceil(2 ** 16 / 1000)]);
  });

  test('is given up after the attempts and after the time that the rules allow', async () => {
    const busy = { faults: [insteadOf(0xe0, 100, errorMessage(0x03))] };
    const wait = { maxAttempts: 4, busyDelayMs: 10, maxWaitMs: 1000 };
    const clock = eagerClock();
    await refusedWith('SPDM_BUSY', busy, { wait, clock });
    assert.deepEqual(clock.delaysMs, [10, 10, 10]);
    const short = eagerClock();
    await refusedWith('SPDM_BUSY', busy, { wait: { ...wait, maxWaitMs: 25 }, clock: short });
    assert.deepEqual(short.delaysMs, [10, 10]);
  });

  test('that names an absurd time is not waited for', async () => {
    const clock = eagerClock();
    const faults = [insteadOf(0xe0, 1, errorMessage(0x42, 255, 0xe0, 1, 1))];
    await refusedWith('SPDM_BUSY', { faults }, { clock });
    assert.deepEqual(clock.delaysMs, []);
  });

  test('that names another request, or no token, is refused', async () => {
    for (const data of [[10, 0x82, 1, 1], [10, 0xe0, 1], []]) {
      const faults = [insteadOf(0xe0, 1, errorMessage(0x42, ...data))];
      await refusedWith('SPDM_FIELD', { faults });
    }
  });
});

describe('a responder that does wrong is refused', () => {
  const cases: readonly (readonly [string, ErrorCode, Partial<ResponderOptions>])[] = [
    [
      'speaks only 1.0',
      'SPDM_VERSION',
      { versions: ['1.1'], faults: [changed(0x04, (rsp) => withByte(rsp, 7, 0x10))] },
    ],
    [
      'lists no version',
      'SPDM_FIELD',
      { faults: [changed(0x04, (rsp) => withByte(rsp.slice(0, 6), 5, 0))] },
    ],
    [
      'lists drafts only',
      'SPDM_VERSION',
      { versions: ['1.2'], faults: [changed(0x04, (rsp) => withByte(rsp, 6, 0x01))] },
    ],
    ['has no certificates', 'SPDM_CAPABILITY', { flags: 0x34 }],
    ['does not sign measurements', 'SPDM_CAPABILITY', { flags: 0x0e }],
    [
      'takes shorter messages than the request',
      'SPDM_CAPABILITY',
      { versions: ['1.3'], transferBytes: 42 },
    ],
    ['takes less than anybody must', 'SPDM_FIELD', { versions: ['1.3'], transferBytes: 41 }],
    ['has another hash than is allowed', 'SPDM_RESPONDER_ERROR', { hash: 'sha256' }],
    [
      'selects what was not offered',
      'SPDM_ALGORITHM',
      { faults: [changed(0x63, (rsp) => withByte(rsp, 16, 0x01))] },
    ],
    [
      'selects a curve that was not offered',
      'SPDM_ALGORITHM',
      { faults: [changed(0x63, (rsp) => withByte(rsp, 12, 0x10))] },
    ],
    [
      'selects two curves',
      'SPDM_ALGORITHM',
      { faults: [changed(0x63, (rsp) => withByte(withByte(rsp, 12, 0x80), 13, 1))] },
    ],
    [
      'measures raw bit streams only',
      'SPDM_ALGORITHM',
      { faults: [changed(0x63, (rsp) => withByte(rsp, 8, 1))] },
    ],
    [
      'selects an algorithm of a vendor',
      'SPDM_ALGORITHM',
      { faults: [changed(0x63, (rsp) => withByte(rsp, 32, 1))] },
    ],
    [
      'states another length of ALGORITHMS',
      'SPDM_FIELD',
      { faults: [changed(0x63, (rsp) => withByte(rsp, 4, 40))] },
    ],
    ['has nothing in the slot', 'SPDM_SLOT', { slot: 1 }],
    [
      'announces the digest of another chain',
      'SPDM_CHAIN_DIGEST',
      { faults: [changed(0x01, (rsp) => withByte(rsp, -1, (rsp.at(-1) ?? 0) ^ 1))] },
    ],
    [
      'changes the chain',
      'SPDM_CHAIN_DIGEST',
      { faults: [changed(0x02, (rsp) => withByte(rsp, -1, (rsp.at(-1) ?? 0) ^ 1))] },
    ],
    [
      'gives the chain of another slot',
      'SPDM_SLOT',
      { faults: [changed(0x02, (rsp) => withByte(rsp, 2, 1))] },
    ],
    ['gives an empty part of the chain', 'SPDM_FIELD', { portionBytes: 0 }],
    ['gives the chain in single bytes', 'SPDM_TOO_LARGE', { portionBytes: 1 }],
    [
      'gives parts of two chains',
      'SPDM_CERTIFICATE_CHAIN',
      { portionBytes: 500, faults: [secondPortionClaimsMore()] },
    ],
    ['has a chain over the limit', 'SPDM_TOO_LARGE', { chain: [new Uint8Array(20_000)] }],
    [
      'wants mutual authentication',
      'SPDM_FIELD',
      { faults: [changed(0x03, (rsp) => withByte(rsp, 2, 0x80))] },
    ],
    [
      'says that a measurement changed',
      'SPDM_MEASUREMENTS_CHANGED',
      { versions: ['1.2'], faults: [changedAndSigned(0x60, (rsp) => withByte(rsp, 3, 0x10))] },
    ],
    [
      'answers from another slot',
      'SPDM_SLOT',
      { faults: [changedAndSigned(0x60, (rsp) => withByte(rsp, 3, 0x01))] },
    ],
    [
      'gives back another context',
      'SPDM_FIELD',
      { versions: ['1.3'], faults: [changedAndSigned(0x60, (rsp) => withByte(rsp, -1, 1))] },
    ],
    ['wants to begin anew', 'SPDM_RESYNCH', { faults: [insteadOf(0xe0, 1, errorMessage(0x43))] }],
    [
      'answers with an error',
      'SPDM_RESPONDER_ERROR',
      { faults: [insteadOf(0x82, 1, errorMessage(0x05))] },
    ],
  ];
  for (const [name, code, options] of cases) {
    test(`that ${name}: ${code}`, () => refusedWith(code, options, { challengeNonce }));
  }

  function secondPortionClaimsMore(): ResponderFault {
    let parts = 0;
    return changed(0x02, (rsp) => {
      parts += 1;
      return parts === 2 ? withByte(rsp, 6, (rsp[6] ?? 0) + 1) : rsp;
    });
  }

  const responses = [
    ['CAPABILITIES', 0x61],
    ['ALGORITHMS', 0x63],
    ['DIGESTS', 0x01],
    ['CERTIFICATE', 0x02],
    ['CHALLENGE_AUTH', 0x03],
    ['MEASUREMENTS', 0x60],
  ] as const;
  for (const [name, code] of responses) {
    test(`that lowers the version in ${name}`, async () => {
      for (const byte of [0x10, 0x11, 0x12, 0x14]) {
        const faults = [changed(code, (response) => withByte(response, 0, byte))];
        await refusedWith('SPDM_VERSION_MIXED', { faults }, { challengeNonce });
      }
    });

    test(`whose ${name} is a byte short or long`, async () => {
      const short = [changed(code, (response) => response.slice(0, -1))];
      await refusedWith('SPDM_TRUNCATED', { faults: short }, { challengeNonce });
      const long = [changed(code, (response) => Buffer.concat([response, Buffer.of(0)]))];
      await refusedWith('SPDM_TRAILING_BYTES', { faults: long }, { challengeNonce });
    });

    test(`that answers something else in the place of ${name}`, async () => {
      const faults = [changed(code, (response) => withByte(response, 1, 0x05))];
      await refusedWith('SPDM_MESSAGE_UNEXPECTED', { faults }, { challengeNonce });
    });
  }

  test('whose chain is over the limit, at its first part', async () => {
    const { respond } = makeSpdmDevice({ chain: [new Uint8Array(20_000)] });
    const parts: number[] = [];
    const exchange = exchangeWith((request) => {
      if (request[1] === 0x82) parts.push(request[4] ?? 0);
      return respond(request);
    });
    assertRefused(await collect(exchange), 'SPDM_TOO_LARGE');
    assert.deepEqual(parts, [0]);
  });

  test('that lowers the version in an ERROR', async () => {
    const faults = [insteadOf(0xe0, 1, () => Uint8Array.of(0x11, 0x7f, 0x03, 0))];
    await refusedWith('SPDM_VERSION_MIXED', { faults });
  });

  test('whose answer is empty or longer than any evidence may be', async () => {
    await refusedWith('SPDM_TRUNCATED', { faults: [insteadOf(0x81, 1, () => new Uint8Array())] });
    const long = [changed(0x60, () => new Uint8Array(65_537))];
    await refusedWith('SPDM_TOO_LARGE', { faults: long });
  });

  test('whose number of measurements is never reached', async () => {
    const lies = changedAndSigned(0x60, (rsp) => (rsp[2] === 0 ? rsp : withByte(rsp, 2, 12)));
    await refusedWith('SPDM_TRANSCRIPT', { faults: [lies] }, { mode: 'each' });
    const none = changedAndSigned(0x60, (rsp) => withByte(rsp, 2, 0));
    await refusedWith('SPDM_TRANSCRIPT', { faults: [none] }, { mode: 'each' });
  });

  test('whose measurement goes away between two passes', async () => {
    let asked = 0;
    const measurements = () => {
      asked += 1;
      // Indices have a gap, so there is a second pass; in it one is missing.
      return asked < 20 ? dpuMeasurements() : dpuMeasurements().filter(({ index }) => index !== 2);
    };
    const code = 'SPDM_TRANSCRIPT';
    await refusedWith(code, { measurements }, { mode: 'each' });
  });
});

test('a failure of the exchange is handed on at every step', async () => {
  const { respond } = makeSpdmDevice();
  let steps = 0;
  const counting = exchangeWith((request) => {
    steps += 1;
    return respond(request);
  });
  assertValue(await collect(counting, { challengeNonce }));
  const whole = steps;
  for (let step = 1; step <= whole; step++) {
    steps = 0;
    const failing: Exchange = (request) =>
      steps + 1 === step ? Promise.resolve(fail('SPDM_UNREACHABLE', 'gone')) : counting(request);
    assertRefused(await collect(failing, { challengeNonce }), 'SPDM_UNREACHABLE');
  }
});

test('a nonce that is not 32 bytes is refused before anything is sent', async () => {
  const never: Exchange = () => assert.fail('nothing may be sent');
  for (const length of [0, 31, 33]) {
    assertRefused(await collect(never, { nonce: randomBytes(length) }), 'SPDM_NONCE');
    assertRefused(await collect(never, { challengeNonce: randomBytes(length) }), 'SPDM_NONCE');
  }
});

test('evidence at the limit is given, a byte above it is not', async () => {
  // Longer than any one part of the chain, so that the limit is met by the evidence alone.
  const { exchange } = makeSpdmDevice({ versions: ['1.2'], opaque: new Uint8Array(1000) });
  const { length } = assertValue(await collect(exchange)).messages;
  const limited = (maxEvidenceBytes: number) =>
    collect(exchange, { policy: { ...policy, maxEvidenceBytes } });
  assertValue(await limited(length));
  assertRefused(await limited(length - 1), 'SPDM_TOO_LARGE');
});
