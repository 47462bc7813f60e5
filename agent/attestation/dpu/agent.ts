import { bindingNonce } from '../../../src/attestation/binding-nonce.ts';
import {
  DPU_TYPE,
  type DpuChallenge,
  decodeDpuChallenge,
  encodeDpuPayload,
  encodeDpuResponse,
  possessionMessage,
  type TargetEvidence,
} from '../../../src/attestation/dpu/payload.ts';
import type { Clock } from '../../../src/base/clock.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { parsePem } from '../../../src/der/pem.ts';
import { BmcClient } from '../../../src/redfish/bmc-client.ts';
import { readBmcCredentials } from '../../../src/redfish/credentials.ts';
import { collectSignedMeasurements } from '../../../src/redfish/signed-measurements.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import { readSecret } from '../../../src/runtime/secret.ts';
import type { TrustDomain } from '../../../src/spiffe/trust-domain.ts';
import type { AttestationKey, AttestationSession, NodeAttestor } from '../node-attestor.ts';
import type { DpuAgentSettings } from './settings.ts';

/** The server waits as long for one response, and collects by itself afterwards. */
const TIMEOUT_MS = 660_000;
const MAX_SERIAL_BYTES = 256;
const CHAIN_LIMITS = { maxBytes: 64 * 1024, maxBlocks: 8 };

/** What the agent's half needs. */
export interface DpuAgentParts {
  readonly settings: DpuAgentSettings;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Attests by the card that the agent runs on: its BMC is asked, over the path inside the card, for
 * measurements signed by the roots of trust that the server names, with nonces that hold the key of
 * the CSR (dpu-attestation §7.1). Fails with AGENT_DPU_SERIAL, DPU_MESSAGE and REDFISH_*.
 */
export function createDpuAttestor(parts: DpuAgentParts): NodeAttestor {
  return {
    type: DPU_TYPE,
    maxChallenges: 1,
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
  return {
    payload: encodeDpuPayload({ serial, offers: ['spdm-redfish'] }),
    async respond(bytes) {
      const challenge = decodeDpuChallenge(bytes);
      if (!challenge.ok) return challenge;
      const evidence = await collect(parts, key, challenge.value);
      if (!evidence.ok) return evidence;
      const secret = await readJoinSecret(parts.settings, challenge.value);
      if (!secret.ok) return secret;
      const { session } = challenge.value;
      const signature = key.sign(possessionMessage({ session, evidence: evidence.value }));
      const response = { session, evidence: evidence.value, signature };
      return ok(
        encodeDpuResponse({ ...response, ...(secret.value && { joinSecret: secret.value }) }),
      );
    },
    close: async () => {},
  };
}

/** Components side by side: a BMC serves one collection for each. */
async function collect(
  { settings, trustDomain, clock, random }: DpuAgentParts,
  key: AttestationKey,
  { serverNonce, session, targets }: DpuChallenge,
): Promise<Result<readonly TargetEvidence[]>> {
  const { address, tlsPin, ...places } = settings.bmc;
  const credentials = await readBmcCredentials(places);
  if (!credentials.ok) return credentials;
  const place = { origin: address, trust: tlsPin };
  const bmc = new BmcClient({ place, credentials: credentials.value, clock, random });
  const binding = { serverNonce, session, csrSpki: key.spki, trustDomain: trustDomain.name };
  try {
    const collected = await Promise.all(
      targets.map(({ id, slot }) =>
        collectOne(bmc, { id, slot, nonce: bindingNonce({ ...binding, target: id }) }),
      ),
    );
    const evidence: TargetEvidence[] = [];
    for (const item of collected) {
      if (!item.ok) return item;
      evidence.push(item.value);
    }
    return ok(evidence);
  } finally {
    await bmc.close();
  }
}

async function collectOne(
  bmc: BmcClient,
  { id, slot, nonce }: { readonly id: string; readonly slot: number; readonly nonce: Uint8Array },
): Promise<Result<TargetEvidence>> {
  const collected = await collectSignedMeasurements(bmc, id, { nonce, slot });
  if (!collected.ok) return collected;
  const { signedMeasurements: messages, certificateChainPem } = collected.value;
  const chain = parsePem(certificateChainPem, CHAIN_LIMITS);
  if (!chain.ok) return chain;
  return ok({ target: id, messages, certificates: chain.value.map(({ der }) => der) });
}

async function readSerial({ serial, serialPath }: DpuAgentSettings): Promise<Result<string>> {
  if (serial !== undefined) return ok(serial);
  const bytes = await readFileIfPresent(serialPath, MAX_SERIAL_BYTES);
  const text = bytes.ok && bytes.value ? Buffer.from(bytes.value).toString('latin1').trim() : '';
  if (text !== '') return ok(text);
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
