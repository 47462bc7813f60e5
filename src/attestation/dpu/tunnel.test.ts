import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeDevice } from '../../../test/support/dice.ts';
import { IROT_TARGET, TEST_VENDOR, TestCard } from '../../../test/support/dpu.ts';
import { agentOn, dpuRig, SERIAL, type TestAgent } from '../../../test/support/dpu-attestation.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { flipBit, makeSpdmDevice } from '../../../test/support/spdm-device.ts';
import type { Respond } from '../../../test/support/spdm-responder.ts';
import { makeKey } from '../../../test/support/x509.ts';
import { ManualClock } from '../../base/clock.ts';
import { ok, unwrap } from '../../base/result.ts';
import { DEFAULT_SPDM_POLICY } from '../../spdm/policy.ts';
import type { SpdmVersion } from '../../spdm/version.ts';
import type { Challenge } from '../attestor.ts';
import { decodeDpuQuestion, decodeDpuResponse } from './payload.ts';
import { encodeRelayAnswer, RELAY_LIMITS, type RelayRequest } from './relay.ts';
import { collectByTunnel } from './tunnel.ts';

const KINDS = { kinds: ['spdm-tunnel'] as const };
const OFFERS = { offers: ['spdm-tunnel'] as const };
const GET_CERTIFICATE = 0x82;
const GET_MEASUREMENTS = 0xe0;

const VERSIONS: readonly SpdmVersion[] = ['1.1', '1.2', '1.3'];
for (const version of VERSIONS) {
  test(`§7.2 the server asks a card of SPDM ${version} itself, the agent relays`, async (context) => {
    const { card, attest, dpu, kept } = await dpuRig(context, {}, KINDS);
    card.state.versions = [version];
    assertValue(await attest(agentOn(card, OFFERS)));
    assert.deepEqual(dpu().assessment?.evidence, ['spdm-tunnel']);
    const record = assertValue(decodeDpuResponse(kept[0] ?? new Uint8Array()));
    assert.equal(record.evidence[0]?.kind, 'spdm-tunnel', 'what was collected is kept');
  });
}

test('§7.9 tunnel: answers that were recorded earlier are refused', async (context) => {
  const { card, attest, refuses, dpu } = await dpuRig(context, {}, KINDS);
  const key = makeKey();
  const honest = agentOn(card, { ...OFFERS, key });
  const recorded: Uint8Array[] = [];
  const relay = (question: RelayRequest): Uint8Array => {
    const answer = honest.relay(question);
    recorded.push(answer);
    return answer;
  };
  assertValue(await attest({ ...honest, relay }));
  const replay = ({ at }: RelayRequest): Uint8Array => recorded[at] ?? new Uint8Array(1);
  await refuses({ ...honest, relay: replay }, 'SPDM_SIGNATURE');
  assert.equal(dpu().state, 'trusted', 'what anybody can send puts nobody out');
});

test('§7.9 tunnel: a peer that is not the card behind the agent cannot answer for it', async (context) => {
  const { refuses, dpu } = await dpuRig(context, {}, KINDS);
  const stranger = new TestCard('MT0000X00002');
  await refuses(agentOn(stranger, OFFERS), 'DPU_KEY_UNKNOWN');
  await refuses(
    agentOn(new TestCard('GPU-1', makeDevice(TEST_VENDOR.gpu, 'GPU-1')), OFFERS),
    'DEVICE_CLASS',
  );
  assert.equal(dpu().state, 'commissioned');
});

for (const code of [GET_CERTIFICATE, GET_MEASUREMENTS]) {
  for (const version of VERSIONS) {
    test(`§7.9 tunnel, ${version}: another card from message ${code.toString(16)} on is found out`, async (context) => {
      const { card, refuses, dpu } = await dpuRig(context, {}, KINDS);
      card.state.versions = [version];
      const other = new TestCard(SERIAL, card.device);
      other.state.versions = [version];
      const [first, second] = [card.responder(), other.responder()];
      const relay = ({ request }: RelayRequest): Uint8Array => {
        // The other one hears everything, so that it is ready to go on.
        const [mine, others] = [first(request), second(request)];
        return (request[1] ?? 0) === code ? others : mine;
      };
      await refuses(
        agentOn(card, { ...OFFERS, relay }),
        code === GET_CERTIFICATE ? 'SPDM_CHAIN_DIGEST' : 'SPDM_SIGNATURE',
      );
      assert.equal(dpu().state, 'commissioned');
    });
  }
}

test('§7.9 tunnel: a bit that the agent changes in any answer is found out', async (context) => {
  const { card, attest, dpu } = await dpuRig(context, {}, KINDS);
  card.state.versions = ['1.2'];
  let answers = 0;
  const honest = agentOn(card, OFFERS);
  const count = (question: RelayRequest): Uint8Array => {
    answers += 1;
    return honest.relay(question);
  };
  assertValue(await attest({ ...honest, relay: count }));
  for (let at = 3; at < answers; at++) {
    const { relay } = agentOn(card, OFFERS);
    const meddle = (question: RelayRequest): Uint8Array =>
      question.at === at ? flipBit(relay(question), -1, 7) : relay(question);
    const outcome = await attest({ ...honest, relay: meddle });
    assertRefused(outcome, 'DPU_NOT_ATTESTED');
  }
  assert.equal(dpu().state, 'trusted');
});

const MISFITS: readonly (readonly [string, NonNullable<TestAgent['changeRelayed']>])[] = [
  ['of another session', (answer) => ({ ...answer, session: 'A'.repeat(43) })],
  ['to another question', (answer) => ({ ...answer, at: answer.at + 1 })],
];
for (const [what, changeRelayed] of MISFITS) {
  test(`§7.9 tunnel: an answer ${what} is refused`, async (context) => {
    const { card, refuses } = await dpuRig(context, {}, KINDS);
    await refuses(agentOn(card, { ...OFFERS, changeRelayed }), 'DPU_SESSION');
  });
}

test('§7.9 tunnel: the key of the request signs what was relayed', async (context) => {
  const { card, refuses } = await dpuRig(context, {}, KINDS);
  await refuses(agentOn(card, { ...OFFERS, signer: makeKey() }), 'DPU_POSSESSION');
});

/** The server's half of a tunnel to components that all answer alike. */
function tunnelTo(components: number, respond: Respond, clock = new ManualClock(0)) {
  let asked = 0;
  const challenge: Challenge = async (bytes) => {
    const question = unwrap(decodeDpuQuestion(bytes));
    assert.ok(question.step === 'relay');
    asked += 1;
    const { session, at } = question;
    return ok(encodeRelayAnswer({ session, at, answer: respond(question.request) }));
  };
  const targets = Array.from({ length: components }, (_, at) => ({ ...IROT_TARGET, id: `c${at}` }));
  const parts = { targets, spdm: DEFAULT_SPDM_POLICY, clock };
  const nonce = new Uint8Array(32).fill(7);
  const session = { session: 'A'.repeat(43), serverNonce: nonce, nonceOf: () => nonce };
  return { collect: () => collectByTunnel(parts, session, challenge), asked: () => asked };
}

test('§7.9 tunnel: a card that never ends is left after so many exchanges', async () => {
  const { respond } = makeSpdmDevice({ portionBytes: 20 });
  assertValue(await tunnelTo(2, respond).collect());
  const { collect, asked } = tunnelTo(4, respond);
  assertRefused(await collect(), 'DPU_RELAY_BOUNDS');
  assert.equal(asked(), RELAY_LIMITS.exchanges);
});

test('§7.9 tunnel: a card that never ends is left after so many bytes', async () => {
  const measurements = [{ index: 1, kind: 3, raw: true, value: new Uint8Array(60_000) }];
  const { respond } = makeSpdmDevice({ measurements });
  const one = 60_000;
  assertValue(await tunnelTo(Math.floor(RELAY_LIMITS.bytes / one) - 1, respond).collect());
  const { collect } = tunnelTo(Math.ceil(RELAY_LIMITS.bytes / one), respond);
  assertRefused(await collect(), 'DPU_RELAY_BOUNDS');
});

test('§7.9 tunnel: a card that is slow is left after a while', async () => {
  const { respond } = makeSpdmDevice();
  const clock = new ManualClock(0);
  const slow =
    (each: number): Respond =>
    (request) => {
      clock.advance(each);
      return respond(request);
    };
  assertValue(await tunnelTo(1, slow(100), clock).collect());
  const { collect, asked } = tunnelTo(1, slow(RELAY_LIMITS.timeMs), clock);
  assertRefused(await collect(), 'DPU_RELAY_BOUNDS');
  assert.equal(asked(), 2);
});
