import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { makeBootedDpu } from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  changedAndSigned,
  dpuMeasurements,
  eagerClock,
  flipBit,
  makeSpdmDevice,
  type SpdmDevice,
  withByte,
} from '../../test/support/spdm-device.ts';
import type { ResponderOptions } from '../../test/support/spdm-responder.ts';
import type { ErrorCode } from '../base/errors.ts';
import { DEFAULT_SPDM_POLICY, type SpdmPolicy } from './policy.ts';
import { collectMeasurements } from './requester.ts';
import { verifySignedMeasurements } from './verify-measurements.ts';
import { SPDM_VERSIONS, type SpdmVersion } from './version.ts';

const policy = DEFAULT_SPDM_POLICY;
const nonce = randomBytes(32);
const SIGNATURE_BYTES = 96;

/** A BMC's part: talks to the device as it likes and hands over what was signed. */
type Script = readonly Uint8Array[];

/** GET_MEASUREMENTS of a version: attributes, operation, and what follows. */
function getMeasurements(
  version: SpdmVersion,
  operation: number,
  { signed = false, attributes = 0, slot = 0 } = {},
): Uint8Array {
  return Buffer.concat([
    Buffer.of(0x10 + Number(version.slice(2)), 0xe0, (signed ? 1 : 0) | attributes, operation),
    ...(signed ? [nonce, Buffer.of(slot)] : []),
    Buffer.alloc(version === '1.3' ? 8 : 0),
  ]);
}

/** The negotiation that a collector of its own would make: with tables of sessions in it. */
function negotiation(version: SpdmVersion): Script {
  const byte = 0x10 + Number(version.slice(2));
  const sizes = Buffer.from([0, 0, 1, 0, 0, 0, 1, 0]);
  const capabilities = Buffer.concat([Buffer.of(byte, 0xe1, 0, 0), Buffer.alloc(8)]);
  const tables = Buffer.from([2, 0x20, 0x1b, 0, 3, 0x20, 6, 0, 4, 0x20, 0x0f, 0, 5, 0x20, 1, 0]);
  const algorithms = Buffer.concat([
    Buffer.of(byte, 0xe3, 4, 0, 32 + tables.length, 0, 1, version === '1.1' ? 0 : 2),
    Buffer.of(0x90, 1, 0, 0, 7, 0, 0, 0),
    Buffer.alloc(16),
    tables,
  ]);
  return [
    Buffer.of(0x10, 0x84, 0, 0),
    version === '1.1' ? capabilities : Buffer.concat([capabilities, sizes]),
    algorithms,
  ];
}

/** Runs a script against a device and joins questions and answers; from 1.2 with the negotiation. */
function transcriptOf(
  device: SpdmDevice,
  version: SpdmVersion,
  script: Script,
  { withNegotiation = version !== '1.1' } = {},
): Uint8Array {
  const ask = (request: Uint8Array) => [request, device.respond(request)];
  const before = negotiation(version).flatMap(ask);
  const after = script.flatMap(ask);
  return Buffer.concat(withNegotiation ? [...before, ...after] : after);
}

function verify(device: SpdmDevice, messages: Uint8Array, against: Partial<SpdmPolicy> = {}) {
  const { leafKey } = device;
  return verifySignedMeasurements({ messages, nonce, leafKey, policy: { ...policy, ...against } });
}

/** Asks for everything at once, under a signature. */
function allOf(version: SpdmVersion, options: Partial<ResponderOptions> = {}) {
  const device = makeSpdmDevice({ versions: [version], ...options });
  const script = [getMeasurements(version, 0xff, { signed: true })];
  return { device, messages: transcriptOf(device, version, script) };
}

for (const version of SPDM_VERSIONS) {
  describe(`signed measurements of SPDM ${version}`, () => {
    const indices = dpuMeasurements().map(({ index }) => index);
    const last = indices.at(-1)!;

    test('one request for all verifies', () => {
      const { device, messages } = allOf(version, { opaque: Buffer.from('extra') });
      const { blocks, opaque, slot } = assertValue(verify(device, messages));
      assert.deepEqual(
        blocks.map(({ index }) => index),
        indices,
      );
      assert.equal(Buffer.from(opaque).toString(), 'extra');
      assert.equal(slot, 0);
    });

    test('the number first and then each index, the last signed, verifies', () => {
      const device = makeSpdmDevice({ versions: [version] });
      const script = [0, ...indices].map((index) =>
        getMeasurements(version, index, { signed: index === last }),
      );
      const { blocks } = assertValue(verify(device, transcriptOf(device, version, script)));
      assert.deepEqual(
        blocks.map(({ index }) => index),
        indices,
      );
    });

    test('some indices without their number, the last signed, verifies', () => {
      const device = makeSpdmDevice({ versions: [version] });
      const script = [2, 3, 4].map((index) =>
        getMeasurements(version, index, { signed: index === 4 }),
      );
      const { blocks } = assertValue(verify(device, transcriptOf(device, version, script)));
      assert.deepEqual(
        blocks.map(({ index }) => index),
        [2, 3, 4],
      );
    });

    const scripts: readonly (readonly [string, ErrorCode, Script])[] = [
      ['without a signature', 'SPDM_TRANSCRIPT', [getMeasurements(version, 0xff)]],
      [
        'that asks only for the number',
        'SPDM_TRANSCRIPT',
        [getMeasurements(version, 0, { signed: true })],
      ],
      [
        'with an index twice',
        'SPDM_TRANSCRIPT',
        [getMeasurements(version, 2), getMeasurements(version, 2, { signed: true })],
      ],
      [
        'with indices out of order',
        'SPDM_TRANSCRIPT',
        [getMeasurements(version, 3), getMeasurements(version, 2, { signed: true })],
      ],
      [
        'with all after one',
        'SPDM_TRANSCRIPT',
        [getMeasurements(version, 2), getMeasurements(version, 0xff, { signed: true })],
      ],
      [
        'that goes on after the signature',
        'SPDM_TRAILING_BYTES',
        [getMeasurements(version, 2, { signed: true }), getMeasurements(version, 3)],
      ],
      [
        'that asks for raw bit streams',
        'SPDM_FIELD',
        [getMeasurements(version, 0xff, { signed: true, attributes: 2 })],
      ],
      [
        'that asks for measurements of firmware that does not run yet',
        'SPDM_FIELD',
        [getMeasurements(version, 0xff, { signed: true, attributes: 4 })],
      ],
    ];
    for (const [name, code, script] of scripts) {
      test(`a transcript ${name} is refused`, () => {
        const device = makeSpdmDevice({ versions: [version] });
        assertRefused(verify(device, transcriptOf(device, version, script)), code);
      });
    }

    test('a negotiation that is there where it is not signed, or missing where it is', () => {
      const device = makeSpdmDevice({ versions: [version] });
      const script = [getMeasurements(version, 0xff, { signed: true })];
      const withNegotiation = version === '1.1';
      const messages = transcriptOf(device, version, script, { withNegotiation });
      assertRefused(verify(device, messages), 'SPDM_TRANSCRIPT');
    });

    test('another nonce, or one that is not 32 bytes', () => {
      const { device, messages } = allOf(version);
      const { leafKey } = device;
      for (const other of [randomBytes(32), nonce.subarray(0, 31), Buffer.concat([nonce, nonce])]) {
        const request = { messages, nonce: other, leafKey, policy };
        assertRefused(verifySignedMeasurements(request), 'SPDM_NONCE');
      }
    });

    test('another slot than the policy names', () => {
      const device = makeSpdmDevice({ versions: [version], slot: 3 });
      const script = [getMeasurements(version, 0xff, { signed: true, slot: 3 })];
      const messages = transcriptOf(device, version, script);
      assertValue(verify(device, messages, { slot: 3 }));
      assertRefused(verify(device, messages), 'SPDM_SLOT');
    });

    test('a version that the policy does not allow', () => {
      const { device, messages } = allOf(version);
      const versions = SPDM_VERSIONS.filter((other) => other !== version);
      assertRefused(verify(device, messages, { versions }), 'SPDM_VERSION');
    });

    test('the leaf of another device', () => {
      const { messages } = allOf(version);
      const other = makeSpdmDevice({ boot: makeBootedDpu() });
      assertRefused(verify(other, messages), 'SPDM_SIGNATURE');
    });

    test('a key of a curve that the policy does not name, or of no curve of SPDM', () => {
      const { messages } = allOf(version);
      const keys = [
        generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
        generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey,
        generateKeyPairSync('ed25519').publicKey,
        generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
      ];
      for (const leafKey of keys) {
        const request = { messages, nonce, leafKey, policy };
        assertRefused(verifySignedMeasurements(request), 'SPDM_ALGORITHM');
      }
    });

    test('evidence at its limit is read, a byte above it is not', () => {
      const { device, messages } = allOf(version);
      assertValue(verify(device, messages, { maxEvidenceBytes: messages.length }));
      const maxEvidenceBytes = messages.length - 1;
      assertRefused(verify(device, messages, { maxEvidenceBytes }), 'SPDM_TOO_LARGE');
    });

    test('every byte is signed or read: a bit of each fifth flipped is refused', () => {
      const { device, messages } = allOf(version);
      for (let at = 0; at < messages.length; at += 5) {
        const result = verify(device, flipBit(messages, at, at % 8));
        assert.equal(result.ok, false, `byte ${at} of ${messages.length}`);
      }
    });

    test('every truncation is refused', () => {
      const { device, messages } = allOf(version);
      for (let length = 0; length < messages.length; length++) {
        assert.equal(verify(device, messages.subarray(0, length)).ok, false, `${length} bytes`);
      }
    });

    test('what was verified does not change with the caller’s bytes', () => {
      const { device, messages } = allOf(version);
      const bytes = new Uint8Array(messages);
      const { blocks } = assertValue(verify(device, bytes));
      const before = blocks.map(({ value }) => Buffer.from(value).toString('hex'));
      bytes.fill(0);
      assert.deepEqual(
        blocks.map(({ value }) => Buffer.from(value).toString('hex')),
        before,
      );
    });
  });
}

describe('what a device signs, and is refused all the same', () => {
  const record = (at: number, value: number) => (response: Uint8Array) =>
    withByte(response, 8 + at, value);
  const cases: readonly (readonly [string, ErrorCode, (response: Uint8Array) => Uint8Array])[] = [
    ['a block of index 0', 'SPDM_MEASUREMENT_RECORD', record(0, 0)],
    ['a block of index 255', 'SPDM_MEASUREMENT_RECORD', record(0, 0xff)],
    ['an index twice', 'SPDM_MEASUREMENT_RECORD', record(0, 2)],
    ['another measurement specification', 'SPDM_MEASUREMENT_RECORD', record(1, 2)],
    ['a block a byte longer than its value', 'SPDM_MEASUREMENT_RECORD', record(2, 8)],
    ['a block a byte shorter than its value', 'SPDM_MEASUREMENT_RECORD', record(2, 6)],
    [
      'a block with a bit that makes it a digest of four bytes',
      'SPDM_MEASUREMENT_RECORD',
      record(4, 3),
    ],
    ['fewer blocks than stated', 'SPDM_TRUNCATED', (rsp) => withByte(rsp, 4, 12)],
    ['more blocks than stated', 'SPDM_TRAILING_BYTES', (rsp) => withByte(rsp, 4, 10)],
    [
      'a record shorter than stated',
      'SPDM_TRUNCATED',
      (rsp) => withByte(rsp, 5, (rsp[5] ?? 0) - 1),
    ],
    ['a record longer than all', 'SPDM_TRUNCATED', (rsp) => withByte(rsp, 7, 0xff)],
    ['opaque data longer than may be', 'SPDM_TOO_LARGE', (rsp) => withByte(rsp, -9, 0x05)],
    ['change bits that mean nothing', 'SPDM_FIELD', (rsp) => withByte(rsp, 3, 0x30)],
    ['that a measurement changed', 'SPDM_MEASUREMENTS_CHANGED', (rsp) => withByte(rsp, 3, 0x10)],
  ];
  for (const [name, code, change] of cases) {
    test(`${name}: ${code}`, () => {
      const { device, messages } = allOf('1.3', { faults: [changedAndSigned(0x60, change)] });
      assertRefused(verify(device, messages), code);
    });
  }

  test('that no measurement changed is fine', () => {
    const faults = [changedAndSigned(0x60, (response) => withByte(response, 3, 0x20))];
    const { device, messages } = allOf('1.3', { faults });
    assertValue(verify(device, messages));
  });

  test('digests of another length than the measurement hash, where that is signed too', () => {
    const { device, messages } = allOf('1.3', { measurementHash: 'sha384' });
    assertRefused(verify(device, messages), 'SPDM_MEASUREMENT_RECORD');
    const old = allOf('1.1', { measurementHash: 'sha384' });
    assertValue(verify(old.device, old.messages));
  });

  test('digests of two lengths in one transcript', () => {
    const [first, second, ...rest] = dpuMeasurements();
    assert.ok(first && second);
    const measurements = [first, { ...second, value: second.value.slice(0, 32) }, ...rest];
    const { device, messages } = allOf('1.1', { measurements });
    assertRefused(verify(device, messages), 'SPDM_MEASUREMENT_RECORD');
  });

  test('a record without a block', () => {
    const empty = (response: Uint8Array) =>
      Buffer.concat([response.subarray(0, 4), Buffer.alloc(4), response.subarray(-32 - 2)]);
    const { device, messages } = allOf('1.1', { faults: [changedAndSigned(0x60, empty)] });
    assertRefused(verify(device, messages), 'SPDM_MEASUREMENT_RECORD');
  });

  test('more blocks than the number that was asked before', () => {
    const lies = changedAndSigned(0x60, (rsp) => (rsp[4] === 0 ? withByte(rsp, 2, 1) : rsp));
    const device = makeSpdmDevice({ versions: ['1.2'], faults: [lies] });
    const script = [
      getMeasurements('1.2', 0),
      getMeasurements('1.2', 2),
      getMeasurements('1.2', 3, { signed: true }),
    ];
    assertRefused(verify(device, transcriptOf(device, '1.2', script)), 'SPDM_TRANSCRIPT');
  });

  test('a block where only the number was asked', () => {
    const stray = Buffer.of(9, 1, 4, 0, 0x83, 1, 0, 0xaa);
    const smuggled = changedAndSigned(0x60, (rsp) =>
      rsp[4] === 0
        ? Buffer.concat([rsp.subarray(0, 4), Buffer.of(1, 8, 0, 0), stray, rsp.subarray(8)])
        : rsp,
    );
    const device = makeSpdmDevice({ versions: ['1.2'], faults: [smuggled] });
    const script = [getMeasurements('1.2', 0), getMeasurements('1.2', 3, { signed: true })];
    const messages = transcriptOf(device, '1.2', script);
    assertRefused(verify(device, messages), 'SPDM_MEASUREMENT_RECORD');
  });

  test('the block of another index than was asked', () => {
    const other = changedAndSigned(0x60, (rsp) => withByte(rsp, 8, 7));
    const device = makeSpdmDevice({ versions: ['1.2'], faults: [other] });
    const script = [getMeasurements('1.2', 3, { signed: true })];
    const messages = transcriptOf(device, '1.2', script);
    assertRefused(verify(device, messages), 'SPDM_MEASUREMENT_RECORD');
  });
});

describe('a negotiation that is signed, and is refused all the same', () => {
  const cases: readonly (readonly [string, ErrorCode, Partial<ResponderOptions>])[] = [
    [
      'a version that the device does not list',
      'SPDM_VERSION',
      { faults: [changedAndSigned(0x04, (rsp) => withByte(rsp, -1, 0x11))] },
    ],
    ['a hash that the curve may not sign with', 'SPDM_ALGORITHM', { hash: 'sha256' }],
    [
      'another curve than the leaf has',
      'SPDM_ALGORITHM',
      { faults: [changedAndSigned(0x63, (rsp) => withByte(withByte(rsp, 12, 0), 13, 1))] },
    ],
    [
      'no signed measurements',
      'SPDM_CAPABILITY',
      { faults: [changedAndSigned(0x61, (rsp) => withByte(rsp, 8, 0x0e))] },
    ],
  ];
  for (const [name, code, options] of cases) {
    test(`${name}: ${code}`, () => {
      const { device, messages } = allOf('1.2', options);
      const hashes = { 'ec-p384': ['sha384', 'sha512'], 'ec-p521': ['sha384'] } as const;
      assertRefused(verify(device, messages, { hashes }), code);
    });
  }

  test('a measurement specification that is not DMTF’s', () => {
    for (const spec of [0, 2, 3]) {
      const faults = [changedAndSigned(0x63, (rsp) => withByte(rsp, 6, spec))];
      const { device, messages } = allOf('1.2', { faults });
      assertRefused(verify(device, messages), 'SPDM_ALGORITHM');
    }
  });

  test('a hash that is allowed but was not offered', () => {
    const device = makeSpdmDevice({
      versions: ['1.2'],
      faults: [changedAndSigned(0x63, (rsp) => withByte(rsp, 16, 0x04))],
    });
    const [getVersion, capabilities, algorithms] = negotiation('1.2');
    assert.ok(getVersion && capabilities && algorithms);
    const onlySha384 = withByte(algorithms, 12, 0x02);
    const all = getMeasurements('1.2', 0xff, { signed: true });
    const script = [getVersion, capabilities, onlySha384, all];
    const messages = transcriptOf(device, '1.2', script, { withNegotiation: false });
    assertRefused(verify(device, messages), 'SPDM_ALGORITHM');
  });

  test('two sizes of messages without chunking; with it they may differ', () => {
    const larger = (rsp: Uint8Array) => withByte(rsp, 18, 2);
    const plain = allOf('1.2', { faults: [changedAndSigned(0x61, larger)] });
    assertRefused(verify(plain.device, plain.messages), 'SPDM_FIELD');
    const chunking = (rsp: Uint8Array) => withByte(larger(rsp), 10, 0x02);
    const chunked = allOf('1.2', { faults: [changedAndSigned(0x61, chunking)] });
    assertValue(verify(chunked.device, chunked.messages));
  });

  test('a measurement hash that the policy does not allow', () => {
    const { device, messages } = allOf('1.2');
    assertRefused(verify(device, messages, { measurementHashes: ['sha384'] }), 'SPDM_ALGORITHM');
  });

  test('a version that changes after the negotiation', () => {
    const { device, messages } = allOf('1.3');
    const at = Buffer.from(messages).lastIndexOf(Buffer.of(0x13, 0xe0, 0x01, 0xff));
    for (const byte of [0x11, 0x12, 0x14]) {
      assertRefused(verify(device, withByte(messages, at, byte)), 'SPDM_VERSION_MIXED');
    }
  });
});

test('what a device of 1.1 signed does not pass as 1.2, nor the other way', () => {
  const older = allOf('1.1');
  const newer = allOf('1.2');
  const start = newer.messages.length - older.messages.length;
  const vca = newer.messages.subarray(0, start);
  const relabelled = Buffer.from(older.messages);
  relabelled[0] = 0x12;
  relabelled[37] = 0x12;
  const joined = Buffer.concat([vca, relabelled]);
  assertRefused(verify(older.device, joined), 'SPDM_SIGNATURE');
  const lowered = Buffer.from(newer.messages.subarray(start));
  lowered[0] = 0x11;
  lowered[37] = 0x11;
  assertRefused(verify(newer.device, lowered), 'SPDM_SIGNATURE');
});

test('1.0 is refused, whatever the policy says', () => {
  const { device, messages } = allOf('1.1');
  assertRefused(verify(device, withByte(messages, 0, 0x10)), 'SPDM_VERSION');
});

test('the signature of a challenge does not pass as one over measurements', async () => {
  const device = makeSpdmDevice({ versions: ['1.2'] });
  const collected = await collectMeasurements(device.exchange, {
    nonce,
    challengeNonce: nonce,
    policy,
    clock: eagerClock(),
  });
  const { messages, challengeMessages = new Uint8Array() } = assertValue(collected);
  const swapped = Buffer.concat([
    messages.subarray(0, -SIGNATURE_BYTES),
    challengeMessages.subarray(-SIGNATURE_BYTES),
  ]);
  assertRefused(verify(device, swapped), 'SPDM_SIGNATURE');
});
