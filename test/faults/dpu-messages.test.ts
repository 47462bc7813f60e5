import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkRelayed } from '../../agent/attestation/dpu/relay-guard.ts';
import {
  decodeDpuPayload,
  decodeDpuQuestion,
  decodeDpuResponse,
  encodeDpuChallenge,
  encodeDpuPayload,
  encodeDpuResponse,
} from '../../src/attestation/dpu/payload.ts';
import {
  decodeRelayAnswer,
  encodeRelayAnswer,
  encodeRelayRequest,
} from '../../src/attestation/dpu/relay.ts';
import {
  decodeTpmAnswer,
  encodeTpmAnswer,
  encodeTpmQuestion,
} from '../../src/attestation/dpu/tpm-question.ts';
import { collectByTunnel } from '../../src/attestation/dpu/tunnel.ts';
import { ok, type Result, unwrap } from '../../src/base/result.ts';
import { verifyEvidence } from '../../src/dpu/evidence.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { IROT_TARGET, TestCard } from '../support/dpu.ts';
import { eagerClock } from '../support/spdm-device.ts';
import { between, runSeed } from './seed.ts';

const { random } = runSeed('dpu messages');

const CASES = 20_000;
const TUNNELS = 150;

const SESSION = { session: 'A'.repeat(43), serverNonce: random.bytes(32) };
const [target, nonce] = ['Bluefield_DPU_IRoT', random.bytes(32)];

/** Some bytes flipped, left out or put in. */
function mutate(original: Uint8Array): Uint8Array {
  const bytes = Buffer.from(original);
  for (let flips = between(random, 1, 4); flips > 0; flips--) {
    const at = between(random, 0, bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << between(random, 0, 8));
  }
  const at = between(random, 0, bytes.length);
  const until = Math.min(bytes.length, at + between(random, 0, 9));
  const kind = between(random, 0, 4);
  if (kind === 0) return bytes.subarray(0, at);
  if (kind > 1) return bytes;
  return Buffer.concat([bytes.subarray(0, at), random.bytes(9), bytes.subarray(until)]);
}

const evidence = { kind: 'spdm-direct', target, messages: nonce, certificates: [nonce] } as const;
const base = { ...SESSION, kinds: ['spdm-tunnel', 'x509pop'] as const, joinSecret: true };
const targets = [{ id: target, slot: 0 }];
const READERS: readonly (readonly [string, Uint8Array, (bytes: Uint8Array) => Result<unknown>])[] =
  [
    [
      'payload',
      encodeDpuPayload({ serial: 'MT1', offers: ['spdm-direct', 'x509pop'] }),
      decodeDpuPayload,
    ],
    ['challenge', encodeDpuChallenge({ ...base, targets, relayed: nonce }), decodeDpuQuestion],
    [
      'question to relay',
      encodeRelayRequest({ ...SESSION, target, at: 7, request: nonce }),
      decodeDpuQuestion,
    ],
    [
      'question for a TPM',
      encodeTpmQuestion({ session: SESSION.session, challenge: nonce }),
      decodeDpuQuestion,
    ],
    ["TPM's answer", encodeTpmAnswer({ session: SESSION.session, answer: nonce }), decodeTpmAnswer],
    [
      'relayed answer',
      encodeRelayAnswer({ session: SESSION.session, at: 7, answer: nonce }),
      decodeRelayAnswer,
    ],
    [
      'response',
      encodeDpuResponse({
        session: SESSION.session,
        evidence: [evidence],
        ownKey: { certificates: [nonce], proof: nonce },
        joinSecret: 'once',
        signature: nonce,
      }),
      decodeDpuResponse,
    ],
  ];

describe('messages of the attestation of a DPU', () => {
  for (const [what, original, read] of READERS) {
    test(`no change of a ${what} is a crash, and what is refused is so by its code`, () => {
      unwrap(read(original));
      for (let at = 0; at < CASES / READERS.length; at++) {
        const mutated = mutate(original);
        const result = read(mutated);
        const shown = Buffer.from(mutated).toString('base64');
        if (!result.ok) assert.equal(result.error.code, 'DPU_MESSAGE', shown);
      }
    });
  }

  test('of any bytes only questions for measurements are relayed', () => {
    for (let at = 0; at < CASES; at++) {
      const request = random.bytes(between(random, 0, 64));
      const allowed = checkRelayed(request, nonce);
      if (!allowed.ok) assert.equal(allowed.error.code, 'DPU_RELAY_REFUSED');
      else assert.ok([0x81, 0x82, 0x84, 0xe0, 0xe1, 0xe3, 0xff].includes(request[1] ?? 0));
    }
  });
});

/** What the server makes of a card through an agent that changes one of the answers. */
async function throughTunnel(card: TestCard, changed: number) {
  const respond = card.responder();
  let answers = 0;
  const parts = { targets: [IROT_TARGET], spdm: DEFAULT_SPDM_POLICY, clock: eagerClock() };
  const tunnel = { ...SESSION, nonceOf: () => nonce };
  const collected = await collectByTunnel(parts, tunnel, async (bytes) => {
    const question = unwrap(decodeDpuQuestion(bytes));
    assert.ok(question.step === 'relay');
    const honest = respond(question.request);
    const answer = answers++ === changed ? mutate(honest) : honest;
    const { session, at } = question;
    return ok(encodeRelayAnswer({ session, at, answer: answer.length > 0 ? answer : honest }));
  });
  if (!collected.ok) return { answers, result: collected };
  const [item] = collected.value.evidence;
  assert.ok(item);
  const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
  return { answers, result: verifyEvidence(item, IROT_TARGET, nonce, rules) };
}

describe('a tunnel whose agent changes an answer', () => {
  test('is refused, or the change was of nothing that says anything', async () => {
    const card = new TestCard('MT0000X00001');
    card.state.versions = ['1.2'];
    const honest = await throughTunnel(card, -1);
    const { measurements } = unwrap(honest.result);
    let refused = 0;
    for (let at = 0; at < TUNNELS; at++) {
      const { result } = await throughTunnel(card, between(random, 0, honest.answers));
      if (result.ok) assert.deepEqual(result.value.measurements.blocks, measurements.blocks);
      else {
        assert.match(result.error.code, /^(SPDM|DER|DEVICE|PATH|CERTIFICATE)_/);
        refused += 1;
      }
    }
    assert.ok(refused > TUNNELS / 2, `${refused} refused`);
  });
});
