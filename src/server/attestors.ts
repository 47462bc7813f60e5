import type { NodeAttestor } from '../attestation/attestor.ts';
import { createJoinTokenAttestor } from '../attestation/join_token/server.ts';
import { parsePathTemplate } from '../attestation/path-template.ts';
import { createX509PopAttestor, X509POP_VALUES } from '../attestation/x509pop/server.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Registry } from '../registry/registry.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import { parseCertificatesPem } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';
import type { ServerConfig } from './config.ts';
import type { ServerBase } from './server.ts';

/** Largest file of roots in bytes. */
const MAX_ROOTS_BYTES = 1024 * 1024;

type Section = ServerConfig['attestation'];

/** The node attestors that configuration names, by their name on the wire. Fails with ATTESTATION_SETTINGS. */
export async function createAttestors(
  base: Pick<ServerBase, 'config' | 'clock' | 'random'>,
  registry: Registry,
  dpu: NodeAttestor | undefined,
): Promise<Result<ReadonlyMap<string, NodeAttestor>>> {
  const { attestation } = base.config;
  const attestors: NodeAttestor[] = [];
  if (attestation.joinToken.enabled) attestors.push(createJoinTokenAttestor(registry));
  if (attestation.x509pop !== undefined) {
    const x509pop = await createX509Pop(attestation.x509pop, base, registry);
    if (!x509pop.ok) return x509pop;
    attestors.push(x509pop.value);
  }
  if (dpu !== undefined) attestors.push(dpu);
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

/** The certificates of PEM files. */
async function readRoots(
  paths: readonly string[],
  setting: string,
): Promise<Result<readonly Certificate[]>> {
  const roots: Certificate[] = [];
  for (const path of paths) {
    const bytes = await readFileIfPresent(path, MAX_ROOTS_BYTES);
    if (!bytes.ok) return unusable(setting, bytes.error.message);
    if (bytes.value === undefined) return unusable(setting, `${path} does not exist`);
    const certificates = parseCertificatesPem(bytes.value);
    if (!certificates.ok) return unusable(setting, `${path}: ${certificates.error.message}`);
    roots.push(...certificates.value);
  }
  return ok(roots);
}

function unusable(setting: string, why: string): Result<never> {
  return fail('ATTESTATION_SETTINGS', `${setting}: ${why}`);
}
