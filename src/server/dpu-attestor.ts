import { createHash } from 'node:crypto';
import type { NodeAttestor } from '../attestation/attestor.ts';
import { createDpuAttestor } from '../attestation/dpu/server.ts';
import type { DpuTpmRules } from '../attestation/dpu/tpm.ts';
import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createDpuCollector } from '../dpu/collect-dpu.ts';
import { gatedLooks } from '../dpu/collector.ts';
import type { DpuCollector } from '../dpu/collector-seam.ts';
import type { DpuTarget } from '../dpu/evidence.ts';
import type { EvidenceVault } from '../dpu/evidence-vault.ts';
import type { DpuInventory } from '../dpu/inventory.ts';
import { bmcClientOf, openBmcLook } from '../dpu/out-of-band.ts';
import type { FindPairing } from '../dpu/pairing.ts';
import type { BmcEventsParts } from '../dpu/watch/bmc-events.ts';
import type { LookParts } from '../dpu/watch/look.ts';
import { FleetGate } from '../redfish/fleet-gate.ts';
import { TargetTurns } from '../redfish/target-turns.ts';
import type { Registry } from '../registry/registry.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { createSignatureMemo } from '../x509/signature-memo.ts';
import type { Certificate } from '../x509/types.ts';
import type { DpuAttestorSettings } from './dpu-attestor-settings.ts';
import { DpuReferences, type DpuReferencesBase } from './dpu-references.ts';
import { readRoots } from './root-files.ts';
import { readTpmRules } from './tpm-rules.ts';

/** Longest wait of a look for its turn: the agent that waits for the verdict has a deadline of its own. */
const LOOK_WAIT_MS = 300_000;

/** What the attestor stands on, beside its settings. */
export interface DpuAttestorBase {
  readonly trustDomain: TrustDomain;
  readonly inventory: DpuInventory;
  readonly vault: Pick<EvidenceVault, 'put'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly marks: DpuReferencesBase['marks'];
  /** Asks the BMCs of hosts; absent where configuration has no account there. */
  readonly findPairing?: FindPairing | undefined;
  readonly registry: Pick<Registry, 'agent'>;
}

/** What judges DPUs, by one set of rules. */
export interface OpenedDpu {
  readonly attestor: NodeAttestor;
  /** For commissioning. */
  readonly collector: DpuCollector;
  readonly references: DpuReferences;
  /** For the server's own looks. */
  readonly looking: Omit<LookParts, 'inventory'>;
  readonly openClient: BmcEventsParts['openClient'];
}

/**
 * The DPU attestor as configuration has it, with its manifests and CRLs read. Fails as
 * {@link DpuReferences.open} does: a server that cannot judge does not start, nor one that is given
 * older manifests than it had.
 */
export async function openDpuAttestor(
  settings: DpuAttestorSettings,
  base: DpuAttestorBase,
): Promise<Result<OpenedDpu>> {
  const opened = await DpuReferences.open({ ...base, settings });
  if (!opened.ok) return opened;
  const references = opened.value;
  const { caPaths } = settings.ownKey;
  const ownKeyRoots = await readRoots(caPaths, 'attestation.dpu.ownKey.caPaths');
  if (!ownKeyRoots.ok) return ownKeyRoots;
  const tpm = await tpmRules(settings, base);
  if (!tpm.ok) return tpm;
  const [first, ...others] = settings.targets.map((target) => targetOf(settings, target));
  if (first === undefined) return fail('CONFIG_INVALID', 'attestation.dpu.targets is empty');
  const { trustDomain, inventory, vault, clock, random, log, metrics } = base;
  const turns = new TargetTurns();
  const gate = new FleetGate({ clock, metrics });
  const account = settings.bmc;
  const shared = { account, clock, random, turns };
  const openLook = gatedLooks({ gate, clock, waitMs: LOOK_WAIT_MS }, (dpu) =>
    openBmcLook(shared, dpu),
  );
  const signatures = createSignatureMemo(settings.knownSignatures);
  const { manifestFor } = references;
  const evidence = { spdm: DEFAULT_SPDM_POLICY, signatures };
  const rulesId = rulesOf(settings, ownKeyRoots.value, manifestFor);
  // Otherwise the SVID goes out first, and the watch looks afterwards.
  const waits = settings.binding === 'dual' && settings.secondLook === 'before';
  const attestor = createDpuAttestor({
    ...evidence,
    // Read at each use: it may be another one by then.
    get revocation() {
      return references.revocation;
    },
    trustDomain,
    inventory,
    targets: [first, ...others],
    kinds: settings.kinds,
    require: settings.require,
    ownKeyRoots: ownKeyRoots.value,
    tpm: tpm.value,
    manifestFor,
    outOfBand: waits ? openLook : undefined,
    light:
      settings.fullEvery > 1
        ? { fullEvery: settings.fullEvery, look: openLook, rulesId }
        : undefined,
    keep: (serial, bytes, atMs) => vault.put(serial, bytes, atMs),
    clock,
    random,
    log,
  });
  const looking = {
    openLook,
    targets: [first, ...others],
    rules: () => ({ ...evidence, revocation: references.revocation, atMs: clock.nowMs() }),
    manifestFor,
    random,
  };
  return ok({
    attestor,
    collector: createDpuCollector({ ...looking, findPairing: base.findPairing }),
    references,
    looking,
    openClient: (dpu) => bmcClientOf(shared, dpu),
  });
}

async function tpmRules(
  { tpm }: DpuAttestorSettings,
  { log, registry }: Pick<DpuAttestorBase, 'log' | 'registry'>,
): Promise<Result<DpuTpmRules | undefined>> {
  if (tpm === undefined) return ok(undefined);
  const rules = await readTpmRules(tpm, log, 'attestation.dpu.tpm');
  if (!rules.ok) return rules;
  const lastClock = (agentId: SpiffeId) => registry.agent(agentId)?.assurance?.tpmClock;
  return ok({ ...rules.value, lastClock });
}

/** SHA-256 of all that an attestation in full rests on, as it stands when it is asked, hex. */
function rulesOf(
  { classes, targets, kinds, require, binding, tpm }: DpuAttestorSettings,
  roots: readonly Certificate[],
  manifestFor: DpuReferences['manifestFor'],
): () => string {
  const ownKeys = roots.map(({ der }) => toHex(der));
  const fixed = JSON.stringify([classes, targets, kinds, require, binding, tpm, ownKeys]);
  return () => {
    const manifests = targets.map(({ id }) => manifestFor(id)?.sha256 ?? '');
    return createHash('sha256')
      .update(JSON.stringify([fixed, manifests]))
      .digest('hex');
  };
}

function targetOf(
  { classes }: DpuAttestorSettings,
  { id, class: name }: DpuAttestorSettings['targets'][number],
): DpuTarget {
  const found = classes.find((each) => each.name === name);
  // The schema has seen to it that there is one.
  return {
    id,
    deviceClass: found ?? { name, roots: [], classCas: [], keyTypes: [], fwid: 'required' },
  };
}
