import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { VaultOptions } from '../../src/keys/vault-transit/vault-key-manager.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';

/** What a key manager in a Vault, or a fake of one, is opened with. */
export function vaultOptions(address: string, extra: Partial<VaultOptions> = {}): VaultOptions {
  return {
    place: { address },
    auth: { method: 'token' },
    mount: 'transit',
    owner: { namespace: 'signet', trustDomain: 'example.org' },
    pace: { perSecond: 5000, burst: 5000, inFlight: 64, timeoutMs: 10_000, deadlineMs: 60_000 },
    refreshMs: 3_600_000,
    clock: systemClock,
    random: systemRandom,
    log: createLogger({ level: 'silent' }),
    metrics: createMetrics('test'),
    ...extra,
  };
}
