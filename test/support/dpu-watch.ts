import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ok, unwrap } from '../../src/base/result.ts';
import type { DeviceRevocation } from '../../src/dice/device-revocation.ts';
import { appraiseDpu, componentOf } from '../../src/dpu/appraise-dpu.ts';
import { gatedLooks } from '../../src/dpu/collector.ts';
import { verifyEvidence } from '../../src/dpu/evidence.ts';
import { DpuInventory } from '../../src/dpu/inventory.ts';
import type { ReferenceManifest } from '../../src/dpu/manifest/reference-manifest.ts';
import { openBmcLook } from '../../src/dpu/out-of-band.ts';
import { dpuSelectors } from '../../src/dpu/selectors.ts';
import { DpuWatch, type WatchSettings } from '../../src/dpu/watch/watch.ts';
import { MockBmc } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { FleetGate } from '../../src/redfish/fleet-gate.ts';
import { TargetTurns } from '../../src/redfish/target-turns.ts';
import type { AssuranceBinding } from '../../src/rules/assurance.ts';
import type { DpuAssessment, DpuBmc, DpuDraft } from '../../src/rules/dpu.ts';
import { dpuAgentPath } from '../../src/rules/reserved-ids.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { sha256Hex } from './dice.ts';
import { IROT_TARGET, manifestFor, mockTarget, TestCard } from './dpu.ts';
import { IROT } from './manifest.ts';
import { MOCK_ACCOUNT, MOCK_TLS } from './mock-bmc.ts';
import { agentRecord, dpuDraft, id, openState, START_SECONDS } from './state.ts';

/** SHA-256 of the key that mock BMCs show. */
const MOCK_PIN = sha256Hex(
  new X509Certificate(MOCK_TLS.cert).publicKey.export({ type: 'spki', format: 'der' }),
);

/** What a card showed at an attestation that went well, as the inventory keeps it. */
export async function attestedDpu(
  card: TestCard,
  serial: string,
  extra: Partial<DpuDraft> = {},
  binding: AssuranceBinding = 'dual',
) {
  const atMs = START_SECONDS * 1000;
  const nonce = new Uint8Array(32).fill(7);
  const rules = { spdm: DEFAULT_SPDM_POLICY, atMs };
  const shown = await card.evidence(nonce);
  const evidence = unwrap(verifyEvidence(shown, IROT_TARGET, nonce, rules));
  const commissioned = {
    ...dpuDraft(serial, { state: 'commissioned', deviceIds: [card.deviceId], ...extra }),
    revision: 1n,
  };
  const appraisal = unwrap(
    appraiseDpu(commissioned, [[IROT_TARGET, evidence]], { manifestFor, atMs }),
  );
  const { components } = appraisal;
  const assessment: DpuAssessment = {
    atSeconds: START_SECONDS,
    verdict: 'affirming',
    evidence: ['spdm-redfish'],
    binding,
    components: components.map(componentOf),
    code: '',
    detail: 'attested',
    posture: {},
    evidenceId: '',
  };
  const { revision: _revision, ...draft } = commissioned;
  const dpu: DpuDraft = {
    ...draft,
    ...appraisal.remembered,
    state: 'trusted',
    assessment,
    attestedAtSeconds: START_SECONDS,
  };
  const sources = {
    dpu: commissioned,
    components,
    evidence: ['spdm-redfish'],
    binding,
    posture: [],
  };
  return { dpu, selectors: unwrap(dpuSelectors(sources)) };
}

/** What a test of the watch begins with. */
export interface WatchSetUp {
  readonly settings?: Partial<WatchSettings>;
  /** How the DPU attested last; undefined has it commissioned, and never attested. */
  readonly binding?: AssuranceBinding | undefined;
  readonly dpu?: Partial<DpuDraft>;
  readonly manifests?: (target: string) => ReferenceManifest | undefined;
}

/**
 * A watch over one DPU behind a mock BMC, as a server has it: the clock of the watch stands still until a test
 * moves it, the BMC and its client have the machine's.
 */
export async function setUpWatch(context: TestContext, options: WatchSetUp = {}) {
  const serial = 'MT0000X00001';
  const { registry, clock, store } = await openState(context);
  const card = new TestCard(serial);
  const mock = new MockBmc({
    tls: MOCK_TLS,
    account: MOCK_ACCOUNT,
    targets: { [IROT]: mockTarget(card) },
    card: { serialNumber: serial },
  });
  const { port } = new URL(await mock.listen());
  const bmc: DpuBmc = {
    host: '127.0.0.1',
    port: Number(port),
    tlsPin: MOCK_PIN,
    uuid: '',
    mac: '',
  };
  const folder = mkdtempSync(join(tmpdir(), 'sgn-watch-'));
  const account = {
    userNamePath: join(folder, 'user'),
    passwordPath: join(folder, 'password'),
    method: 'session' as const,
  };
  writeFileSync(account.userNamePath, MOCK_ACCOUNT.userName, { mode: 0o600 });
  writeFileSync(account.passwordPath, MOCK_ACCOUNT.password, { mode: 0o600 });
  const facts = { zone: 1, bmc, ...options.dpu };
  const { dpu, selectors } = await attestedDpu(card, serial, facts, options.binding ?? 'dual');
  const agent = agentRecord(dpuAgentPath(card.deviceId).replace('/spire/agent/', ''), {
    canReattest: true,
    selectors,
    attestationType: 'dpu',
    assurance: {
      method: 'dpu',
      binding: options.binding ?? 'dual',
      zone: 1,
      release: 'r2',
      atSeconds: START_SECONDS,
    },
  });
  unwrap(
    await registry.recordAttestation({
      agent,
      aliasEntry: undefined,
      joinTokenAnswer: undefined,
      dpu: { dpu, expectedRevision: 0n },
    }),
  );
  const metrics = createMetrics('test');
  const log = createLogger({ level: 'silent' });
  const inventory = new DpuInventory({ registry, clock, unreachableGraceSeconds: 100 });
  const shared = { account, clock: systemClock, random: systemRandom, turns: new TargetTurns() };
  const gate = new FleetGate({ clock: systemClock, metrics });
  let opened = 0;
  const openLook = gatedLooks({ gate, clock: systemClock, waitMs: 60_000 }, (dpu) => {
    opened += 1;
    return openBmcLook(shared, dpu);
  });
  const rules: {
    manifests: (target: string) => ReferenceManifest | undefined;
    revocation?: DeviceRevocation;
  } = { manifests: options.manifests ?? manifestFor };
  const watch = new DpuWatch({
    openLook,
    targets: [IROT_TARGET],
    rules: () => ({
      spdm: DEFAULT_SPDM_POLICY,
      atMs: clock.nowMs(),
      ...(rules.revocation && { revocation: rules.revocation }),
    }),
    manifestFor: (target) => rules.manifests(target),
    random: systemRandom,
    inventory,
    registry,
    settings: {
      intervalMs: undefined,
      jitter: 0,
      zones: undefined,
      spreadMs: 60_000,
      secondLook: false,
      ...options.settings,
    },
    clock,
    log,
    metrics,
  });
  context.after(async () => {
    await watch.close();
    await mock.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const agentId = id(dpuAgentPath(card.deviceId));
  return {
    serial,
    card,
    mock,
    clock,
    store,
    registry,
    inventory,
    metrics,
    watch,
    rules,
    openLook,
    agentId,
    now: () => unwrap(inventory.find(serial)),
    agent: () => registry.agent(agentId),
    opened: () => opened,
    /** Has the next attestation come: the DPU is as it would stand after it. */
    async attest(next: AssuranceBinding = 'dual') {
      const { revision, ...before } = unwrap(inventory.find(serial));
      const again = await attestedDpu(card, serial, { bmc, zone: 1 }, next);
      const kept = { ...before, ...again.dpu, bmc, zone: 1, attestDemand: undefined };
      unwrap(
        await registry.recordAttestation({
          agent: { ...agent, assurance: { ...agent.assurance, binding: next } as never },
          aliasEntry: undefined,
          joinTokenAnswer: undefined,
          dpu: { dpu: kept, expectedRevision: revision },
        }),
      );
      return ok(undefined);
    },
  };
}
