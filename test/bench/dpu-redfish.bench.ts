/**
 * A fleet whose BMCs are asked for fresh evidence once in ten minutes: what it costs the server, with two
 * roots of trust for each card and two seconds for each collection. The collections are made as fast as
 * the gate lets them, and their CPU is spread over the ten minutes. Prints a table and writes
 * `bench-dpu-redfish.json`.
 */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import type { DeviceClass } from '../../src/dice/device-class.ts';
import { collectAll, gatedLooks, type OpenLook } from '../../src/dpu/collector.ts';
import { verifyEvidence } from '../../src/dpu/evidence.ts';
import { openBmcLook } from '../../src/dpu/out-of-band.ts';
import { FleetGate } from '../../src/redfish/fleet-gate.ts';
import { TargetTurns } from '../../src/redfish/target-turns.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { createSignatureMemo } from '../../src/x509/signature-memo.ts';
import { MOCK_ACCOUNT } from '../support/mock-bmc.ts';
import { quantile, report } from './report.ts';

const CARDS = Number(process.env.SIGNET_BENCH_CARDS ?? 1000);
const TASK_MS = 2000;
const PERIOD_SECONDS = 600;
const TARGETS = ['Bluefield_DPU_IRoT', 'Bluefield_ERoT'];

interface Started {
  readonly origins: readonly string[];
  readonly spkiSha256: string;
  readonly deviceClass: DeviceClass;
}

interface Seen {
  readonly begun: number;
  readonly refused: number;
  readonly sessions: number;
}

function opener(folder: string): OpenLook {
  writeFileSync(join(folder, 'user'), MOCK_ACCOUNT.userName);
  writeFileSync(join(folder, 'password'), MOCK_ACCOUNT.password);
  const account = { userNamePath: join(folder, 'user'), passwordPath: join(folder, 'password') };
  const shared = { account, clock: systemClock, random: systemRandom, turns: new TargetTurns() };
  const gate = new FleetGate({ clock: systemClock, metrics: createMetrics('bench') });
  const waits = { gate, clock: systemClock, waitMs: PERIOD_SECONDS * 1000 };
  return gatedLooks(waits, (dpu) => openBmcLook(shared, dpu));
}

const folder = mkdtempSync(join(tmpdir(), 'signet-bench-'));
const child = fork(join(import.meta.dirname, 'mock-bmcs.ts'), [`${CARDS}`, `${TASK_MS}`]);
try {
  // What comes over the channel is what our own program beside this one sends.
  const [{ origins, spkiSha256, deviceClass }] = (await once(child, 'message')) as [Started];
  const open = opener(folder);
  const signatures = createSignatureMemo(CARDS * 8);
  const rules = { spdm: DEFAULT_SPDM_POLICY, signatures, atMs: Date.now() };
  const lookSeconds: number[] = [];
  let verified = 0;

  async function attest(origin: string, at: number): Promise<void> {
    const { hostname: host, port } = new URL(origin);
    const bmc = { host, port: Number(port), tlsPin: spkiSha256, uuid: '', mac: '' };
    const look = unwrap(await open({ serial: `MT${at}`, bmc }));
    const startedMs = performance.now();
    try {
      const wanted = TARGETS.map((target) => ({ target, nonce: randomBytes(32), slot: 0 }));
      const evidence = unwrap(await collectAll(look, wanted));
      lookSeconds.push((performance.now() - startedMs) / 1000);
      for (const [index, shown] of evidence.entries()) {
        const nonce = wanted[index]?.nonce ?? new Uint8Array();
        unwrap(verifyEvidence(shown, { id: shown.target, deviceClass }, nonce, rules));
        verified += 1;
      }
    } finally {
      await look.close();
    }
  }

  const before = process.cpuUsage();
  const startedMs = performance.now();
  await Promise.all(origins.map(attest));
  const elapsedSeconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1e6;
  child.send('report');
  const [seen] = (await once(child, 'message')) as [Seen];
  report('dpu-redfish', {
    [`${CARDS} cards, ${TARGETS.length} roots of trust each`]: {
      'verified evidence': verified,
      'collections begun': seen.begun,
      'refused as busy': seen.refused,
      'sessions left open': seen.sessions,
      'CPU ms / card': (cpuSeconds * 1000) / CARDS,
      'cores x1000, spread over 10 min': (cpuSeconds / PERIOD_SECONDS) * 1000,
      'all, s': elapsedSeconds,
      'a card, median s': quantile(lookSeconds, 0.5),
      'a card, p99 s': quantile(lookSeconds, 0.99),
    },
  });
} finally {
  if (child.connected) child.kill();
  rmSync(folder, { recursive: true, force: true });
}
