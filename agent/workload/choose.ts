import type { AgentBase } from '../agent.ts';
import { createAccountNames } from './account-names.ts';
import type { WorkloadAttestor } from './attestor.ts';
import { createBinaryHashes } from './binary.ts';
import { createUnixAttestor, kernelFacts } from './unix-attestor.ts';

/**
 * The workload attestors that are configured; `unix` always. What is not configured is not loaded, so
 * that it costs no memory.
 */
export async function openWorkloadAttestors(base: AgentBase): Promise<readonly WorkloadAttestor[]> {
  const { unix, k8s } = base.config.workloadAttestors;
  const attestors: WorkloadAttestor[] = [
    createUnixAttestor({
      ...kernelFacts,
      names: createAccountNames(),
      hashes: unix.maxHashBytes === 0 ? undefined : createBinaryHashes(unix.maxHashBytes),
      discoverPath: unix.discoverPath,
    }),
  ];
  if (k8s === undefined) return attestors;
  const [{ createLocator }, { cgroupReader }, { openK8sAttestor }] = await Promise.all([
    import('./container/locate.ts'),
    import('./container/cgroup-file.ts'),
    import('./k8s/open.ts'),
  ]);
  attestors.push(openK8sAttestor(base, k8s, createLocator(cgroupReader())));
  return attestors;
}
