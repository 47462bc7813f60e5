import { ok, type Result } from '../base/result.ts';
import { BmcEvents } from '../dpu/watch/bmc-events.ts';
import { DpuWatch, type WatchSettings } from '../dpu/watch/watch.ts';
import type { ServerCore } from './core.ts';
import { type OpenedDpu, openDpuAttestor } from './dpu-attestor.ts';
import type { DpuAttestorSettings } from './dpu-attestor-settings.ts';
import { startPairing } from './dpu-pairing.ts';
import type { ServerBase } from './server.ts';

/** What judges DPUs while the server runs. */
export interface JudgedDpus extends OpenedDpu {
  readonly watch: DpuWatch;
}

/**
 * Opens what judges DPUs, keeps it in line with its files, and looks at cards as configuration says; undefined
 * where it has none. Fails as {@link openDpuAttestor} does.
 */
export async function judgeDpus(
  base: ServerBase,
  { registry, dpus }: ServerCore,
): Promise<Result<JudgedDpus | undefined>> {
  const { dpu: settings } = base.config.attestation;
  if (settings === undefined) return ok(undefined);
  const { trustDomain } = registry;
  const findPairing = startPairing(base, { registry, ...dpus });
  const opened = await openDpuAttestor(settings, {
    ...base,
    ...dpus,
    registry,
    trustDomain,
    findPairing,
  });
  if (!opened.ok) return opened;
  const { references, looking, openClient } = opened.value;
  base.life.add('DPU manifests', () => references.close());
  const { inventory } = dpus;
  const events =
    settings.watch?.events === true
      ? new BmcEvents({
          ...base,
          openClient,
          look: (serial, delayMs) => watch.lookIn(serial, delayMs),
        })
      : undefined;
  const watch: DpuWatch = new DpuWatch({
    ...base,
    ...looking,
    inventory,
    registry,
    settings: watchSettings(settings),
    onWatched: (dpus) => events?.follow(dpus),
  });
  base.life.add('watch over DPUs', () => {
    watch.close();
    events?.close();
  });
  references.onChange((change) => void watch.reconsider(change));
  watch.start();
  return ok({ ...opened.value, watch });
}

function watchSettings({ watch, spread, binding, secondLook }: DpuAttestorSettings): WatchSettings {
  return {
    intervalMs: watch && watch.interval * 1000,
    jitter: watch?.jitter ?? 0,
    zones: watch?.zones,
    spreadMs: spread * 1000,
    secondLook: binding === 'dual' && secondLook === 'after',
  };
}
