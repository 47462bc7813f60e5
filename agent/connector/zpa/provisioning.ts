import type { Cancel, Clock } from '../../../src/base/clock.ts';
import { type Random, randomFraction } from '../../../src/base/random.ts';
import type { Result } from '../../../src/base/result.ts';
import type { Logger } from '../../../src/runtime/log.ts';
import { refusalOf } from '../refusal.ts';
import { type KeyPlace, placeProvisioningKey, removeProvisioningKey } from './provisioning-key.ts';
import type { ZpaWatcher } from './watcher.ts';

const FIRST_RETRY_MS = 5000;
const MAX_RETRY_MS = 300_000;
/** How often it is looked whether the App Connector has enrolled. */
const LOOK_MS = 5000;

/** What provisioning stands on. */
export interface ProvisioningParts {
  readonly watcher: Pick<ZpaWatcher, 'enrolled'>;
  /** Asks the server for the vendor's key. */
  readonly getKey: () => Promise<Result<string>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Provisioning under way. */
export interface Provisioning {
  /** Stops; what is in its place stays. */
  close(): Promise<void>;
}

/**
 * Brings the vendor's key to a fresh App Connector, trying again where the server refuses it, and takes
 * it away once the log shows that the App Connector has enrolled.
 */
export function startProvisioning(place: KeyPlace, parts: ProvisioningParts): Provisioning {
  const { watcher, clock, random, log } = parts;
  let closed = false;
  let failures = 0;
  let cancel: Cancel = () => {};
  let running: Promise<void> = Promise.resolve();
  const later = (delayMs: number, work: () => Promise<void>): void => {
    if (closed) return;
    cancel = clock.after(delayMs, () => {
      running = work();
    });
  };
  const remove = async (): Promise<void> => {
    if (!watcher.enrolled) return later(LOOK_MS, remove);
    const removed = await removeProvisioningKey(place, log);
    if (removed.ok) return;
    const { code, message: reason, action } = removed.error;
    log.error({ code, reason, action }, 'the provisioning key stays where it is');
    later(MAX_RETRY_MS, remove);
  };
  const put = async (): Promise<void> => {
    const placed = await placeProvisioningKey(place, parts);
    if (closed) return;
    if (placed.ok) return later(LOOK_MS, remove);
    failures += 1;
    const { code, action } = refusalOf(placed.error);
    const { message: reason } = placed.error;
    log.error({ code, reason, action }, 'the App Connector gets no provisioning key yet');
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
    later(delayMs * (0.5 + randomFraction(random) / 2), put);
  };
  running = put();
  return {
    async close() {
      closed = true;
      cancel();
      await running;
      cancel();
    },
  };
}
