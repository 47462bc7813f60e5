import { bindingNonce } from '../../../src/attestation/binding-nonce.ts';
import {
  DPU_MESSAGE_LIMITS,
  DPU_TYPE,
  type DpuChallenge,
  decodeDpuQuestion,
  type EvidenceKind,
  encodeDpuPayload,
  encodeDpuResponse,
  evidenceTarget,
  type OwnKey,
  possessionMessage,
  type TargetEvidence,
} from '../../../src/attestation/dpu/payload.ts';
import { RELAY_LIMITS } from '../../../src/attestation/dpu/relay.ts';
import { equalBytes } from '../../../src/base/bytes.ts';
import type { Clock } from '../../../src/base/clock.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readKernelFile } from '../../../src/runtime/kernel-file.ts';
import { readSecret } from '../../../src/runtime/secret.ts';
import type { TrustDomain } from '../../../src/spiffe/trust-domain.ts';
import type { AttestationKey, AttestationSession, NodeAttestor } from '../node-attestor.ts';
import { collectByBmc, collectDirectly } from './collect.ts';
import { proveOwnKey } from './own-key.ts';
import type { DpuAgentSettings } from './settings.ts';
import { CardTpm } from './tpm.ts';
import { Tunnel } from './tunnel.ts';

/** The server waits as long for one response, and collects by itself afterwards. */
const TIMEOUT_MS = 660_000;

/** What the agent's half needs. */
export interface DpuAgentParts {
  readonly settings: DpuAgentSettings;
  /** Where a key that is made here is kept. */
  readonly dataDir: string;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Attests by the card that the agent runs on: its roots of trust are asked for signed measurements, with
 * nonces that hold the key of the CSR, through the card's BMC, by the agent itself, or by the server
 * whose messages the agent relays (dpu-attestation §7.1). Fails with AGENT_DPU_SERIAL, AGENT_DPU_TARGET,
 * DPU_MESSAGE, DPU_RELAY_*, REDFISH_* and SPDM_*.
 */
export function createDpuAttestor(parts: DpuAgentParts): NodeAttestor {
  return {
    type: DPU_TYPE,
    maxChallenges: DPU_MESSAGE_LIMITS.challenges + RELAY_LIMITS.exchanges,
    timeoutMs: TIMEOUT_MS,
    async begin(key) {
      const serial = await readSerial(parts.settings);
      if (!serial.ok) return serial;
      return ok(openSession(parts, key, serial.value));
    },
  };
}

function openSession(
  parts: DpuAgentParts,
  key: AttestationKey,
  serial: string,
): AttestationSession {
  const { settings, clock } = parts;
  const tunnel = new Tunnel({
    direct: settings.direct,
    clock,
    nonceOf: (session, target) => nonceFor(parts, key, session, target),
  });
  const tpm = new CardTpm(parts, key);
  return {
    payload: encodeDpuPayload({ serial, offers: offersOf(settings) }),
    async respond(bytes) {
      const question = decodeDpuQuestion(bytes);
      if (!question.ok) return question;
      if (question.value.step === 'relay') return tunnel.relay(question.value);
      if (question.value.step === 'tpm') return tpm.answer(question.value);
      return answer(parts, key, tunnel, question.value);
    },
    async close() {
      tunnel.close();
      await tpm.close();
    },
  };
}

/** What there is a place for; of several the server takes what it likes best. */
function offersOf({ bmc, direct, tpm }: DpuAgentSettings): readonly EvidenceKind[] {
  return [
    ...(bmc === undefined ? [] : (['spdm-redfish'] as const)),
    ...(direct === undefined ? [] : (['spdm-direct', 'spdm-tunnel'] as const)),
    'x509pop',
    ...(tpm === undefined ? [] : (['tpm2'] as const)),
  ];
}

async function answer(
  parts: DpuAgentParts,
  key: AttestationKey,
  tunnel: Tunnel,
  challenge: DpuChallenge,
): Promise<Result<Uint8Array>> {
  const relayed = checkRelayed(tunnel, challenge);
  if (!relayed.ok) return relayed;
  const evidence = await collect(parts, key, challenge);
  if (!evidence.ok) return evidence;
  const secret = await readJoinSecret(parts.settings, challenge);
  if (!secret.ok) return secret;
  const ownKey = await ownKeyFor(parts, key, challenge);
  if (!ownKey.ok) return ownKey;
  const { session } = challenge;
  const proven = ownKey.value && { ownKey: ownKey.value };
  const shown = { session, evidence: evidence.value, ...proven };
  const signature = key.sign(possessionMessage({ ...shown, relayed: relayed.value }));
  const response = { ...shown, signature };
  return ok(encodeDpuResponse({ ...response, ...(secret.value && { joinSecret: secret.value }) }));
}

/** What the key signs was relayed by this agent, in this session, to the last byte. */
function checkRelayed(
  { relayed }: Tunnel,
  { session, serverNonce, relayed: told, kinds }: DpuChallenge,
): Result<Uint8Array | undefined> {
  if (kinds.includes('spdm-tunnel') !== (told !== undefined)) {
    return fail('DPU_MESSAGE', 'challenge: digest and kind of what was relayed do not agree');
  }
  if (relayed === undefined && told === undefined) return ok(undefined);
  const same =
    relayed !== undefined &&
    told !== undefined &&
    relayed.session === session &&
    equalBytes(relayed.serverNonce, serverNonce) &&
    equalBytes(relayed.digest, told);
  return same ? ok(told) : fail('DPU_RELAY_REFUSED', 'the server names something else as relayed');
}

async function collect(
  parts: DpuAgentParts,
  key: AttestationKey,
  challenge: DpuChallenge,
): Promise<Result<readonly TargetEvidence[]>> {
  const { targets, kinds } = challenge;
  const evidence: TargetEvidence[] = [];
  for (const kind of kinds) {
    const wanted = targets.map(({ id, slot }) => {
      return { id, slot, nonce: nonceFor(parts, key, challenge, evidenceTarget(kind, id)) };
    });
    const collected = await COLLECT[kind]?.(parts, wanted);
    if (collected === undefined) continue;
    if (!collected.ok) return collected;
    evidence.push(...collected.value);
  }
  return ok(evidence);
}

/** What the agent collects itself; what came through the tunnel the server has already. */
const COLLECT: Readonly<Partial<Record<EvidenceKind, typeof collectByBmc>>> = {
  'spdm-redfish': collectByBmc,
  'spdm-direct': collectDirectly,
};

async function ownKeyFor(
  parts: DpuAgentParts,
  key: AttestationKey,
  challenge: DpuChallenge,
): Promise<Result<OwnKey | undefined>> {
  if (!challenge.kinds.includes('x509pop')) return ok(undefined);
  return proveOwnKey(parts, nonceFor(parts, key, challenge, evidenceTarget('x509pop', '')));
}

function nonceFor(
  { trustDomain }: DpuAgentParts,
  { spki: csrSpki }: AttestationKey,
  { serverNonce, session }: Pick<DpuChallenge, 'serverNonce' | 'session'>,
  target: string,
): Uint8Array {
  return bindingNonce({ serverNonce, session, csrSpki, trustDomain: trustDomain.name, target });
}

async function readSerial({ serial, serialPath }: DpuAgentSettings): Promise<Result<string>> {
  if (serial !== undefined) return ok(serial);
  const text = await readKernelFile(serialPath);
  if (text !== undefined && text !== '') return ok(text);
  return fail('AGENT_DPU_SERIAL', `no serial number of the card in ${serialPath}`);
}

async function readJoinSecret(
  { joinSecretPath }: DpuAgentSettings,
  { joinSecret }: DpuChallenge,
): Promise<Result<string | undefined>> {
  if (!joinSecret) return ok(undefined);
  return readSecret({
    path: joinSecretPath,
    variable: 'SIGNET_DPU_JOIN_SECRET',
    setting: 'attestation.dpu.joinSecretPath',
    code: 'DPU_JOIN_SECRET',
  });
}
