import { equalBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuHost, DpuRecord } from '../../rules/dpu.ts';
import { VOUCHER_SECONDS, type VoucherClaims } from './voucher.ts';

/** How far the clocks of a DPU and of the server may differ, in seconds. */
export const VOUCHER_SKEW_SECONDS = 30;

/** What a voucher has to be made for. */
export interface ExpectedVoucher {
  readonly audience: string;
  readonly nonce: Uint8Array;
  /** SHA-256 of the key of the CSR, hex. */
  readonly csrKeyHash: string;
  /** SHA-256 of the key that signed the request for the voucher, hex. */
  readonly anchorHash: string;
  /** Unix seconds. */
  readonly nowSeconds: number;
}

/**
 * Whether a voucher was made for this attestation (dpu-attestation §7.7). Fails with VOUCHER_AUDIENCE,
 * VOUCHER_NONCE, VOUCHER_KEY or VOUCHER_TIME.
 */
export function checkVoucher(claims: VoucherClaims, expected: ExpectedVoucher): Result<void> {
  const { audience, nonce, csrKeyHash, anchorHash, nowSeconds } = expected;
  if (claims.aud !== audience) return fail('VOUCHER_AUDIENCE', `a voucher for ${claims.aud}`);
  if (!equalBytes(claims.nonce, nonce)) {
    return fail('VOUCHER_NONCE', 'a voucher of another attestation');
  }
  if (claims.key !== csrKeyHash) return fail('VOUCHER_KEY', 'a voucher for another key');
  if (claims.anchor !== anchorHash) {
    return fail('VOUCHER_KEY', 'a voucher that another key of the boot asked for');
  }
  const { iat, exp } = claims;
  if (exp <= iat || exp - iat > VOUCHER_SECONDS) {
    return fail('VOUCHER_TIME', `a voucher for ${exp - iat} s`);
  }
  if (iat > nowSeconds + VOUCHER_SKEW_SECONDS) {
    return fail('VOUCHER_TIME', `a voucher that is valid in ${iat - nowSeconds} s`);
  }
  if (exp <= nowSeconds - VOUCHER_SKEW_SECONDS) {
    return fail('VOUCHER_TIME', `a voucher that ended ${nowSeconds - exp} s ago`);
  }
  return ok(undefined);
}

/** The host of a DPU: what was found out of band, and where nothing was, what was imported. */
export function hostOf({ pairing, host }: Pick<DpuRecord, 'pairing' | 'host'>): DpuHost {
  return {
    serial: pairing?.serial || host.serial,
    uuid: pairing?.uuid || host.uuid,
    pf0Mac: pairing?.pf0Mac || host.pf0Mac,
  };
}

/**
 * Whether the voucher is for the host that the inventory pairs with the DPU: everything that the
 * inventory knows has to be there and be the same, the UUID always. Fails with DPU_HOST_UNKNOWN or
 * VOUCHER_HOST; nobody is put out for it, since the host states these values of itself.
 */
export function checkPairing(
  { host, tenant }: Pick<VoucherClaims, 'host' | 'tenant'>,
  dpu: Pick<DpuRecord, 'serial' | 'pairing' | 'host' | 'tenant'>,
): Result<DpuHost> {
  const known = hostOf(dpu);
  if (known.uuid === '') return fail('DPU_HOST_UNKNOWN', `no host UUID for DPU ${dpu.serial}`);
  for (const name of ['uuid', 'serial', 'pf0Mac'] as const) {
    if (known[name] === '' || known[name] === host[name]) continue;
    const has = host[name] === '' ? 'nothing' : `"${host[name]}"`;
    const what = `DPU ${dpu.serial}: ${name} of its host is "${known[name]}", the voucher has ${has}`;
    return fail('VOUCHER_HOST', what);
  }
  if (tenant === dpu.tenant) return ok(known);
  const what = `DPU ${dpu.serial} is of the tenant "${dpu.tenant}", the voucher of "${tenant}"`;
  return fail('VOUCHER_HOST', what);
}
