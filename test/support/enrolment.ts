import type { EnrolmentRootOptions } from '../../src/authority/enrolment-root.ts';
import { EnrolmentRootKeeper } from '../../src/authority/enrolment-root.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { createEnrolmentCas, type EnrolmentCaOptions } from '../../src/issuance/enrolment-ca.ts';
import type { KeyManager } from '../../src/keys/key-manager.ts';
import { createMemoryKeyManager } from '../../src/keys/memory-key-manager.ts';
import type { KeptValueStore } from '../../src/store/kept-values.ts';
import { KeptView } from '../../src/store/kept-view.ts';
import { PUBLISHED_BLOCKED_KEYS } from '../../src/x509/blocked-keys.ts';
import { SILENT } from './issuance.ts';
import { MemoryKeptStore } from './kept-values.ts';

/** When these tests begin. */
export const ENROLMENT_BEGIN_MS = Date.UTC(2026, 10, 1);

/** A key manager in memory that passes for one that keeps its keys. */
export function lastingKeys(): KeyManager {
  const keys = createMemoryKeyManager();
  return { ...keys, capabilities: { ...keys.capabilities, persistent: true } };
}

/** A store, keys and a clock, and what is opened on them as often as a server starts. */
export interface EnrolmentWorld {
  readonly store: MemoryKeptStore;
  readonly keys: KeyManager;
  readonly clock: ManualClock;
  /** The root as one start of a server has it. */
  root(
    changes?: Partial<EnrolmentRootOptions>,
    store?: KeptValueStore,
  ): Promise<EnrolmentRootKeeper>;
}

/** An empty world. */
export function enrolmentWorld(keys: KeyManager = lastingKeys()): EnrolmentWorld {
  const store = new MemoryKeptStore();
  const clock = new ManualClock(ENROLMENT_BEGIN_MS);
  return {
    store,
    keys,
    clock,
    async root(changes = {}, opened = store) {
      return new EnrolmentRootKeeper({
        keys,
        kept: unwrap(await KeptView.open(opened)),
        clock,
        random: systemRandom,
        log: SILENT,
        recordCa: undefined,
        keyType: 'ec-p384',
        subject: { organization: 'Example', commonName: 'Connector Enrolment' },
        ttlSeconds: 3650 * 86_400,
        backdateSeconds: 60,
        ...changes,
      });
    },
  };
}

/** Vendors' CAs on a world. */
export async function enrolmentCas(
  world: EnrolmentWorld,
  changes: Partial<EnrolmentCaOptions> = {},
) {
  const { clock, store } = world;
  const { recordCa } = changes;
  return createEnrolmentCas({
    root: await world.root({ recordCa }),
    kept: unwrap(await KeptView.open(store)),
    clock,
    random: systemRandom,
    recordCa,
    blockedKeys: PUBLISHED_BLOCKED_KEYS,
    authorities: () => [],
    maxTtlSeconds: 1825 * 86_400,
    backdateSeconds: 60,
    ...changes,
  });
}
