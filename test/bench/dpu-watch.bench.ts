/**
 * The server's own looks at a fleet (`attestation.dpu.watch`): one round over all cards, with two seconds
 * for each collection, through inventory, appraisal and comparison; the CPU of a round is spread over its ten
 * minutes. Prints a table and writes `bench-dpu-watch.json`.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import type { DeviceClass } from '../../src/dice/device-class.ts';
import { componentOf } from '../../src/dpu/appraise-dpu.ts';
import { collectVerified } from '../../src/dpu/collect-verified.ts';
import { gatedLooks } from '../../src/dpu/collector.ts';
import { DpuInventory } from '../../src/dpu/inventory.ts';
import type { Release } from '../../src/dpu/manifest/reference-manifest.ts';
import { openBmcLook } from '../../src/dpu/out-of-band.ts';
import { DpuWatch } from '../../src/dpu/watch/watch.ts';
import { FleetGate } from '../../src/redfish/fleet-gate.ts';
import { TargetTurns } from '../../src/redfish/target-turns.ts';
import { createRegistry } from '../../src/registry/registry.ts';
import type { DpuAssessment } from '../../src/rules/dpu.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { createSignatureMemo } from '../../src/x509/signature-memo.ts';
import { IROT, manifestWith } from '../support/manifest.ts';
import { MOCK_ACCOUNT } from '../support/mock-bmc.ts';
import { dpuDraft, TRUST_DOMAIN } from '../support/state.ts';
import { report } from './report.ts';

const CARDS = Number(process.env.SIGNET_BENCH_CARDS ?? 1000);
const TASK_MS = 2000;
const PERIOD_SECONDS = 600;

interface Started {
  readonly origins: readonly string[];
  readonly spkiSha256: string;
  readonly deviceClass: DeviceClass;
}

interface Seen {
  readonly begun: number;
  readonly refused: number;
}

const folder = mkdtempSync(join(tmpdir(), 'signet-bench-'));
const child = fork(join(import.meta.dirname, 'mock-bmcs.ts'), [`${CARDS}`, `${TASK_MS}`]);
try {
  // What comes over the channel is what our own program beside this one sends.
  const [{ origins, spkiSha256, deviceClass }] = (await once(child, 'message')) as [Started];
  const [clock, random] = [systemClock, systemRandom];
  const store = unwrap(
    await openSqliteStore({ path: join(folder, 'signet.db'), trustDomain: TRUST_DOMAIN }),
  );
  const registry = unwrap(
    await createRegistry({ store, trustDomain: TRUST_DOMAIN, clock, random }),
  );
  const inventory = new DpuInventory({ registry, clock, unreachableGraceSeconds: 3600 });
  const metrics = createMetrics('bench');
  const account = {
    userNamePath: join(folder, 'user'),
    passwordPath: join(folder, 'password'),
    method: 'session' as const,
  };
  writeFileSync(account.userNamePath, MOCK_ACCOUNT.userName);
  writeFileSync(account.passwordPath, MOCK_ACCOUNT.password);
  const shared = { account, clock, random, turns: new TargetTurns() };
  const gate = new FleetGate({ clock, metrics });
  const openLook = gatedLooks({ gate, clock, waitMs: PERIOD_SECONDS * 1000 }, (dpu) =>
    openBmcLook(shared, dpu),
  );
  const signatures = createSignatureMemo(CARDS * 8);
  const targets = [{ id: IROT, deviceClass }];
  const rules = () => ({ spdm: DEFAULT_SPDM_POLICY, signatures, atMs: Date.now() });
  const bmcOf = (origin: string) => {
    const { hostname: host, port } = new URL(origin);
    return { host, port: Number(port), tlsPin: spkiSha256, uuid: '', mac: '' };
  };
  // What one card shows is what the manifest allows and all of them have attested with.
  const first = unwrap(await openLook({ serial: 'first', bmc: bmcOf(origins[0] ?? '') }));
  const { pairs } = unwrap(await collectVerified(first, { targets, rules, random }));
  const [pair] = pairs;
  await first.close();
  if (pair === undefined) throw new TypeError('the first card shows nothing');
  const [, evidence] = pair;
  const { blocks } = evidence.measurements;
  const release: Release = {
    id: 'bench',
    order: 1,
    versions: new Map(),
    measurements: blocks
      .filter(({ raw, value }) => !raw && value.length === 64)
      .map(({ index, value }) => ({ index, values: [{ algorithm: 'sha512', bytes: value }] })),
    layers: [],
  };
  const manifest = manifestWith({ deviceClass: deviceClass.name });
  const target = manifest.targets.get(IROT);
  if (target === undefined) throw new TypeError('the manifest of tests has no such target');
  const judged = {
    ...manifest,
    targets: new Map([
      [
        IROT,
        {
          ...target,
          format: undefined,
          fwids: 'ignored' as const,
          baseline: [],
          rollbackCounters: [],
          minimumRelease: release,
          releases: [release],
        },
      ],
    ]),
  };
  const component = componentOf({ evidence, release, rebaselined: [] });
  const assessment: DpuAssessment = {
    atSeconds: 1,
    verdict: 'affirming',
    evidence: [],
    binding: 'dual',
    components: [component],
    code: '',
    detail: '',
    posture: {},
    evidenceId: '',
  };
  const deviceIds = [evidence.chain.deviceIdSha256];
  const baseline = [{ target: IROT, index: 0, value: '' }];
  const writes = origins.map((origin, at) => ({
    dpu: dpuDraft(`MT${at}`, {
      state: 'trusted',
      bmc: bmcOf(origin),
      deviceIds,
      assessment,
      baseline,
    }),
    expectedRevision: 0n,
  }));
  unwrap(await registry.writeDpus(writes));
  const watch = new DpuWatch({
    openLook,
    targets,
    rules,
    manifestFor: () => judged,
    random,
    inventory,
    registry,
    settings: {
      intervalMs: undefined,
      jitter: 0,
      zones: undefined,
      spreadMs: 0,
      secondLook: false,
    },
    clock,
    log: createLogger({ level: 'warn' }),
    metrics,
  });
  const before = process.cpuUsage();
  const startedMs = performance.now();
  const looked = await Promise.all(writes.map(({ dpu }) => watch.lookNow(dpu.serial)));
  const elapsedSeconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1e6;
  child.send('report');
  const [seen] = (await once(child, 'message')) as [Seen];
  report('dpu-watch', {
    [`${CARDS} cards, one round of looks`]: {
      'as they attested': looked.filter((one) => one.ok && one.value.compared === 'same').length,
      'collections begun': seen.begun - 1,
      'refused as busy': seen.refused,
      'CPU ms / card': (cpuSeconds * 1000) / CARDS,
      'cores x1000, spread over 10 min': (cpuSeconds / PERIOD_SECONDS) * 1000,
      'all, s': elapsedSeconds,
    },
  });
  watch.close();
  await registry.close();
  await store.close();
} finally {
  if (child.connected) child.kill();
  rmSync(folder, { recursive: true, force: true });
}
