import { ok, type Result } from '../base/result.ts';
import type { ServerCore } from './core.ts';
import { type OpenedDpu, openDpuAttestor } from './dpu-attestor.ts';
import type { ServerBase } from './server.ts';

/** What judges DPUs while the server runs. */
export type JudgedDpus = OpenedDpu;

/** Opens what judges DPUs, and keeps it in line with its files; undefined where configuration has none. */
export async function judgeDpus(
  base: ServerBase,
  { registry, dpus }: ServerCore,
): Promise<Result<JudgedDpus | undefined>> {
  const { dpu } = base.config.attestation;
  if (dpu === undefined) return ok(undefined);
  const { trustDomain } = registry;
  const opened = await openDpuAttestor(dpu, { ...base, ...dpus, trustDomain });
  if (!opened.ok) return opened;
  base.life.add('DPU manifests', () => opened.value.references.close());
  return opened;
}
