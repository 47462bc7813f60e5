import type { NodeAttestor } from '../attestation/attestor.ts';
import { createDpuHostAttestor } from '../attestation/dpu_host/server.ts';
import { resolveAgent } from '../policy/caller.ts';
import type { ServerCore } from './core.ts';
import type { ServerBase } from './server.ts';

/** The attestor of hosts that their DPU vouches for; undefined where configuration has none. */
export function createDpuHost(
  { config, clock, random, log, metrics }: ServerBase,
  { registry, dpus: { inventory }, api }: Pick<ServerCore, 'registry' | 'dpus' | 'api'>,
): NodeAttestor | undefined {
  if (!config.attestation.dpuHost.enabled) return undefined;
  const alarms = metrics.counter(
    'dpu_host_alarms_total',
    'Second keys in one boot of a host, and new boots that nobody saw.',
  );
  return createDpuHostAttestor({
    registry,
    inventory,
    clock,
    random,
    log,
    liveAgent: (svid) => {
      const caller = resolveAgent({ kind: 'svid', ...svid }, api.policy);
      return caller.ok ? { ok: true, value: caller.value.agent } : caller;
    },
    onAlarm: (dpu, { code, message: reason }) => {
      alarms.inc();
      const what = 'host of a DPU: a person has to look at this';
      log.error({ dpu, code, reason, alarm: true }, what);
    },
  });
}
