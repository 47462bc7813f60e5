import type { Clock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { ok, type Result } from '../../src/base/result.ts';
import type { Lifecycle } from '../../src/runtime/lifecycle.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { Metrics } from '../../src/runtime/metrics.ts';
import type { ConnectorConfig } from './config.ts';
import type { ConnectorWatcher } from './watcher.ts';
import { startProvisioning } from './zpa/provisioning.ts';
import { startZpaWatcher } from './zpa/watcher.ts';

/** What watching a vendor's connector stands on. */
export interface VendorWatchParts {
  readonly config: Pick<ConnectorConfig, 'zpa'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly life: Lifecycle;
}

/** A vendor's connector that is watched. */
export interface VendorWatch {
  readonly watcher: ConnectorWatcher;
  /** Brings it the vendor's key, where settings say so. */
  provision(getKey: () => Promise<Result<string>>): void;
}

/** Watches the vendor's connector that the settings name; undefined where they name none. */
export async function startVendorWatch(
  parts: VendorWatchParts,
): Promise<Result<VendorWatch | undefined>> {
  const { zpa } = parts.config;
  if (zpa === undefined) return ok(undefined);
  const watcher = await startZpaWatcher(zpa, parts);
  if (!watcher.ok) return watcher;
  parts.life.add('watcher', () => watcher.value.close());
  return ok({
    watcher: watcher.value,
    provision(getKey) {
      if (zpa.provisioningKey === undefined) return;
      const place = zpa.provisioningKey;
      const provisioning = startProvisioning(place, { ...parts, watcher: watcher.value, getKey });
      parts.life.add('provisioning', () => provisioning.close());
    },
  });
}
