import type { NodeAttestor } from '../attestation/attestor.ts';
import type { HostTpmRules } from '../attestation/dpu_host/host-tpm.ts';
import { createDpuHostAttestor } from '../attestation/dpu_host/server.ts';
import { ok, type Result } from '../base/result.ts';
import { resolveAgent } from '../policy/caller.ts';
import type { Registry } from '../registry/registry.ts';
import type { Logger } from '../runtime/log.ts';
import type { ServerConfig } from './config.ts';
import type { ServerCore } from './core.ts';
import type { ServerBase } from './server.ts';
import { readTpmRules } from './tpm-rules.ts';

/**
 * The attestor of hosts that their DPU vouches for; undefined where configuration has none. Fails with
 * ATTESTATION_SETTINGS.
 */
export async function createDpuHost(
  { config, clock, random, log, metrics }: ServerBase,
  { registry, dpus: { inventory }, api }: Pick<ServerCore, 'registry' | 'dpus' | 'api'>,
): Promise<Result<NodeAttestor | undefined>> {
  const settings = config.attestation.dpuHost;
  if (!settings.enabled) return ok(undefined);
  const tpm = await hostTpmRules(settings, registry, log);
  if (!tpm.ok) return tpm;
  const alarms = metrics.counter(
    'dpu_host_alarms_total',
    'Second keys in one boot of a host, new boots that nobody saw, and other TPMs.',
  );
  const attestor = createDpuHostAttestor({
    registry,
    inventory,
    tpm: tpm.value,
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
  return ok(attestor);
}

async function hostTpmRules(
  { tpm, requireTpm }: ServerConfig['attestation']['dpuHost'],
  registry: Pick<Registry, 'agent'>,
  log: Logger,
): Promise<Result<HostTpmRules | undefined>> {
  if (tpm === undefined) return ok(undefined);
  const { firstUse, ...known } = tpm;
  const section = 'attestation.dpuHost.tpm';
  const rules = await readTpmRules({ ...known, eventLog: 'ignored' }, log, section);
  if (!rules.ok) return rules;
  const unknownKeys = firstUse ? 'taken' : 'refused';
  return ok({
    ...rules.value,
    trust: { ...rules.value.trust, unknownKeys },
    lastClock: (agentId) => registry.agent(agentId)?.assurance?.tpmClock,
    // A DPU of no zone may be of any.
    isRequired: (zone) =>
      typeof requireTpm === 'boolean'
        ? requireTpm
        : zone === undefined || requireTpm.includes(zone),
  });
}
