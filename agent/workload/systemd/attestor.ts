import { fail, ok } from '../../../src/base/result.ts';
import type { PeerProcess } from '../../../src/rpc/service.ts';
import type { WorkloadAttestor } from '../attestor.ts';
import type { ReadCgroups } from '../container/cgroup-file.ts';
import type { UnitOf } from './units.ts';

/**
 * The `systemd` attestor, with SPIRE's selectors: `id` and `fragment_path`, the latter only of units
 * that have a file. A process moves between units by its cgroup, so that is what is compared later.
 * Fails with AGENT_UNIT_UNKNOWN, AGENT_PROCESS_UNREADABLE or AGENT_CONTAINER_LAYOUT.
 */
export function createSystemdAttestor(unitOf: UnitOf, read: ReadCgroups): WorkloadAttestor {
  const cgroups = new WeakMap<PeerProcess, string>();
  const current = (pid: number): string | undefined => {
    const paths = read(pid);
    return paths.ok ? paths.value.join('\n') : undefined;
  };
  return {
    name: 'systemd',
    async attest(process) {
      const before = current(process.pid);
      if (before === undefined) {
        return fail('AGENT_PROCESS_UNREADABLE', `the cgroup of process ${process.pid} is not told`);
      }
      const unit = await unitOf(process.pid);
      if (!unit.ok) return unit;
      cgroups.set(process, before);
      const { id, fragmentPath } = unit.value;
      const file = fragmentPath === '' ? [] : [`systemd:fragment_path:${fragmentPath}`];
      return ok([`systemd:id:${id}`, ...file]);
    },
    holds(process) {
      const before = cgroups.get(process);
      return before !== undefined && current(process.pid) === before;
    },
  };
}
