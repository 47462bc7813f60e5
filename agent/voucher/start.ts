import type { ErrorCode } from '../../src/base/errors.ts';
import { ok, type Result } from '../../src/base/result.ts';
import type { AgentBase } from '../agent.ts';
import type { AgentCore } from '../core.ts';
import { createThrottle } from '../throttle.ts';
import { openBootMemory } from './boot-memory.ts';
import { startVoucherEndpoint, type VoucherEndpoint } from './endpoint.ts';
import { createVoucherOffice } from './voucher-office.ts';

/** Pause between two lines of the log about refusals that anybody on the host can cause. */
const LOG_MS = 1000;

/** What only somebody beside the host's own agent causes: a person is to look at it. */
const ALARMS: readonly ErrorCode[] = ['VOUCHER_SECOND_KEY', 'VOUCHER_BOOT_UNCONFIRMED'];

/**
 * Opens the endpoint for vouchers where configuration has one. Fails with VOUCHER_STATE_CORRUPT or
 * LISTEN_FAILED.
 */
export async function startVouchers(
  { config, clock, log, metrics, life }: AgentBase,
  { standing, offset }: Pick<AgentCore, 'standing' | 'offset'>,
): Promise<Result<VoucherEndpoint | undefined>> {
  const { voucher: settings, trustDomain, dataDir } = config;
  if (settings === undefined) return ok(undefined);
  const memory = await openBootMemory(dataDir);
  if (!memory.ok) return memory;
  const vouchers = metrics.counter('vouchers_total', 'Vouchers for the agent of the host.');
  const refusals = metrics.counter('voucher_refusals_total', 'Vouchers that were refused.', [
    'code',
  ]);
  const alarms = metrics.counter('voucher_alarms_total', 'Refusals that look like an attack.');
  // Each kind for itself: a flood of one must not hide the other.
  const throttles = new Map<string, () => boolean>();
  const throttled = (code: ErrorCode): boolean => {
    const throttle = throttles.get(code) ?? createThrottle(clock, LOG_MS);
    throttles.set(code, throttle);
    return !throttle();
  };
  const endpoint = await startVoucherEndpoint({
    listen: settings.listen,
    office: createVoucherOffice({
      settings,
      trustDomain,
      memory: memory.value,
      svid: () => standing.svid,
      offsetMs: () => offset.ms ?? 0,
      clock,
    }),
    onOutcome: (error) => {
      if (error === undefined) {
        vouchers.inc();
        return;
      }
      const { code, message: reason } = error;
      refusals.inc({ code });
      const alarm = ALARMS.includes(code);
      if (alarm) alarms.inc();
      if (throttled(code)) return;
      if (alarm) log.error({ code, reason, alarm }, 'voucher refused: a person has to look');
      else log.warn({ code, reason }, 'voucher refused');
    },
  });
  if (!endpoint.ok) return endpoint;
  life.add('voucher endpoint', () => endpoint.value.close());
  const { address, anyAddress } = settings.listen;
  const { port } = endpoint.value;
  if (anyAddress) log.warn({ address, port }, 'vouchers on an address that others may reach');
  else log.info({ address, port }, 'vouching for the agent of the host');
  return endpoint;
}
