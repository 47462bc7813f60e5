import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ok, type Result, unwrap } from '../../src/base/result.ts';
import {
  type GivenVendorKey,
  type HandOut,
  VendorKeys,
  type VendorKeysOptions,
} from '../../src/connectors/vendor/vendor-keys.ts';
import { createFileWrapper } from '../../src/keys/file-wrapper.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import type { KeptValueStore } from '../../src/store/kept-values.ts';
import { KeptView } from '../../src/store/kept-view.ts';
import { SILENT } from './issuance.ts';
import { MemoryKeptStore } from './kept-values.ts';
import { testFolder } from './workload-api.ts';

/** A provisioning key as portals write them. */
export const VENDOR_KEY = '3|api.private.example.com|bm90IGEga2V5';

/** What an operator says of it. */
export const VENDOR_KEY_DRAFT = {
  group: 'berlin',
  key: VENDOR_KEY,
  maxUses: 5,
  used: 0,
  description: '',
};

/** A store, a folder with the wrapping key, and brokers as a server opens them. */
export function vendorKeysWorld(context: TestContext) {
  const store = new MemoryKeptStore();
  const path = join(testFolder(context), 'vendor-keys.key');
  const warnings: object[] = [];
  const told = (facts: object): number => warnings.push(facts);
  const log = { ...SILENT, warn: told, error: told } as unknown as typeof SILENT;
  return {
    store,
    path,
    warnings,
    async open(opened: KeptValueStore = store, more: Partial<VendorKeysOptions> = {}) {
      const wrapper = createFileWrapper(path, systemRandom);
      return new VendorKeys({
        kept: unwrap(await KeptView.open(opened)),
        tools: { trustDomain: 'example.org', wrapper, random: systemRandom },
        clock: new ManualClock(1000),
        log,
        metrics: createMetrics('test'),
        ...more,
      });
    },
  };
}

/** Takes a key where nothing stands against it, unless told. */
export function takeKey(
  keys: VendorKeys,
  group: string,
  connectorId: string,
  more: Partial<HandOut> = {},
): Promise<Result<GivenVendorKey>> {
  return keys.take({
    group,
    connectorId,
    mayHave: () => ok(undefined),
    record: async () => ok(undefined),
    ...more,
  });
}
