import type { AgentBase } from '../agent.ts';
import { createAccountNames } from './account-names.ts';
import type { WorkloadAttestor } from './attestor.ts';
import { createBinaryHashes } from './binary.ts';
import type { WorkloadAttestorSettings } from './settings.ts';
import { createUnixAttestor, kernelFacts } from './unix-attestor.ts';

/**
 * The workload attestors that are configured; `unix` always. What is not configured is not loaded, so
 * that it costs no memory.
 */
export async function openWorkloadAttestors(base: AgentBase): Promise<readonly WorkloadAttestor[]> {
  const settings = base.config.workloadAttestors;
  const found = await Promise.all([
    openUnix(settings),
    openK8s(base, settings),
    openEngines(base, settings),
    openSystemd(settings),
    openSlurm(base, settings),
  ]);
  return found.filter((attestor) => attestor !== undefined);
}

type Opened = Promise<WorkloadAttestor | undefined>;

async function openUnix({ unix }: WorkloadAttestorSettings): Opened {
  return createUnixAttestor({
    ...kernelFacts,
    names: createAccountNames(),
    hashes: unix.maxHashBytes === 0 ? undefined : createBinaryHashes(unix.maxHashBytes),
    discoverPath: unix.discoverPath,
  });
}

async function openK8s(base: AgentBase, { k8s }: WorkloadAttestorSettings): Opened {
  if (k8s === undefined) return undefined;
  const { openK8sAttestor } = await import('./k8s/open.ts');
  return openK8sAttestor(base, k8s, await openLocator());
}

async function openEngines(
  { clock }: AgentBase,
  { docker, podman }: WorkloadAttestorSettings,
): Opened {
  if (docker === undefined && podman === undefined) return undefined;
  const [{ createEngineAttestor }, { engineAt }] = await Promise.all([
    import('./engine/attestor.ts'),
    import('./engine/engine-api.ts'),
  ]);
  return createEngineAttestor({
    locate: await openLocator(),
    docker: docker === undefined ? undefined : engineAt(docker.socketPath, clock),
    podman: podman === undefined ? undefined : engineAt(podman.socketPath, clock),
  });
}

async function openSystemd({ systemd }: WorkloadAttestorSettings): Opened {
  if (systemd === undefined) return undefined;
  const [{ createSystemdAttestor }, { askSystemd }, { cgroupReader }] = await Promise.all([
    import('./systemd/attestor.ts'),
    import('./systemd/units.ts'),
    import('./container/cgroup-file.ts'),
  ]);
  return createSystemdAttestor(askSystemd(systemd), cgroupReader());
}

async function openSlurm({ clock }: AgentBase, { slurm }: WorkloadAttestorSettings): Opened {
  if (slurm === undefined) return undefined;
  const [{ createSlurmAttestor }, { askController }, { cgroupReader }] = await Promise.all([
    import('./slurm/attestor.ts'),
    import('./slurm/job-facts.ts'),
    import('./container/cgroup-file.ts'),
  ]);
  const askJob = slurm.askController ? askController(slurm, clock) : undefined;
  return createSlurmAttestor({ read: cgroupReader(), askJob });
}

async function openLocator() {
  const [{ createLocator }, { cgroupReader }] = await Promise.all([
    import('./container/locate.ts'),
    import('./container/cgroup-file.ts'),
  ]);
  return createLocator(cgroupReader());
}
