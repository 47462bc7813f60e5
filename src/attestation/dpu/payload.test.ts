import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import {
  DPU_MESSAGE_LIMITS,
  decodeDpuPayload,
  decodeDpuQuestion,
  decodeDpuResponse,
  encodeDpuChallenge,
  encodeDpuPayload,
  encodeDpuResponse,
  possessionMessage,
} from './payload.ts';

const SESSION = 'A'.repeat(43);
const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7);

const payload = { serial: 'MT0000X00001', offers: ['spdm-redfish'] } as const;
const challenge = {
  session: SESSION,
  serverNonce: bytes(32),
  kinds: ['spdm-redfish'],
  targets: [{ id: 'Bluefield_DPU_IRoT', slot: 0 }],
  joinSecret: false,
} as const;
const response = {
  session: SESSION,
  evidence: [
    {
      kind: 'spdm-redfish' as const,
      target: 'Bluefield_DPU_IRoT',
      messages: bytes(100),
      certificates: [bytes(10)],
    },
  ],
  signature: bytes(70),
};

test('messages are read as they were written', () => {
  assert.deepEqual(assertValue(decodeDpuPayload(encodeDpuPayload(payload))), { v: 1, ...payload });
  const asked = assertValue(decodeDpuQuestion(encodeDpuChallenge(challenge)));
  assert.ok(asked.step === 'show');
  assert.deepEqual([...asked.serverNonce], [...challenge.serverNonce]);
  const answered = assertValue(decodeDpuResponse(encodeDpuResponse(response)));
  assert.deepEqual(possessionMessage(answered), possessionMessage(response));
});

/** A response with fields replaced in its JSON. */
function written(changes: Readonly<Record<string, unknown>>): Uint8Array {
  const plain = JSON.parse(encodeDpuResponse(response).toString());
  return Buffer.from(JSON.stringify({ ...plain, ...changes }));
}

function evidence(changes: Readonly<Record<string, unknown>>): Uint8Array {
  const { evidence: items } = JSON.parse(encodeDpuResponse(response).toString());
  return written({ evidence: [{ ...items[0], ...changes }] });
}

const base64 = (length: number): string => Buffer.from(bytes(length)).toString('base64');
const { evidenceBytes, chainBytes, certificates, targets } = DPU_MESSAGE_LIMITS;

const ACCEPTED: readonly (readonly [string, Uint8Array])[] = [
  ['evidence of 64 KiB', evidence({ messages: base64(evidenceBytes) })],
  ['8 certificates', evidence({ certificates: Array(certificates).fill(base64(10)) })],
  ['a certificate of 16 KiB', evidence({ certificates: [base64(chainBytes)] })],
];
for (const [what, message] of ACCEPTED) {
  test(`${what}: taken`, () => {
    assertValue(decodeDpuResponse(message));
  });
}

const REFUSED: readonly (readonly [string, Uint8Array])[] = [
  ['evidence of 64 KiB and a byte', evidence({ messages: base64(evidenceBytes + 1) })],
  ['9 certificates', evidence({ certificates: Array(certificates + 1).fill(base64(10)) })],
  ['a certificate of 16 KiB and a byte', evidence({ certificates: [base64(chainBytes + 1)] })],
  ['no certificate', evidence({ certificates: [] })],
  ['evidence of a kind that nobody knows', evidence({ kind: 'spdm-mctp' })],
  [
    'one component more than may be asked for',
    written({
      evidence: Array(3 * targets + 1).fill({
        kind: 'spdm-direct',
        target: 'a',
        messages: base64(1),
        certificates: [base64(1)],
      }),
    }),
  ],
  ['another version', written({ v: 2 })],
  ['a field that nobody knows', written({ trusted: true })],
  ['a session that is too short', written({ session: 'A'.repeat(42) })],
  ['a session that is too long', written({ session: 'A'.repeat(44) })],
  ['base64 with a stray character', evidence({ messages: 'AAA*' })],
  ['base64 without padding', evidence({ messages: 'AA' })],
  ['a target with a slash', evidence({ target: 'a/b' })],
  ['a number in place of text', evidence({ messages: 7 })],
  ['nothing', Buffer.alloc(0)],
  ['no JSON', Buffer.from('{')],
  ['a list', Buffer.from('[]')],
  ['a field twice', Buffer.from('{"v":1,"v":1}')],
  ['nesting', Buffer.from('['.repeat(100))],
  ['more bytes than a response may have', Buffer.alloc(DPU_MESSAGE_LIMITS.responseBytes + 1, 32)],
];
for (const [what, message] of REFUSED) {
  test(`${what}: refused`, () => {
    assertRefused(decodeDpuResponse(message), 'DPU_MESSAGE');
  });
}

test('a nonce of 31 bytes is refused', () => {
  const short = encodeDpuChallenge({ ...challenge, serverNonce: bytes(31) });
  assertRefused(decodeDpuQuestion(short), 'DPU_MESSAGE');
});

test('a payload over its limit, with no offer, or with one that nobody knows is refused', () => {
  const as = (text: string): Uint8Array => Buffer.from(text);
  for (const text of [
    ' '.repeat(DPU_MESSAGE_LIMITS.payloadBytes + 1),
    '{"v":1,"serial":"MT1","offers":[]}',
    '{"v":1,"serial":"MT1","offers":["trust-me"]}',
    '{"v":1,"serial":"","offers":["spdm-redfish"]}',
    `{"v":1,"serial":"${'M'.repeat(65)}","offers":["spdm-redfish"]}`,
  ]) {
    assertRefused(decodeDpuPayload(as(text)), 'DPU_MESSAGE');
  }
});

test('what is signed differs with every part of the evidence, and with where parts begin', () => {
  const [item] = response.evidence;
  assert.ok(item);
  const messages = [
    response,
    { ...response, session: 'B'.repeat(43) },
    { ...response, evidence: [{ ...item, target: 'Bluefield_ERoT' }] },
    { ...response, evidence: [{ ...item, kind: 'spdm-direct' as const }] },
    { ...response, relayed: bytes(32) },
    { ...response, evidence: [{ ...item, messages: bytes(101) }] },
    { ...response, evidence: [{ ...item, certificates: [bytes(9)] }] },
    { ...response, evidence: [{ ...item, certificates: [bytes(5), bytes(5)] }] },
    { ...response, evidence: [{ ...item, messages: bytes(105), certificates: [bytes(5)] }] },
    { ...response, evidence: [item, item] },
  ].map((each) => Buffer.from(possessionMessage(each)).toString('hex'));
  assert.equal(new Set(messages).size, messages.length);
});

test('no bytes make a reader throw', () => {
  const valid = encodeDpuResponse(response);
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.nat(255), (at, byte) => {
      const mutated = Buffer.from(valid);
      mutated[at] = byte;
      for (const decode of [decodeDpuResponse, decodeDpuQuestion, decodeDpuPayload]) {
        decode(mutated);
        decode(mutated.subarray(0, at));
      }
    }),
    { numRuns: 500 },
  );
});
