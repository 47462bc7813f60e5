import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { bindingNonce } from '../../../src/attestation/binding-nonce.ts';
import {
  type DpuChallenge,
  decodeDpuPayload,
  decodeDpuResponse,
  encodeDpuChallenge,
  evidenceTarget,
} from '../../../src/attestation/dpu/payload.ts';
import {
  decodeRelayAnswer,
  encodeRelayRequest,
  RELAY_LIMITS,
} from '../../../src/attestation/dpu/relay.ts';
import { collectByTunnel } from '../../../src/attestation/dpu/tunnel.ts';
import { concatBytes } from '../../../src/base/bytes.ts';
import { ManualClock, systemClock } from '../../../src/base/clock.ts';
import { seededRandom, systemRandom } from '../../../src/base/random.ts';
import { verifyEvidence } from '../../../src/dpu/evidence.ts';
import { EMULATOR_FRAMING } from '../../../src/spdm/emulator-framing.ts';
import { DEFAULT_SPDM_POLICY } from '../../../src/spdm/policy.ts';
import { TCP_FRAMING } from '../../../src/spdm/tcp-framing.ts';
import { IROT_TARGET, TestCard } from '../../../test/support/dpu.ts';
import { IROT } from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { serveResponder } from '../../../test/support/spdm-responder-server.ts';
import { TRUST_DOMAIN } from '../../../test/support/state.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { makeKey } from '../../../test/support/x509.ts';
import { createDpuAttestor } from './agent.ts';
import { checkRelayed } from './relay-guard.ts';
import { dpuAgentSchema } from './settings.ts';

const SESSION = { session: 'A'.repeat(43), serverNonce: systemRandom.bytes(32) };
const GET_VERSION = Uint8Array.of(0x10, 0x84, 0, 0);
const EROT = 'Bluefield_ERoT';

/** An agent whose card answers on loopback, by both names. */
async function setUp(
  context: TestContext,
  { framing = 'tcp' as 'tcp' | 'emulator', clock = systemClock as typeof systemClock } = {},
) {
  const card = new TestCard('MT0000X00001');
  const server = await serveResponder(framing === 'tcp' ? TCP_FRAMING : EMULATOR_FRAMING, () =>
    card.responder(),
  );
  context.after(() => server.close());
  const address = `${server.host}:${server.port}`;
  const key = makeKey();
  const targets = [IROT, EROT].map((id) => ({ id, address }));
  const attestor = createDpuAttestor({
    settings: dpuAgentSchema.parse({ serial: 'MT0000X00001', direct: { targets, framing } }),
    dataDir: testFolder(context),
    trustDomain: TRUST_DOMAIN,
    clock,
    random: seededRandom(1),
  });
  const session = assertValue(
    await attestor.begin({
      spki: key.spki,
      sign: (message) => sign('sha256', message, key.privateKey),
    }),
  );
  context.after(() => session.close());
  const nonceFor = (target: string): Uint8Array =>
    bindingNonce({ ...SESSION, csrSpki: key.spki, trustDomain: TRUST_DOMAIN.name, target });
  /** Has one message relayed. */
  let next = 0;
  const relay = (request: Uint8Array, target = IROT, at = next++) =>
    session.respond(encodeRelayRequest({ ...SESSION, target, at, request }));
  return { card, server, attestor, session, nonceFor, relay };
}

function challengeOf(more: Partial<DpuChallenge>): Uint8Array {
  const targets = [{ id: IROT, slot: 0 }];
  return encodeDpuChallenge({
    ...SESSION,
    kinds: ['spdm-direct'],
    targets,
    joinSecret: false,
    ...more,
  });
}

for (const framing of ['tcp', 'emulator'] as const) {
  test(`direct, ${framing}: the agent asks the card itself, by the nonce of this kind`, async (context) => {
    const { session, nonceFor } = await setUp(context, { framing });
    const { offers } = assertValue(decodeDpuPayload(session.payload));
    assert.deepEqual(offers, ['spdm-direct', 'spdm-tunnel', 'x509pop']);
    const bytes = assertValue(await session.respond(challengeOf({})));
    const { evidence } = assertValue(decodeDpuResponse(bytes));
    const [item] = evidence;
    assert.ok(item?.kind === 'spdm-direct');
    const nonce = nonceFor(evidenceTarget('spdm-direct', IROT));
    const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
    assertValue(verifyEvidence(item, IROT_TARGET, nonce, rules));
  });
}

test('tunnel: the server collects through the agent, which signs what it relayed', async (context) => {
  const { session, nonceFor } = await setUp(context);
  const parts = { targets: [IROT_TARGET], spdm: DEFAULT_SPDM_POLICY, clock: systemClock };
  const nonceOf = (id: string): Uint8Array => nonceFor(evidenceTarget('spdm-tunnel', id));
  const collected = assertValue(
    await collectByTunnel(parts, { ...SESSION, nonceOf }, (bytes) => session.respond(bytes)),
  );
  const [item] = collected.evidence;
  assert.ok(item);
  const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
  assertValue(verifyEvidence(item, IROT_TARGET, nonceOf(IROT), rules));
  const { relayed } = collected;
  assertValue(await session.respond(challengeOf({ kinds: ['spdm-tunnel'], relayed })));
  const other = new Uint8Array(relayed).with(0, (relayed[0] ?? 0) ^ 1);
  for (const wrong of [
    { kinds: ['spdm-tunnel'] as const, relayed: other },
    { kinds: ['spdm-tunnel'] as const, relayed, session: 'B'.repeat(43) },
    { kinds: ['spdm-tunnel'] as const, relayed, serverNonce: new Uint8Array(32) },
    { kinds: ['spdm-direct'] as const },
  ]) {
    assertRefused(await session.respond(challengeOf(wrong)), 'DPU_RELAY_REFUSED');
  }
  for (const wrong of [
    { kinds: ['spdm-tunnel'] as const },
    { kinds: ['spdm-direct'] as const, relayed },
  ]) {
    assertRefused(await session.respond(challengeOf(wrong)), 'DPU_MESSAGE');
  }
});

test('tunnel: a signature over what another agent relayed is not given', async (context) => {
  const { session } = await setUp(context);
  const relayed = systemRandom.bytes(32);
  const asked = challengeOf({ kinds: ['spdm-tunnel'], relayed });
  assertRefused(await session.respond(asked), 'DPU_RELAY_REFUSED');
});

const NONCE = new Uint8Array(32).fill(7);
const message = (code: number, param1 = 0, ...rest: readonly Uint8Array[]): Uint8Array =>
  concatBytes([Uint8Array.of(0x12, code, param1, 0), ...rest]);

const RELAYED: readonly (readonly [string, Uint8Array])[] = [
  ['GET_VERSION', GET_VERSION],
  ['GET_CAPABILITIES', message(0xe1)],
  ['NEGOTIATE_ALGORITHMS', message(0xe3)],
  ['GET_DIGESTS', message(0x81)],
  ['GET_CERTIFICATE', message(0x82)],
  ['CHALLENGE for the nonce', message(0x83, 0, NONCE)],
  ['GET_MEASUREMENTS, not signed', message(0xe0)],
  ['GET_MEASUREMENTS, signed for the nonce', message(0xe0, 1, NONCE)],
  ['RESPOND_IF_READY for GET_MEASUREMENTS', message(0xff, 0xe0)],
];
for (const [what, request] of RELAYED) {
  test(`tunnel: ${what} may be relayed`, () => {
    assertValue(checkRelayed(request, NONCE));
  });
}

const OTHER = NONCE.with(31, 8);
const NOT_RELAYED: readonly (readonly [string, Uint8Array])[] = [
  ['CHALLENGE for another nonce', message(0x83, 0, OTHER)],
  ['GET_MEASUREMENTS, signed for another nonce', message(0xe0, 1, OTHER)],
  ['GET_MEASUREMENTS, signed for a shorter nonce', message(0xe0, 1, NONCE.subarray(1))],
  ['GET_MEASUREMENTS of raw bit streams', message(0xe0, 2)],
  ['GET_MEASUREMENTS of firmware to come', message(0xe0, 5, NONCE)],
  ['RESPOND_IF_READY for KEY_EXCHANGE', message(0xff, 0xe4)],
  ['RESPOND_IF_READY with more behind it', message(0xff, 0xe0, NONCE)],
  ['three bytes', Uint8Array.of(0x10, 0x84, 0)],
];
for (const [what, request] of NOT_RELAYED) {
  test(`tunnel: ${what} is not relayed`, () => {
    assertRefused(checkRelayed(request, NONCE), 'DPU_RELAY_REFUSED');
  });
}

test('tunnel: of all codes only those of a requester of measurements are relayed', () => {
  const relayed: number[] = [];
  for (let code = 0; code < 256; code++) {
    if (checkRelayed(message(code, 0, NONCE), NONCE).ok) relayed.push(code);
  }
  assert.deepEqual(relayed, [0x81, 0x82, 0x83, 0x84, 0xe0, 0xe1, 0xe3]);
});

test('tunnel: what is refused does not reach the card', async (context) => {
  const { relay, server } = await setUp(context);
  assertRefused(await relay(message(0xe4)), 'DPU_RELAY_REFUSED');
  assert.equal(server.open(), 0);
});

test('§7.9 tunnel: the component is not switched in the middle, nor asked twice', async (context) => {
  const { relay } = await setUp(context);
  assertRefused(await relay(message(0xe1), IROT, 0), 'DPU_RELAY_REFUSED');
  assertValue(await relay(GET_VERSION, IROT, 0));
  assertRefused(await relay(message(0xe1), EROT, 1), 'DPU_RELAY_REFUSED');
  assertRefused(await relay(GET_VERSION, IROT, 1), 'DPU_RELAY_REFUSED');
  assertValue(await relay(GET_VERSION, EROT, 1));
  assertRefused(await relay(GET_VERSION, IROT, 2), 'DPU_RELAY_REFUSED');
});

test('§7.9 tunnel: a question out of its turn or of another session is not relayed', async (context) => {
  const { relay, session } = await setUp(context);
  assertValue(await relay(GET_VERSION, IROT, 0));
  for (const at of [0, 2]) assertRefused(await relay(message(0xe1), IROT, at), 'DPU_RELAY_REFUSED');
  for (const other of [{ session: 'B'.repeat(43) }, { serverNonce: new Uint8Array(32) }]) {
    const asked = { ...SESSION, ...other, target: IROT, at: 1, request: message(0xe1) };
    assertRefused(await session.respond(encodeRelayRequest(asked)), 'DPU_RELAY_REFUSED');
  }
});

test('§7.9 tunnel: the agent relays no longer than the bounds allow', async (context) => {
  const clock = new ManualClock(0);
  const { relay } = await setUp(context, { clock });
  assertValue(await relay(GET_VERSION, IROT, 0));
  clock.advance(RELAY_LIMITS.timeMs);
  assertValue(await relay(GET_VERSION, EROT, 1));
  clock.advance(1);
  assertRefused(await relay(message(0xe1), EROT, 2), 'DPU_RELAY_BOUNDS');
});

test('a component of which no place is configured is not asked', async (context) => {
  const { session } = await setUp(context);
  const targets = [{ id: 'Bluefield_NIC', slot: 0 }];
  assertRefused(await session.respond(challengeOf({ targets })), 'AGENT_DPU_TARGET');
  assertRefused(
    await session.respond(challengeOf({ kinds: ['spdm-redfish'] })),
    'DPU_EVIDENCE_INCOMPLETE',
  );
});

const PLACES: readonly (readonly [string, boolean])[] = [
  ['127.0.0.1:4194', true],
  ['[::1]:4194', true],
  ['card.example:65535', true],
  ['card.example:65536', false],
  ['card.example:0', false],
  ['card.example', false],
  ['::1:4194', false],
  ['http://card.example:80', false],
];
for (const [address, fine] of PLACES) {
  test(`a place of ${address} is ${fine ? 'taken' : 'refused'}`, () => {
    const direct = { targets: [{ id: IROT, address }] };
    assert.equal(dpuAgentSchema.safeParse({ direct }).success, fine);
  });
}

test('settings without any place, and with one component twice, are refused', () => {
  const target = { id: IROT, address: '127.0.0.1:4194' };
  assert.ok(!dpuAgentSchema.safeParse({}).success);
  assert.ok(!dpuAgentSchema.safeParse({ direct: { targets: [target, target] } }).success);
});

test('an answer that was relayed is read as it was written, with its place', async (context) => {
  const { relay } = await setUp(context);
  const answer = assertValue(decodeRelayAnswer(assertValue(await relay(GET_VERSION, IROT, 0))));
  assert.equal(answer.at, 0);
  assert.equal(answer.answer[1], 0x04, 'VERSION');
});
