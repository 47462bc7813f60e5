import type { DpuInventory } from '../dpu/inventory.ts';
import { createPairingReader, type FindPairing } from '../dpu/pairing.ts';
import { PairingWatch } from '../dpu/pairing-watch.ts';
import type { Registry } from '../registry/registry.ts';
import type { ServerBase } from './server.ts';

/** Watches in which hosts DPUs sit; undefined where configuration has no account of the hosts' BMCs. */
export function startPairing(
  { config, clock, random, log, metrics, life }: ServerBase,
  { registry, inventory }: { readonly registry: Registry; readonly inventory: DpuInventory },
): FindPairing | undefined {
  const { hostBmc } = config.dpu;
  if (hostBmc === undefined) return undefined;
  const { every, ...places } = hostBmc;
  const account = {
    ...places,
    userNameVariable: 'SIGNET_HOST_BMC_USER',
    passwordVariable: 'SIGNET_HOST_BMC_PASSWORD',
  };
  const find = createPairingReader({ account, clock, random });
  const faults = metrics.counter(
    'dpu_pairing_failures_total',
    "Hosts' BMCs that did not say where a DPU sits.",
  );
  const watch = new PairingWatch({
    registry,
    inventory,
    find,
    everyMs: every * 1000,
    clock,
    onFault: (dpu, { code, message: reason }) => {
      faults.inc();
      log.warn({ dpu, code, reason }, 'where a DPU sits was not found');
    },
  });
  life.add('watch over pairings', () => watch.close());
  watch.start();
  return find;
}
