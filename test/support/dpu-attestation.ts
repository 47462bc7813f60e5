import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { proveKey } from '../../agent/attestation/x509pop/key-files.ts';
import type { AttestedNode } from '../../src/attestation/attestor.ts';
import { bindingNonce } from '../../src/attestation/binding-nonce.ts';
import type { DpuAttestorParts } from '../../src/attestation/dpu/parts.ts';
import {
  type DpuChallenge,
  type DpuQuestion,
  type DpuResponse,
  decodeDpuQuestion,
  type EvidenceKind,
  encodeDpuPayload,
  encodeDpuResponse,
  evidenceTarget,
  type OwnKey,
  ownKeyChallenge,
  possessionMessage,
  type SpdmKind,
  type TargetEvidence,
} from '../../src/attestation/dpu/payload.ts';
import { encodeRelayAnswer, type RelayRequest } from '../../src/attestation/dpu/relay.ts';
import { createDpuAttestor } from '../../src/attestation/dpu/server.ts';
import type { TpmQuestion } from '../../src/attestation/dpu/tpm-question.ts';
import { encodeX509PopResponse } from '../../src/attestation/x509pop/payload.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ok, type Result, unwrap } from '../../src/base/result.ts';
import type { OpenLook } from '../../src/dpu/collector.ts';
import { DpuInventory } from '../../src/dpu/inventory.ts';
import type { DpuDraft } from '../../src/rules/dpu.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { IROT_TARGET, manifestFor, TestCard } from './dpu.ts';
import { IROT } from './manifest.ts';
import { assertRefused } from './refused.ts';
import { dpuDraft, openState, TRUST_DOMAIN } from './state.ts';
import { makeKey, signWith, type TestKey } from './x509.ts';

/** Serial number of the DPU that is imported. */
export const SERIAL = 'MT0000X00001';

/** What an agent does with a challenge; each attack is another one of these. */
export interface TestAgent {
  readonly key: TestKey;
  readonly serial: string;
  readonly offers: readonly EvidenceKind[];
  /** Evidence for a challenge. */
  show: (challenge: DpuChallenge) => Promise<readonly TargetEvidence[]>;
  /** The card's answer to a message that is to be relayed. */
  relay: (question: RelayRequest) => Uint8Array;
  /** The TPM's answer, encoded. */
  tpm: (question: TpmQuestion) => Promise<Uint8Array>;
  /** Over what goes back for a message that was relayed. */
  changeRelayed?: (answer: Parameters<typeof encodeRelayAnswer>[0]) => typeof answer;
  /** Over what the response says. */
  change?: (response: DpuResponse) => DpuResponse;
  /** Signs in place of the key of the CSR. */
  signer?: TestKey;
  joinSecret?: string;
  /** The proof of a key of its own. */
  ownKey?: (challenge: DpuChallenge) => OwnKey | undefined;
}

/** The nonce that evidence must hold. */
export function nonceFor(
  { serverNonce, session }: Pick<DpuChallenge, 'serverNonce' | 'session'>,
  { spki: csrSpki }: TestKey,
  id = IROT,
  kind: EvidenceKind = 'spdm-redfish',
): Uint8Array {
  const target = evidenceTarget(kind, id);
  return bindingNonce({ serverNonce, csrSpki, trustDomain: TRUST_DOMAIN.name, session, target });
}

/** Evidence of a card for a challenge. */
export async function evidenceOf(
  card: TestCard,
  challenge: DpuChallenge,
  key: TestKey,
  kind: SpdmKind = 'spdm-redfish',
): Promise<TargetEvidence> {
  return { kind, ...(await card.evidence(nonceFor(challenge, key, IROT, kind))) };
}

/** The proof of a key for a challenge, with its certificates where it has some. */
export function ownKeyProof(
  own: TestKey,
  challenge: DpuChallenge,
  csrKey: TestKey,
  certificates?: readonly Uint8Array[],
): OwnKey {
  const message = ownKeyChallenge(nonceFor(challenge, csrKey, '', 'x509pop'));
  const proof = encodeX509PopResponse(proveKey(own.privateKey, message, systemRandom));
  return certificates === undefined ? { spki: own.spki, proof } : { certificates, proof };
}

/** An honest agent on a card. */
export function agentOn(card: TestCard, extra: Partial<TestAgent> = {}): TestAgent {
  const key = extra.key ?? makeKey();
  const respond = card.responder();
  return {
    key,
    serial: SERIAL,
    offers: ['spdm-redfish'],
    async show(challenge) {
      const kinds = challenge.kinds.filter(
        (kind) => kind === 'spdm-redfish' || kind === 'spdm-direct',
      );
      return Promise.all(kinds.map((kind) => evidenceOf(card, challenge, key, kind)));
    },
    relay: ({ request }) => respond(request),
    tpm: async () => assert.fail('the card has no TPM'),
    ...extra,
  };
}

/** An out-of-band look that asks a card; `meanwhile` happens at its end. */
export function looks(
  card: TestCard,
  posture: readonly string[] = [],
  meanwhile: () => Promise<void> = async () => {},
): OpenLook {
  return async () =>
    ok({
      collect: async (target: string, nonce: Uint8Array) => ok(await card.evidence(nonce, target)),
      serial: async () => ok(SERIAL),
      async posture() {
        await meanwhile();
        return posture;
      },
      close: async () => {},
    });
}

/** What the agent says to a question. */
async function answer(agent: TestAgent, question: DpuQuestion): Promise<Uint8Array> {
  if (question.step === 'relay') {
    const { session, at } = question;
    const relayed = { session, at, answer: agent.relay(question) };
    return encodeRelayAnswer(agent.changeRelayed?.(relayed) ?? relayed);
  }
  if (question.step === 'tpm') return agent.tpm(question);
  const evidence = await agent.show(question);
  const { session, relayed } = question;
  const ownKey = agent.ownKey?.(question);
  const message = possessionMessage({ session, evidence, ownKey, relayed });
  const signature = signWith(agent.signer ?? agent.key, message);
  const { joinSecret } = agent;
  const response = {
    ...{ session, evidence, signature },
    ...(joinSecret && { joinSecret }),
    ...(ownKey && { ownKey }),
  };
  return encodeDpuResponse(agent.change?.(response) ?? response);
}

/** An attestor over an inventory with one commissioned DPU. */
export async function dpuRig(
  context: TestContext,
  extra: Partial<DpuDraft> = {},
  parts: Partial<DpuAttestorParts> = {},
) {
  const { registry, clock, random } = await openState(context);
  const inventory = new DpuInventory({ registry, clock, unreachableGraceSeconds: 600 });
  const card = new TestCard(SERIAL);
  const draft = dpuDraft(SERIAL, {
    model: 'bluefield-3',
    zone: 1,
    rack: 'r7',
    state: 'commissioned',
    deviceIds: [card.deviceId],
    ...extra,
  });
  unwrap(await registry.writeDpus([{ dpu: draft, expectedRevision: 0n }]));
  const kept: Uint8Array[] = [];
  const refused: ErrorCode[] = [];
  const log = createLogger({ level: 'silent' });
  const attestor = createDpuAttestor({
    trustDomain: TRUST_DOMAIN,
    inventory,
    targets: [IROT_TARGET],
    kinds: ['spdm-redfish'],
    require: [],
    ownKeyRoots: [],
    spdm: DEFAULT_SPDM_POLICY,
    manifestFor,
    outOfBand: undefined,
    light: undefined,
    tpm: undefined,
    keep: async (_serial, bytes) => {
      kept.push(bytes);
      return ok(`evidence-${kept.length}`);
    },
    clock,
    random,
    log: Object.assign(Object.create(log), {
      warn: ({ code }: { code: ErrorCode }) => refused.push(code),
    }),
    ...parts,
  });
  /** One attestation; what holds is written down as the server would. */
  async function attest(agent: TestAgent): Promise<Result<AttestedNode>> {
    const payload = encodeDpuPayload({ serial: agent.serial, offers: agent.offers });
    const csrSpki = agent.key.spki;
    const csrKeyHash = createHash('sha256').update(csrSpki).digest('hex');
    const outcome = await attestor.attest({ payload, csrSpki, csrKeyHash }, async (bytes) =>
      ok(await answer(agent, unwrap(decodeDpuQuestion(bytes)))),
    );
    if (!outcome.ok) return outcome;
    assert.ok(outcome.value.kind === 'attested');
    const { node } = outcome.value;
    if (node.dpu !== undefined) unwrap(await registry.writeDpus([node.dpu]));
    return ok(node);
  }
  /** An attestation that is refused: with this code in the log, and one of two for the agent. */
  async function refuses(agent: TestAgent, code: ErrorCode): Promise<void> {
    const outcome = await attest(agent);
    const passes = code === 'DPU_NOT_ADMITTED';
    assertRefused(outcome, passes ? 'DPU_NOT_JUDGED' : 'DPU_NOT_ATTESTED');
    assert.equal(refused.pop(), code);
  }
  const dpu = () => unwrap(inventory.find(SERIAL));
  return { registry, inventory, card, attest, refuses, dpu, kept, clock };
}
