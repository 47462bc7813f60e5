import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { Clock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  ConnectorClient,
  EnrolResponse,
  Instance,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { callServer } from '../attestation/server-call.ts';
import type { ServerTrust } from '../attestation/server-clients.ts';
import type { ClockOffset } from '../identity/clock-offset.ts';
import { createKey, createRequest, type KeyAndRequest } from '../identity/csr.ts';
import type { StateFile } from '../state-file.ts';
import { bundleSource, type HeldBundles, readBundles } from './bundles.ts';
import type { ConnectorConfig } from './config.ts';
import type { ConnectorChannel, DialConnector } from './dial.ts';
import {
  type ConnectorSvid,
  readConnectorSvid,
  storedConnectorSvid,
  toBase64,
  verifyConnectorSvid,
} from './own-svid.ts';
import { enrolmentWords, type Proof, readProof, signEnrolment } from './proof.ts';
import type { ConnectorState } from './state.ts';

/** Longest wait for an answer, in milliseconds. */
const CALL_MS = 30_000;

/** What an enrolment needs. */
export interface EnrolParts {
  readonly config: ConnectorConfig;
  readonly state: StateFile<ConnectorState>;
  readonly dial: DialConnector;
  readonly trust: () => Promise<Result<ServerTrust>>;
  readonly clock: Clock;
  readonly offset: ClockOffset;
  readonly instance: Instance;
  /** Ends it: what is under way then fails. */
  readonly signal: AbortSignal;
}

/** What an enrolment brought; it is saved. */
export interface Enrolled {
  readonly svid: ConnectorSvid;
  readonly bundles: HeldBundles;
}

/**
 * Enrols: challenge, proof, SVID. The key is kept before it is first sent and used again after a failure or
 * a restart, so that a repetition is one to the server too and no use of a provisioning key is lost.
 *
 * @param newKey Whether the key of earlier enrolments is given up.
 */
export async function enrol(parts: EnrolParts, newKey: boolean): Promise<Result<Enrolled>> {
  const proof = await readProof({
    config: parts.config,
    recoveryCount: () => BigInt(parts.state.current.recoveryCount),
  });
  if (!proof.ok) return proof;
  const trust = await parts.trust();
  if (!trust.ok) return trust;
  const key = await enrolmentKey(parts, newKey);
  if (!key.ok) return key;
  const { server } = parts.config;
  const place = { host: server.address, port: server.port };
  const channel = parts.dial(place, trust.value, proof.value.identity);
  if (!channel.ok) return channel;
  try {
    const answer = await ask(parts, channel.value, proof.value, key.value);
    if (!answer.ok) return explained(answer.error, channel.value);
    return await take(parts, answer.value, key.value);
  } finally {
    channel.value.close();
  }
}

async function enrolmentKey(
  { state, config }: EnrolParts,
  newKey: boolean,
): Promise<Result<KeyAndRequest & { readonly key: KeyObject }>> {
  const stored = newKey ? undefined : state.current.enrolKey;
  const key =
    stored === undefined
      ? await createKey(config.keyType)
      : createPrivateKey({ key: Buffer.from(stored, 'base64'), format: 'der', type: 'pkcs8' });
  const request = createRequest(config.keyType, key, undefined);
  // Also one that is stored already: the write before this one may have failed.
  const saved = await state.save({ enrolKey: toBase64(request.privateKeyPkcs8) });
  if (!saved.ok) return saved;
  return ok({ ...request, key });
}

/** A server that was not accepted is an unreachable one to calls; the reason says more. */
function explained<E extends Error>(error: E, channel: ConnectorChannel) {
  return { ok: false as const, error: channel.refusal() ?? error };
}

async function ask(
  { config, clock, offset, instance, signal }: EnrolParts,
  { client, serverCertificateSha256 }: ConnectorChannel,
  proof: Proof,
  { key, csr, publicKeySpki }: KeyAndRequest & { readonly key: KeyObject },
): Promise<Result<EnrolResponse>> {
  const got = await callServer<{ publicKey: Buffer }, { challenge: Buffer; serverTimeMs: bigint }>(
    (...call) => client.getChallenge(...call),
    { publicKey: publicKeySpki },
    CALL_MS,
    signal,
  );
  if (!got.ok) return got;
  const { challenge, serverTimeMs } = got.value;
  offset.measured(Number(serverTimeMs), clock.nowMs());
  const words = enrolmentWords(challenge, csr);
  const shown = await proof.show(words);
  if (!shown.ok) return shown;
  const request: Parameters<ConnectorClient['enrol']>[0] = {
    csr: Buffer.from(csr),
    group: config.group,
    instance,
    challenge,
    challengeSignature: signEnrolment(words, key),
    clockMs: BigInt(Math.round(clock.nowMs())),
    serverCertificateSha256: serverCertificateSha256(),
    kubernetesCluster: config.enrol.cluster ?? '',
    proof: shown.value,
  };
  return callServer((...call) => client.enrol(...call), request, CALL_MS, signal);
}

async function take(
  { config, state, clock, offset }: EnrolParts,
  answer: EnrolResponse,
  { privateKeyPkcs8 }: KeyAndRequest,
): Promise<Result<Enrolled>> {
  const { group, trustDomain } = config;
  const svid = readConnectorSvid({
    chainDer: answer.svid?.chain ?? [],
    privateKeyPkcs8,
    trustDomain: trustDomain.name,
    group,
  });
  if (!svid.ok) return svid;
  const update = {
    bundles: answer.bundles,
    version: '',
    nonce: Buffer.alloc(0),
    crl: Buffer.alloc(0),
  };
  const bundles = readBundles(update, trustDomain.name);
  if (!bundles.ok) return bundles;
  const valid = verifyConnectorSvid(svid.value, bundleSource(bundles.value), clock.nowMs());
  if (!valid.ok) {
    return fail('COMPANION_SERVER_ANSWER', `${valid.error.message}${offset.explain()}`);
  }
  const saved = await state.save({
    connectorId: answer.connectorId,
    svid: storedConnectorSvid(svid.value),
    svidVersion: '',
    bundles: bundles.value.stored,
    recoveryCount: String(answer.recoveryCount),
    sessionEndpoints: answer.sessionEndpoints.slice(0, 100),
    heartbeatSeconds: answer.heartbeatSeconds,
    lastSessionMs: clock.nowMs(),
  });
  return saved.ok ? ok({ svid: svid.value, bundles: bundles.value }) : saved;
}
