import type { Result } from '../../src/base/result.ts';
import type { PeerProcess } from '../../src/rpc/service.ts';

/**
 * Learns facts about a process on this node: `unix`, later `k8s`, `docker` and others. All facts that
 * the attestor stands for or a refusal, never fewer: an entry that wants the missing fact would be
 * hidden, and one that is looser would apply in its stead.
 */
export interface WorkloadAttestor {
  /** Type of its selectors, such as `unix`. */
  readonly name: string;
  /**
   * Selectors of the process, each as `type:value`. The caller checks that the process lived before
   * and after; what is read in between may be another's and is then thrown away.
   */
  attest(process: PeerProcess): Promise<Result<readonly string[]>>;
  /**
   * Whether the process is still what `attest` said of it, `selectors` being those of all attestors.
   * Asked before everything that a process is handed, so it has to be cheap.
   */
  holds(process: PeerProcess, selectors: readonly string[]): boolean;
}
