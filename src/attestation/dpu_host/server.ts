import { createHash } from 'node:crypto';
import { toHex } from '../../base/bytes.ts';
import type { ErrorCode, SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import type { DpuHost, DpuHostTpm, DpuRecord } from '../../rules/dpu.ts';
import { dpuHostAgentPath } from '../../rules/reserved-ids.ts';
import { makeSelector, type Selector } from '../../rules/selector.ts';
import type { Logger } from '../../runtime/log.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { DpuWrite } from '../../store/store.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { verifyWithScheme } from '../../x509/signature.ts';
import type { AttestationRequest, AttestedNode, Challenge, NodeAttestor } from '../attestor.ts';
import { tpmShare } from '../dpu/tpm.ts';
import type { ProvenTpm } from '../tpm/server.ts';
import { type BootKey, bootKeyChanged, judgeBootKey } from './boot-key.ts';
import { checkPairing, checkVoucher } from './check-voucher.ts';
import { type HostTpmRules, judgeHostTpm, newHostTpm, questionHostTpm } from './host-tpm.ts';
import {
  askingMessage,
  DPU_HOST_LIMITS,
  DPU_HOST_TYPE,
  type DpuHostResponse,
  decodeHostPayload,
  decodeHostResponse,
  encodeHostChallenge,
  HOST_NONCE_BYTES,
  showingMessage,
} from './payload.ts';
import { judgeSigner, type SignerParts, type VoucherDpu } from './signer.ts';
import { readVoucher, type VoucherClaims, voucherAudience } from './voucher.ts';

/** What the attestor stands on. */
export interface DpuHostParts extends SignerParts {
  /** Undefined where TPMs of hosts are not looked at. */
  readonly tpm: HostTpmRules | undefined;
  readonly random: Random;
  readonly log: Logger;
  /** Something that looks like an attack on a host; nobody is put out for it. */
  readonly onAlarm: (serial: string, error: SignetError) => void;
}

/** What only somebody beside the host's own agent causes. */
const ALARMS: readonly ErrorCode[] = [
  'VOUCHER_SECOND_KEY',
  'VOUCHER_BOOT_UNCONFIRMED',
  'VOUCHER_TPM_KEY',
];

const SCHEME = { kind: 'ecdsa', hash: 'sha256' } as const;

/**
 * The attestor of hosts whose DPU vouches for them (dpu-attestation §7.7): the DPU's agent says that a
 * key asked it over the host's own link, in answer to a nonce of this server. What is wrong goes to the
 * log; the agent is told DPU_HOST_NOT_ATTESTED or DPU_HOST_NOT_JUDGED, and no more.
 */
export function createDpuHostAttestor(parts: DpuHostParts): NodeAttestor {
  return {
    type: DPU_HOST_TYPE,
    limits: {
      payloadBytes: DPU_HOST_LIMITS.payloadBytes,
      responseBytes: DPU_HOST_LIMITS.responseBytes,
      challenges: 1,
      // A discrete TPM takes seconds for what it is asked.
      responseMs: parts.tpm === undefined ? 30_000 : 60_000,
      totalMs: parts.tpm === undefined ? 40_000 : 60_000,
    },
    async attest(request, challenge) {
      const node = await attest(parts, request, challenge);
      if (node.ok) return ok({ kind: 'attested', node: node.value });
      const { code, message, retryable } = node.error;
      if (code === 'DPU_HOST_MESSAGE' || code.startsWith('ATTESTATION_')) return node;
      parts.log.warn({ code, reason: message }, 'host not attested');
      const cause = node.error;
      return retryable
        ? fail('DPU_HOST_NOT_JUDGED', 'the DPU cannot vouch for this host now', { cause })
        : fail('DPU_HOST_NOT_ATTESTED', 'what was shown of the host is not accepted', { cause });
    },
  };
}

async function attest(
  parts: DpuHostParts,
  request: AttestationRequest,
  challenge: Challenge,
): Promise<Result<AttestedNode>> {
  const payload = decodeHostPayload(request.payload);
  if (!payload.ok) return payload;
  const nonce = parts.random.bytes(HOST_NONCE_BYTES);
  const question = await questionHostTpm(parts, request, payload.value.tpm, nonce);
  if (!question.ok) return question;
  const answer = await challenge(encodeHostChallenge({ nonce, tpm: question.value?.bytes }));
  if (!answer.ok) return answer;
  const response = decodeHostResponse(answer.value);
  if (!response.ok) return response;
  const voucher = readVoucher(response.value.voucher);
  if (!voucher.ok) return voucher;
  // Who speaks, before what is said is looked at.
  const signer = judgeSigner(voucher.value, response.value.x5c, parts);
  if (!signer.ok) return signer;
  const { claims } = voucher.value;
  const csrKeyHash = sha256Hex(request.csrSpki);
  const fits = checkVoucher(claims, {
    audience: voucherAudience(parts.registry.trustDomain.name),
    nonce,
    csrKeyHash,
    anchorHash: sha256Hex(response.value.anchor),
    nowSeconds: nowSeconds(parts),
  });
  if (!fits.ok) return fits;
  const proven = checkPossession(parts, request, response.value, claims);
  if (!proven.ok) return proven;
  const { dpu } = signer.value;
  const host = checkPairing(claims, dpu);
  if (!host.ok) return host;
  const tpm = judgeHostTpm(parts.tpm, question.value, response.value.tpm, dpu, host.value);
  if (!tpm.ok) return alarming(parts, dpu, tpm);
  return admit(parts, signer.value, claims, host.value, tpm.value);
}

/** The key of the CSR shows the voucher, and the key of the boot asked for it: both in this attestation. */
function checkPossession(
  { registry }: DpuHostParts,
  { csrSpki }: AttestationRequest,
  { anchor, proof, signature, voucher }: DpuHostResponse,
  { key, nonce, boot, host }: VoucherClaims,
): Result<void> {
  const asking = askingMessage(registry.trustDomain.name, { key, nonce, boot, host, anchor });
  const signed = isSigned(csrSpki, showingMessage(nonce, voucher), signature);
  if (signed && isSigned(anchor, asking, proof)) return ok(undefined);
  return fail('DPU_HOST_POSSESSION', 'not signed by the key of the request and that of the boot');
}

function isSigned(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const key = parsePublicKey(spki);
  return key.ok && verifyWithScheme(key.value, SCHEME, message, signature).ok;
}

function alarming(
  { onAlarm }: Pick<DpuHostParts, 'onAlarm'>,
  { serial }: DpuRecord,
  failed: Failed,
): Failed {
  if (ALARMS.includes(failed.error.code)) onAlarm(serial, failed.error);
  return failed;
}

function admit(
  parts: DpuHostParts,
  { dpu, deviceId, notAfterSeconds }: VoucherDpu,
  { anchor, boot, witness }: VoucherClaims,
  host: DpuHost,
  tpm: ProvenTpm | undefined,
): Result<AttestedNode> {
  const shown: BootKey = { anchor, boot, witness };
  // The key of another host, from before the card was moved by an operator, says nothing of this one.
  const known = dpu.hostKey?.hostUuid === host.uuid ? dpu.hostKey : undefined;
  const judged = judgeBootKey(known, shown);
  if (!judged.ok) return alarming(parts, dpu, judged);
  const { trustDomain } = parts.registry;
  const agentId = spiffeIdFromPath(trustDomain, dpuHostAgentPath(deviceId, host.uuid));
  if (!agentId.ok) return agentId;
  const selectors = selectorsOf(dpu, host);
  if (!selectors.ok) return selectors;
  const share = tpmShare(parts.tpm, agentId.value, tpm);
  if (!share.ok) return share;
  const atSeconds = nowSeconds(parts);
  const hostTpm = newHostTpm(dpu, host, tpm, atSeconds);
  const changed = bootKeyChanged(known, shown) || hostTpm !== undefined;
  const { tpmClock } = share.value;
  return ok({
    agentId: agentId.value,
    selectors: [...selectors.value, ...share.value.selectors],
    canReattest: true,
    assurance: {
      // Its maker vouches for the TPM: the node is as firmly bound as by it alone, and sits where it should.
      binding: tpm?.endorsement.trust === 'manufacturer' ? 'tpm' : 'vouched',
      zone: dpu.zone,
      release: undefined,
      ...(tpmClock && { tpmClock }),
    },
    aliasDraft: undefined,
    joinTokenHash: undefined,
    notAfterSeconds,
    ...(changed && { dpu: remember(dpu, shown, host.uuid, hostTpm, atSeconds) }),
  });
}

/** Written over the revision that was judged: of two first keys, or TPMs, at once one is refused. */
function remember(
  { revision, ...draft }: DpuRecord,
  shown: BootKey,
  hostUuid: string,
  hostTpm: DpuHostTpm | undefined,
  atSeconds: number,
): DpuWrite {
  const { hostKey } = draft;
  const same = hostKey?.anchor === shown.anchor && hostKey.hostUuid === hostUuid;
  const sinceSeconds = same ? hostKey.sinceSeconds : atSeconds;
  return {
    dpu: {
      ...draft,
      hostKey: { ...shown, hostUuid, sinceSeconds },
      ...(hostTpm && { hostTpm }),
      updatedAtSeconds: atSeconds,
    },
    expectedRevision: revision,
  };
}

/** From the inventory alone: nothing that host or DPU say of themselves. */
function selectorsOf(dpu: DpuRecord, host: DpuHost): Result<readonly Selector[]> {
  const known: readonly (readonly [string, string])[] = [
    ['dpu', dpu.serial],
    ['host:uuid', host.uuid],
    ['host:serial', host.serial],
    ['model', dpu.model],
    ['zone', dpu.zone === undefined ? '' : String(dpu.zone)],
    ['rack', dpu.rack],
    ['tenant', dpu.tenant],
  ];
  const selectors: Selector[] = [];
  for (const [name, value] of known) {
    if (value === '') continue;
    const selector = makeSelector(DPU_HOST_TYPE, `${name}:${value}`);
    if (!selector.ok) return selector;
    selectors.push(selector.value);
  }
  return ok(selectors);
}

function sha256Hex(bytes: Uint8Array): string {
  return toHex(createHash('sha256').update(bytes).digest());
}

function nowSeconds({ clock }: DpuHostParts): number {
  return Math.floor(clock.nowMs() / 1000);
}
