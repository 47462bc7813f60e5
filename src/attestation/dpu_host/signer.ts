import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuInventory } from '../../dpu/inventory.ts';
import type { Registry } from '../../registry/registry.ts';
import { type DpuRecord, isStopped } from '../../rules/dpu.ts';
import type { AgentRecord } from '../../rules/entry.ts';
import { deviceIdOfAgent, isDpuAgentId } from '../../rules/reserved-ids.ts';
import { signerKeyIds } from '../../spiffe/bundle.ts';
import { isMemberOf, type SpiffeId } from '../../spiffe/spiffe-id.ts';
import { validateX509Svid } from '../../spiffe/x509-svid.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import type { Certificate } from '../../x509/types.ts';
import { DPU_TYPE } from '../dpu/payload.ts';
import { certificateSha256, type ReadVoucher, verifyVoucher } from './voucher.ts';

/** An X.509-SVID whose chain holds. */
export interface ShownSvid {
  readonly id: SpiffeId;
  /** Decimal. */
  readonly serialDecimal: string;
  /** Unix seconds; the last second of the leaf. */
  readonly notAfterSeconds: number;
  /** Key identifiers (hex) of the authorities that signed its chain. */
  readonly signerKeyIds: readonly string[];
}

/** What says who vouches. */
export interface SignerParts {
  readonly registry: Pick<Registry, 'trustDomain' | 'bundle'>;
  readonly inventory: Pick<DpuInventory, 'ofDevice'>;
  /** Whether an SVID is the one that a live agent has now, as policy judges callers. */
  readonly liveAgent: (svid: ShownSvid) => Result<AgentRecord>;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** The DPU that vouches. */
export interface VoucherDpu {
  readonly dpu: DpuRecord;
  /** SHA-256 of the device key that its agent is named after, hex. */
  readonly deviceId: string;
  /** Unix seconds: the end of its agent's SVID. */
  readonly notAfterSeconds: number;
}

/**
 * Who signed a voucher: the present SVID of the attested agent of a DPU that stands, and no other
 * (dpu-attestation §7.7, step 3). Fails with VOUCHER_MALFORMED, VOUCHER_SIGNER, VOUCHER_ALGORITHM,
 * VOUCHER_SIGNATURE, VOUCHER_SIGNER_OUTDATED or DPU_HOST_NOT_ADMITTED.
 */
export function judgeSigner(
  voucher: ReadVoucher,
  x5c: readonly Uint8Array[],
  parts: SignerParts,
): Result<VoucherDpu> {
  const svid = validSvid(x5c, parts);
  if (!svid.ok) return svid;
  const { id, leaf } = svid.value;
  // Else the certificate beside the voucher could be exchanged for another of the same key.
  if (voucher.leafSha256 !== certificateSha256(leaf.der)) {
    return fail(
      'VOUCHER_SIGNER',
      'the header names another certificate than the chain begins with',
    );
  }
  if (!isDpuAgentId(id)) return notOfDpu(id);
  const verified = verifyVoucher(voucher, leaf.publicKey);
  if (!verified.ok) return verified;
  const notAfterSeconds = Math.floor(leaf.notAfterMs / 1000);
  const live = parts.liveAgent({
    id,
    serialDecimal: leaf.serialDecimal,
    notAfterSeconds,
    signerKeyIds: signerKeyIds(svid.value.chain),
  });
  if (!live.ok) {
    const code = live.error.code === 'AGENT_BANNED' ? 'VOUCHER_SIGNER' : 'VOUCHER_SIGNER_OUTDATED';
    return fail(code, live.error.message, { cause: live.error });
  }
  if (live.value.attestationType !== DPU_TYPE) return notOfDpu(id);
  const deviceId = deviceIdOfAgent(id) ?? '';
  const dpu = standingDpu(deviceId, live.value, parts);
  return dpu.ok ? ok({ dpu: dpu.value, deviceId, notAfterSeconds }) : dpu;
}

function notOfDpu(id: SpiffeId): Result<never> {
  return fail('VOUCHER_SIGNER', `${id.uri} is not the agent of a DPU`);
}

function standingDpu(
  deviceId: string,
  { id, quarantine }: AgentRecord,
  { inventory }: SignerParts,
): Result<DpuRecord> {
  const [dpu, ...others] = inventory.ofDevice(deviceId);
  if (dpu === undefined || others.length > 0) {
    return fail(
      'VOUCHER_SIGNER',
      `${others.length + (dpu ? 1 : 0)} DPUs have the key of ${id.uri}`,
    );
  }
  const { serial, state, reason } = dpu;
  const attested = state === 'trusted' || state === 'degraded';
  if (attested && !isStopped(dpu) && quarantine === undefined) return ok(dpu);
  return fail('DPU_HOST_NOT_ADMITTED', `DPU ${serial} is ${state}: ${quarantine ?? reason}`);
}

interface ValidSvid {
  readonly id: SpiffeId;
  readonly leaf: Certificate;
  readonly chain: readonly Certificate[];
}

function validSvid(
  x5c: readonly Uint8Array[],
  { registry, clock }: SignerParts,
): Result<ValidSvid> {
  const chain: Certificate[] = [];
  for (const der of x5c) {
    const certificate = parseCertificate(der);
    if (!certificate.ok) return refused(certificate.error);
    chain.push(certificate.value);
  }
  const { trustDomain } = registry;
  const svid = validateX509Svid({
    chain,
    atMs: clock.nowMs(),
    bundles: ({ name }) => (name === trustDomain.name ? registry.bundle : undefined),
  });
  if (!svid.ok) return refused(svid.error);
  const { id, leaf } = svid.value;
  if (isMemberOf(id, trustDomain)) return ok({ id, leaf, chain });
  return fail('VOUCHER_SIGNER', `${id.uri} is of another trust domain`);
}

function refused(cause: Error): Result<never> {
  return fail('VOUCHER_SIGNER', `the chain of a voucher: ${cause.message}`, { cause });
}
