import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { makeBootedDpu } from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  changed,
  changedAndSigned,
  flipBit,
  makeSpdmDevice,
  withByte,
} from '../../test/support/spdm-device.ts';
import type { ResponderOptions } from '../../test/support/spdm-responder.ts';
import type { ErrorCode } from '../base/errors.ts';
import { negotiateAlgorithmsRequest } from './algorithms-message.ts';
import { getCapabilitiesRequest } from './capabilities-message.ts';
import { getCertificateRequest, getDigestsRequest } from './certificate-messages.ts';
import { challengeRequest } from './challenge-message.ts';
import { DEFAULT_SPDM_POLICY, type SpdmPolicy } from './policy.ts';
import { messageToSign } from './signing.ts';
import { verifyChallengeAuth } from './verify-challenge.ts';
import { SPDM_VERSIONS, type SpdmVersion } from './version.ts';
import { getVersionRequest } from './version-message.ts';

const policy = DEFAULT_SPDM_POLICY;
const nonce = randomBytes(32);

/** Bytes of the six messages of the negotiation, digests, one certificate part, the challenge. */
function conversation(version: SpdmVersion, options: Partial<ResponderOptions> = {}) {
  const device = makeSpdmDevice({ versions: [version], portionBytes: 16_384, ...options });
  const context = version === '1.3' ? new Uint8Array(8) : undefined;
  const requests = [
    getVersionRequest(),
    getCapabilitiesRequest(version, 65_536),
    negotiateAlgorithmsRequest(version, policy),
    getDigestsRequest(version),
    getCertificateRequest(version, { slot: 0, offset: 0, length: 16_384 }),
    challengeRequest(version, { slot: 0, nonce, context }),
  ];
  const pairs = requests.map((request) => Buffer.concat([request, device.respond(request)]));
  return { device, pairs, messages: Buffer.concat(pairs) };
}

function verify(
  { device, messages }: Pick<ReturnType<typeof conversation>, 'device' | 'messages'>,
  against: Partial<SpdmPolicy> = {},
) {
  const { leafKey } = device;
  return verifyChallengeAuth({ messages, nonce, leafKey, policy: { ...policy, ...against } });
}

for (const version of SPDM_VERSIONS) {
  describe(`the answer to a challenge of SPDM ${version}`, () => {
    test('verifies, and gives the chain that was signed with it', () => {
      const talked = conversation(version, { opaque: Buffer.from('extra') });
      const { certificateChain, slot, hash } = assertValue(verify(talked));
      assert.deepEqual({ slot, hash }, { slot: 0, hash: 'sha384' });
      assert.deepEqual(
        certificateChain.map((der) => Buffer.from(der)),
        talked.device.boot.chain.map((der) => Buffer.from(der)),
      );
    });

    test('is refused with any byte changed', () => {
      const { device, messages } = conversation(version);
      for (let at = 0; at < messages.length; at += 7) {
        const result = verify({ device, messages: Buffer.from(flipBit(messages, at, at % 8)) });
        assert.equal(result.ok, false, `byte ${at} of ${messages.length}`);
      }
    });

    test('is refused cut at any place', () => {
      const { device, messages } = conversation(version);
      for (let length = 0; length < messages.length; length += 3) {
        assert.equal(verify({ device, messages: messages.subarray(0, length) }).ok, false);
      }
      const long = Buffer.concat([messages, Buffer.of(0)]);
      assertRefused(verify({ device, messages: long }), 'SPDM_TRAILING_BYTES');
    });

    test('is refused for another nonce, slot, version, key', () => {
      const talked = conversation(version);
      const { messages, device } = talked;
      const { leafKey } = device;
      const other = { messages, nonce: randomBytes(32), leafKey, policy };
      assertRefused(verifyChallengeAuth(other), 'SPDM_NONCE');
      assertRefused(verify(talked, { slot: 1 }), 'SPDM_TRANSCRIPT');
      const versions = SPDM_VERSIONS.filter((one) => one !== version);
      assertRefused(verify(talked, { versions }), 'SPDM_VERSION');
      const stranger = makeSpdmDevice({ boot: makeBootedDpu() });
      assertRefused(verify({ messages, device: stranger }), 'SPDM_SIGNATURE');
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' });
      const curve = { messages, nonce, leafKey: publicKey, policy };
      assertRefused(verifyChallengeAuth(curve), 'SPDM_ALGORITHM');
    });
  });
}

describe('a transcript with a challenge is refused', () => {
  const cases: readonly (readonly [string, ErrorCode, Partial<ResponderOptions>])[] = [
    [
      'whose digest is of another chain',
      'SPDM_CHAIN_DIGEST',
      { faults: [changedAndSigned(0x01, (rsp) => flipBit(rsp, -1))] },
    ],
    [
      'whose chain hash is of another chain',
      'SPDM_CHAIN_DIGEST',
      { faults: [changedAndSigned(0x03, (rsp) => flipBit(rsp, 4))] },
    ],
    [
      'whose digests leave the slot out',
      'SPDM_CHAIN_DIGEST',
      { faults: [changedAndSigned(0x01, (rsp) => withByte(rsp, 3, 0x02))] },
    ],
    [
      'that answers for another slot',
      'SPDM_SLOT',
      { faults: [changedAndSigned(0x03, (rsp) => withByte(rsp, 2, 1))] },
    ],
    [
      'whose slot mask leaves the slot out',
      'SPDM_SLOT',
      { faults: [changedAndSigned(0x03, (rsp) => withByte(rsp, 3, 2))] },
    ],
    [
      'that wants mutual authentication',
      'SPDM_FIELD',
      { faults: [changedAndSigned(0x03, (rsp) => withByte(rsp, 2, 0x80))] },
    ],
    [
      'whose signature is of something else',
      'SPDM_SIGNATURE',
      { faults: [changed(0x03, (rsp) => flipBit(rsp, -1))] },
    ],
    ['whose chain is more than its limit', 'SPDM_CERTIFICATE_CHAIN', {}],
  ];
  for (const [name, code, options] of cases) {
    test(`${name}: ${code}`, () => {
      const against = code === 'SPDM_CERTIFICATE_CHAIN' ? { maxCertificates: 5 } : {};
      assertRefused(verify(conversation('1.2', options), against), code);
    });
  }

  test('whose messages are out of order or left out', () => {
    const { device, pairs } = conversation('1.2');
    const orders = [
      [0, 1, 2, 4, 3, 5],
      [0, 1, 2, 3, 5],
      [0, 1, 2, 5],
      [0, 2, 1, 3, 4, 5],
      [1, 2, 3, 4, 5],
    ];
    for (const order of orders) {
      const messages = Buffer.concat(order.map((at) => pairs[at] ?? Buffer.alloc(0)));
      assertRefused(verify({ device, messages }), 'SPDM_MESSAGE_UNEXPECTED');
    }
  });

  test('whose parts of the chain are not in order', () => {
    const { device, pairs } = conversation('1.2');
    const request = getCertificateRequest('1.2', { slot: 0, offset: 64, length: 64 });
    const part = Buffer.concat([request, device.respond(request)]);
    const messages = Buffer.concat([...pairs.slice(0, 4), part, ...pairs.slice(5)]);
    assertRefused(verify({ device, messages }), 'SPDM_TRANSCRIPT');
  });

  test('whose challenge is for another slot than its chain', () => {
    const { device, messages } = conversation('1.2');
    const at = messages.lastIndexOf(Buffer.of(0x12, 0x83, 0, 0));
    // Slot 3 in the question, slot and mask of the answer; then signed as the device would.
    const moved = Buffer.from(messages.subarray(0, -96)).fill(3, at + 2, at + 3);
    moved.set([3, 1 << 3], at + 36 + 2);
    const context = 'responder-challenge_auth signing';
    const text = messageToSign('1.2', context, 'sha384', moved);
    const key = { key: device.boot.leafKey, dsaEncoding: 'ieee-p1363' } as const;
    const signed = Buffer.concat([moved, sign('sha384', text, key)]);
    assertRefused(verify({ device, messages: signed }), 'SPDM_SLOT');
  });

  test('whose challenge asks for an unknown summary', () => {
    const { device, messages } = conversation('1.2');
    const at = messages.lastIndexOf(Buffer.of(0x12, 0x83, 0, 0));
    const changedSummary = Buffer.from(withByte(messages, at + 3, 2));
    assertRefused(verify({ device, messages: changedSummary }), 'SPDM_FIELD');
  });
});

test('a summary of the measurements, where one was asked for, is read over', () => {
  for (const summary of [0x01, 0xff]) {
    const { device, pairs } = conversation('1.2');
    const digests = getDigestsRequest('1.2');
    const certificate = getCertificateRequest('1.2', { slot: 0, offset: 0, length: 16_384 });
    const plain = challengeRequest('1.2', { slot: 0, nonce, context: undefined });
    const requests = [digests, certificate, withByte(plain, 3, summary)];
    const after = requests.flatMap((request) => [request, device.respond(request)]);
    const messages = Buffer.concat([...pairs.slice(0, 3), ...after]);
    assertValue(verify({ device, messages }));
  }
});
