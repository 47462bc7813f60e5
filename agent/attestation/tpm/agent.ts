import { bindingNonce } from '../../../src/attestation/binding-nonce.ts';
import {
  decodeTpmChallenge,
  encodeTpmPayload,
  encodeTpmResponse,
  TPM_TARGET,
  TPM_TYPE,
} from '../../../src/attestation/tpm/payload.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { AgentConfig } from '../../config.ts';
import type { AttestationKey, AttestationSession, NodeAttestor } from '../node-attestor.ts';
import { TPM_RH } from './command.ts';
import { ekCertificateOf } from './ek-certificate.ts';
import { readEventLog } from './event-log-file.ts';
import { ECC_AK_TEMPLATE, ECC_EK_TEMPLATE, RSA_EK_TEMPLATE } from './templates.ts';
import { type LoadedKey, Tpm } from './tpm.ts';
import { openTpm } from './transport.ts';

type TpmSettings = NonNullable<AgentConfig['attestation']['tpm']>;

/** What the agent's half needs. */
export interface TpmAgentParts {
  readonly settings: TpmSettings;
  readonly trustDomain: AgentConfig['trustDomain'];
  readonly clock: Clock;
}

/**
 * Attests with the TPM of this machine: its endorsement key, an attestation key made for it, and a quote
 * bound to the SVID's key. Fails with AGENT_TPM_UNAVAILABLE, AGENT_TPM_REFUSED or AGENT_TPM_FILES.
 */
export function createTpmAttestor(parts: TpmAgentParts): NodeAttestor {
  return {
    type: TPM_TYPE,
    maxChallenges: 1,
    timeoutMs: 90_000,
    async begin(key) {
      const transport = await openTpm(parts.settings.device, parts.clock);
      if (!transport.ok) return transport;
      const tpm = new Tpm(transport.value);
      const session = await prepare(tpm, key, parts);
      if (!session.ok) await tpm.close();
      return session;
    },
  };
}

interface Keys {
  readonly endorsementKey: LoadedKey;
  readonly attestationKey: LoadedKey;
}

async function prepare(
  tpm: Tpm,
  key: AttestationKey,
  parts: TpmAgentParts,
): Promise<Result<AttestationSession>> {
  const { ekKeyType } = parts.settings;
  const template = ekKeyType === 'rsa-2048' ? RSA_EK_TEMPLATE : ECC_EK_TEMPLATE;
  const endorsementKey = await tpm.createPrimary(TPM_RH.endorsement, template);
  if (!endorsementKey.ok) return endorsementKey;
  const attestationKey = await tpm.createPrimary(TPM_RH.endorsement, ECC_AK_TEMPLATE);
  if (!attestationKey.ok) return attestationKey;
  const ekCertificate = await ekCertificateOf(tpm, parts.settings);
  if (!ekCertificate.ok) return ekCertificate;
  const keys = { endorsementKey: endorsementKey.value, attestationKey: attestationKey.value };
  return ok({
    payload: encodeTpmPayload({
      ekCertificate: ekCertificate.value,
      ekPublic: keys.endorsementKey.publicArea,
      akPublic: keys.attestationKey.publicArea,
    }),
    respond: (challenge: Uint8Array) => respond(challenge, { tpm, keys, key, parts }),
    close: () => tpm.close(),
  });
}

/** What a response is made of. */
interface Holding {
  readonly tpm: Tpm;
  readonly keys: Keys;
  readonly key: AttestationKey;
  readonly parts: TpmAgentParts;
}

async function respond(
  bytes: Uint8Array,
  { tpm, keys, key, parts }: Holding,
): Promise<Result<Uint8Array>> {
  const challenge = decodeTpmChallenge(bytes);
  if (!challenge.ok) return fail('AGENT_SERVER_ANSWER', challenge.error.message);
  const { pcrs, session, nonce: serverNonce } = challenge.value;
  const secret = await tpm.activateCredential(keys, challenge.value);
  if (!secret.ok) return secret;
  const nonce = bindingNonce({
    serverNonce,
    csrSpki: key.spki,
    trustDomain: parts.trustDomain.name,
    session,
    target: TPM_TARGET,
  });
  const quote = await tpm.quote(keys.attestationKey, nonce, 'sha256', pcrs);
  if (!quote.ok) return quote;
  const values = await tpm.readRegisters('sha256', pcrs);
  if (!values.ok) return values;
  const eventLog = challenge.value.eventLog
    ? await readEventLog(parts.settings.eventLogPath)
    : ok(undefined);
  if (!eventLog.ok) return eventLog;
  const proof = { secret: secret.value, ...quote.value, values: values.value };
  return ok(encodeTpmResponse({ ...proof, eventLog: eventLog.value }));
}
