import { fail, ok, type Result } from '../../src/base/result.ts';
import type { PeerProcess } from '../../src/rpc/service.ts';
import type { AccountNames } from './account-names.ts';
import type { WorkloadAttestor } from './attestor.ts';
import { type BinaryHashes, readBinaryFile, readBinaryPath } from './binary.ts';
import { type ProcessStatus, readProcessStatus } from './proc-status.ts';

/** What the `unix` attestor asks, handed in so that tests can answer. */
export interface UnixFacts {
  readonly status: (pid: number) => Result<ProcessStatus>;
  /** Undefined where the binary has no path that can be believed: then there is no `path`. */
  readonly binaryPath: (pid: number) => Result<string | undefined>;
  /** Which file it runs: another text for another file. */
  readonly binaryFile: (pid: number) => Result<string>;
  readonly names: AccountNames;
  /** Absent where binaries are not hashed. */
  readonly hashes: BinaryHashes | undefined;
  /** Whether the selectors `path` and `sha256` are made. */
  readonly discoverPath: boolean;
}

/** The kernel's own answers. */
export const kernelFacts: Pick<UnixFacts, 'status' | 'binaryPath' | 'binaryFile'> = {
  status: readProcessStatus,
  binaryPath: readBinaryPath,
  binaryFile: readBinaryFile,
};

/**
 * The `unix` attestor, with SPIRE's selectors: `uid`, `user`, `gid`, `group`, `supplementary_gid`,
 * `supplementary_group`, and on request `path` and `sha256`. A number without a name has no selector
 * for the name, a binary without a path to believe none for the path. Fails with AGENT_PROCESS_UNREADABLE or AGENT_BINARY_UNREADABLE.
 */
export function createUnixAttestor(facts: UnixFacts): WorkloadAttestor {
  /** The file that each process ran when it was attested. */
  const files = new WeakMap<PeerProcess, string>();
  return {
    name: 'unix',
    async attest(process) {
      const account = attestAccount(facts, process);
      if (!account.ok || !facts.discoverPath) return account;
      const file = facts.binaryFile(process.pid);
      if (!file.ok) return file;
      files.set(process, file.value);
      const binary = await attestBinary(facts, process.pid);
      return binary.ok ? ok([...account.value, ...binary.value]) : binary;
    },
    holds(process, selectors) {
      if (!accountHolds(facts, process, selectors)) return false;
      if (!facts.discoverPath) return true;
      const file = facts.binaryFile(process.pid);
      // Path and hash follow the file; reading them again would cost more.
      return file.ok && file.value === files.get(process);
    },
  };
}

function accountHolds(
  facts: UnixFacts,
  process: PeerProcess,
  selectors: readonly string[],
): boolean {
  const account = attestAccount(facts, process);
  if (!account.ok) return false;
  const now = new Set(account.value);
  const before = selectors.filter(
    (selector) => selector.startsWith('unix:') && !/^unix:(?:path|sha256):/.test(selector),
  );
  return new Set(before).size === now.size && before.every((selector) => now.has(selector));
}

function attestAccount(facts: UnixFacts, process: PeerProcess): Result<readonly string[]> {
  const status = facts.status(process.pid);
  if (!status.ok) return status;
  const problem = contradiction(status.value, process);
  if (problem !== undefined) return fail('AGENT_PROCESS_UNREADABLE', problem);
  const user = facts.names.user(status.value.uid);
  if (!user.ok) return user;
  const group = facts.names.group(status.value.gid);
  if (!group.ok) return group;
  const selectors = [`unix:uid:${status.value.uid}`, `unix:gid:${status.value.gid}`];
  if (user.value !== undefined) selectors.push(`unix:user:${user.value}`);
  if (group.value !== undefined) selectors.push(`unix:group:${group.value}`);
  for (const gid of status.value.supplementaryGids) {
    const name = facts.names.group(gid);
    if (!name.ok) return name;
    selectors.push(`unix:supplementary_gid:${gid}`);
    if (name.value !== undefined) selectors.push(`unix:supplementary_group:${name.value}`);
  }
  return ok(selectors);
}

/**
 * What `/proc` says must be about the process that connected, as it was then. A process that connects,
 * shares the socket with a child and runs a set-uid program would otherwise lend the child that
 * program's uid (E3).
 */
function contradiction(status: ProcessStatus, process: PeerProcess): string | undefined {
  if (status.pid !== process.pid) return `process ${process.pid} is a thread of ${status.pid}`;
  if (status.state === 'Z' || status.state === 'X') return `process ${process.pid} is dead`;
  if (status.uid !== process.uid) {
    return `process ${process.pid} connected as uid ${process.uid} and runs as uid ${status.uid}`;
  }
  if (status.gid !== process.gid) {
    return `process ${process.pid} connected as gid ${process.gid} and runs as gid ${status.gid}`;
  }
  return undefined;
}

async function attestBinary(facts: UnixFacts, pid: number): Promise<Result<readonly string[]>> {
  const path = facts.binaryPath(pid);
  if (!path.ok) return path;
  const selectors = path.value === undefined ? [] : [`unix:path:${path.value}`];
  if (facts.hashes !== undefined) {
    const hash = await facts.hashes.sha256(pid);
    if (!hash.ok) return hash;
    selectors.push(`unix:sha256:${hash.value}`);
  }
  return ok(selectors);
}
