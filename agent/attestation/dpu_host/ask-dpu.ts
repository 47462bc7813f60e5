import { hostHeader } from '../../../src/attestation/dpu_host/link-local.ts';
import {
  DPU_HOST_LIMITS,
  decodeVoucherAnswer,
  encodeVoucherRequest,
  VOUCHER_HEADER,
  VOUCHER_PATH,
  type VoucherAnswer,
  type VoucherRequest,
} from '../../../src/attestation/dpu_host/payload.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, type Result } from '../../../src/base/result.ts';
import { callHttp, type HttpAnswer } from '../../../src/runtime/http-call.ts';

const TIMEOUT_MS = 10_000;

/** Where the DPU of this host answers. */
export interface DpuPlace {
  readonly address: string;
  readonly port: number;
}

/** Asks the DPU for a voucher. Fails with VOUCHER_UNREACHABLE, VOUCHER_REFUSED or DPU_HOST_MESSAGE. */
export async function askDpu(
  { address, port }: DpuPlace,
  request: VoucherRequest,
  clock: Clock,
): Promise<Result<VoucherAnswer>> {
  const abort = new AbortController();
  const cancel = clock.after(TIMEOUT_MS, () => abort.abort());
  const host = hostHeader(address, port);
  try {
    const answer = await callHttp(new URL(`http://${host}${VOUCHER_PATH}`), {
      method: 'POST',
      address,
      headers: { Host: host, 'Content-Type': 'application/json', [VOUCHER_HEADER]: '1' },
      body: encodeVoucherRequest(request),
      maxAnswerBytes: DPU_HOST_LIMITS.answerBytes,
      signal: abort.signal,
    });
    return judge(answer, host);
  } catch (cause) {
    return fail('VOUCHER_UNREACHABLE', `the DPU at ${host} does not answer`, { cause });
  } finally {
    cancel();
  }
}

function judge({ status, bytes, text }: HttpAnswer, host: string): Result<VoucherAnswer> {
  if (status === 200) return decodeVoucherAnswer(bytes);
  const said = `the DPU at ${host} answers ${status}: ${text.slice(0, 80).replaceAll(/[^\x20-\x7e]/g, '')}`;
  return status === 429 || status >= 500
    ? fail('VOUCHER_UNREACHABLE', said)
    : fail('VOUCHER_REFUSED', said);
}
