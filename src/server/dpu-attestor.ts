import type { NodeAttestor } from '../attestation/attestor.ts';
import { createDpuAttestor } from '../attestation/dpu/server.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type DeviceRevocation, readDeviceCrl } from '../dice/device-revocation.ts';
import { createDpuCollector } from '../dpu/collect-dpu.ts';
import { gatedLooks } from '../dpu/collector.ts';
import type { DpuCollector } from '../dpu/collector-seam.ts';
import type { DpuTarget } from '../dpu/evidence.ts';
import type { EvidenceVault } from '../dpu/evidence-vault.ts';
import type { DpuInventory } from '../dpu/inventory.ts';
import { readCorim } from '../dpu/manifest/corim.ts';
import { openManifest } from '../dpu/manifest/open-manifest.ts';
import type { ReferenceManifest } from '../dpu/manifest/reference-manifest.ts';
import { parseSignerKey } from '../dpu/manifest/signer-key.ts';
import { openBmcLook } from '../dpu/out-of-band.ts';
import { FleetGate } from '../redfish/fleet-gate.ts';
import { TargetTurns } from '../redfish/target-turns.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Crl } from '../x509/crl.ts';
import { createSignatureMemo } from '../x509/signature-memo.ts';
import type { DpuAttestorSettings } from './dpu-attestor-settings.ts';

/** Longest wait of a look for its turn: the agent that waits for the verdict has a deadline of its own. */
const LOOK_WAIT_MS = 300_000;
const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** What the attestor stands on, beside its settings. */
export interface DpuAttestorBase {
  readonly trustDomain: TrustDomain;
  readonly inventory: DpuInventory;
  readonly vault: Pick<EvidenceVault, 'put'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What judges DPUs, by one set of rules. */
export interface OpenedDpu {
  readonly attestor: NodeAttestor;
  /** For commissioning. */
  readonly collector: DpuCollector;
}

/**
 * The DPU attestor as configuration has it, with its manifests and CRLs read. Fails with
 * FILE_UNREADABLE, PEM_*, MANIFEST_*, or what a CRL is refused with: a server that cannot judge does
 * not start.
 */
export async function openDpuAttestor(
  settings: DpuAttestorSettings,
  base: DpuAttestorBase,
): Promise<Result<OpenedDpu>> {
  const manifests = await readManifests(settings.manifests, base.clock.nowMs());
  if (!manifests.ok) return manifests;
  const crls = await readCrls(settings.crls.paths);
  if (!crls.ok) return crls;
  const [first, ...others] = settings.targets.map((target) => targetOf(settings, target));
  if (first === undefined) return fail('CONFIG_INVALID', 'attestation.dpu.targets is empty');
  const maxStaleMs = settings.crls.maxStale * 1000;
  const revocation: DeviceRevocation = { crls: crls.value, maxStaleMs };
  const { trustDomain, inventory, vault, clock, random, log, metrics } = base;
  const turns = new TargetTurns();
  const gate = new FleetGate({ clock, metrics });
  const account = settings.bmc;
  const openLook = gatedLooks({ gate, clock, waitMs: LOOK_WAIT_MS }, (dpu) =>
    openBmcLook({ account, clock, random, turns }, dpu),
  );
  const signatures = createSignatureMemo(settings.knownSignatures);
  const evidence = { spdm: DEFAULT_SPDM_POLICY, revocation, signatures };
  const manifestFor = (target: string): ReferenceManifest | undefined =>
    manifests.value.get(target);
  const attestor = createDpuAttestor({
    ...evidence,
    trustDomain,
    inventory,
    targets: [first, ...others],
    kinds: settings.kinds,
    manifestFor,
    outOfBand: settings.binding === 'dual' ? openLook : undefined,
    keep: (serial, bytes, atMs) => vault.put(serial, bytes, atMs),
    clock,
    random,
    log,
  });
  const collector = createDpuCollector({
    openLook,
    targets: [first, ...others],
    rules: () => ({ ...evidence, atMs: clock.nowMs() }),
    manifestFor,
    random,
  });
  return ok({ attestor, collector });
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

/** Manifests by target. Two that speak of one target would leave open which of them counts. */
async function readManifests(
  settings: DpuAttestorSettings['manifests'],
  atMs: number,
): Promise<Result<ReadonlyMap<string, ReferenceManifest>>> {
  const keys = await readAll(settings.signerPaths, parseSignerKey);
  if (!keys.ok) return keys;
  const signers = { keys: keys.value, threshold: settings.threshold };
  const corimKeys = await readAll(settings.corimSignerPaths, parseSignerKey);
  if (!corimKeys.ok) return corimKeys;
  const read = await readAll(settings.corimPaths, (bytes) =>
    readCorim(bytes, { keys: corimKeys.value, atMs }),
  );
  if (!read.ok) return read;
  const corims = new Map(read.value.map((corim) => [corim.sha256, corim]));
  const manifests = await readAll(settings.paths, (bytes) => openManifest(bytes, signers, corims));
  if (!manifests.ok) return manifests;
  const byTarget = new Map<string, ReferenceManifest>();
  for (const manifest of manifests.value) {
    for (const target of manifest.targets.keys()) {
      if (byTarget.has(target)) {
        return fail('MANIFEST_TARGET', `two manifests speak of ${target}`);
      }
      byTarget.set(target, manifest);
    }
  }
  return ok(byTarget);
}

function readCrls(paths: readonly string[]): Promise<Result<readonly Crl[]>> {
  return readAll(paths, readDeviceCrl);
}

/** Files one after the other; a refusal names the file. */
async function readAll<T>(
  paths: readonly string[],
  read: (bytes: Uint8Array) => Result<T>,
): Promise<Result<readonly T[]>> {
  const values: T[] = [];
  for (const path of paths) {
    const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
    if (!bytes.ok) return bytes;
    if (bytes.value === undefined) return fail('FILE_UNREADABLE', `${path} does not exist`);
    const value = read(bytes.value);
    if (!value.ok) return fail(value.error.code, `${path}: ${value.error.message}`);
    values.push(value.value);
  }
  return ok(values);
}
