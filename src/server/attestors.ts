import type { NodeAttestor } from '../attestation/attestor.ts';
import { createJoinTokenAttestor } from '../attestation/join_token/server.ts';
import { parsePathTemplate } from '../attestation/path-template.ts';
import { createTpmAttestor } from '../attestation/tpm/server.ts';
import { createTpmDevIdAttestor } from '../attestation/tpm_devid/server.ts';
import { createX509PopAttestor, X509POP_VALUES } from '../attestation/x509pop/server.ts';
import { ok, type Result } from '../base/result.ts';
import type { Registry } from '../registry/registry.ts';
import type { ServerConfig } from './config.ts';
import { createK8sPsat } from './k8s-psat.ts';
import { readRoots } from './root-files.ts';
import type { ServerBase } from './server.ts';
import { readEkCrls, readManufacturers, readTpmRules } from './tpm-rules.ts';

type Section = ServerConfig['attestation'];

/** The node attestors that configuration names, by their name on the wire. Fails with ATTESTATION_SETTINGS. */
export async function createAttestors(
  base: Pick<ServerBase, 'config' | 'clock' | 'random' | 'log' | 'metrics'>,
  registry: Registry,
  ofDpus: readonly NodeAttestor[],
): Promise<Result<ReadonlyMap<string, NodeAttestor>>> {
  const { attestation } = base.config;
  const attestors: NodeAttestor[] = [];
  if (attestation.joinToken.enabled) attestors.push(createJoinTokenAttestor(registry));
  if (attestation.x509pop !== undefined) {
    const x509pop = await createX509Pop(attestation.x509pop, base, registry);
    if (!x509pop.ok) return x509pop;
    attestors.push(x509pop.value);
  }
  attestors.push(...ofDpus);
  if (attestation.k8sPsat !== undefined) {
    const psat = await createK8sPsat(attestation.k8sPsat.clusters, base, registry);
    if (!psat.ok) return psat;
    attestors.push(psat.value);
  }
  if (attestation.tpm !== undefined) {
    const tpm = await createTpm(attestation.tpm, base, registry);
    if (!tpm.ok) return tpm;
    attestors.push(tpm.value);
  }
  if (attestation.tpmDevid !== undefined) {
    const devId = await createDevId(attestation.tpmDevid, base, registry);
    if (!devId.ok) return devId;
    attestors.push(devId.value);
  }
  return ok(new Map(attestors.map((attestor) => [attestor.type, attestor])));
}

async function createX509Pop(
  { mode, caBundlePaths, svidPrefix, agentPathTemplate }: NonNullable<Section['x509pop']>,
  { clock, random }: Pick<ServerBase, 'clock' | 'random'>,
  registry: Registry,
): Promise<Result<NodeAttestor>> {
  const usual = mode === 'spiffe' ? 'SVIDPathTrimmed' : 'Fingerprint';
  const text = agentPathTemplate ?? `{{ .PluginName }}/{{ .${usual} }}`;
  const template = parsePathTemplate(text, X509POP_VALUES);
  if (!template.ok) return template;
  const parts = { template: template.value, registry, clock, random };
  if (mode === 'spiffe') {
    return ok(createX509PopAttestor({ ...parts, trust: { mode, svidPrefix } }));
  }
  const roots = await readRoots(caBundlePaths, 'attestation.x509pop.caBundlePaths');
  if (!roots.ok) return roots;
  return ok(createX509PopAttestor({ ...parts, trust: { mode, roots: roots.value } }));
}

async function createTpm(
  section: NonNullable<Section['tpm']>,
  { clock, random, log }: Pick<ServerBase, 'clock' | 'random' | 'log'>,
  registry: Registry,
): Promise<Result<NodeAttestor>> {
  const rules = await readTpmRules(section, log, 'attestation.tpm');
  return rules.ok ? ok(createTpmAttestor({ ...rules.value, registry, clock, random })) : rules;
}

async function createDevId(
  { devidRootPaths, ...paths }: NonNullable<Section['tpmDevid']>,
  { clock, random, log }: Pick<ServerBase, 'clock' | 'random' | 'log'>,
  registry: Registry,
): Promise<Result<NodeAttestor>> {
  const trust = await readManufacturers(paths, 'attestation.tpmDevid');
  if (!trust.ok) return trust;
  const devIdRoots = await readRoots(devidRootPaths, 'attestation.tpmDevid.devidRootPaths');
  if (!devIdRoots.ok) return devIdRoots;
  const revocation = await readEkCrls(paths, log, 'attestation.tpmDevid');
  if (!revocation.ok) return revocation;
  const judged = { devIdRoots: devIdRoots.value, trust: trust.value, revocation: revocation.value };
  return ok(createTpmDevIdAttestor({ ...judged, registry, clock, random }));
}
