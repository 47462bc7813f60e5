import { createHash } from 'node:crypto';
import { type BigIntStats, readlinkSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';

/** Hashes kept; the least recently used goes first. */
const MAX_HASHES = 256;

/** How much of a file is hashed at a time: the event loop is free in between. */
const CHUNK_BYTES = 256 * 1024;

/** Hashes of the binaries that processes run. */
export interface BinaryHashes {
  /**
   * SHA-256 of the binary of a process, lower-case hex. Read through `/proc/<pid>/exe`, so it is the
   * file that runs, whatever its path names by now. Fails with AGENT_BINARY_UNREADABLE.
   */
  sha256(pid: number): Promise<Result<string>>;
}

/**
 * The path of the binary that a process runs, as the kernel states it. Undefined where the path does
 * not name that file, or is not to be believed: in a user namespace of their own anyone can mount
 * anything anywhere, and a binary taken out of one keeps the path that it had there. A binary that was
 * replaced while it runs has none either.
 */
export function readBinaryPath(pid: number): Result<string | undefined> {
  try {
    const bytes = readlinkSync(`/proc/${pid}/exe`, { encoding: 'buffer' });
    // A path is bytes. One that is no text could equal another after replacement characters.
    const path = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (readlinkSync(`/proc/${pid}/ns/user`) !== ownUserNamespace()) return ok(undefined);
    return ok(isSameFile(`/proc/${pid}/exe`, `/proc/${pid}/root${path}`) ? path : undefined);
  } catch (error) {
    return fail(
      'AGENT_PROCESS_UNREADABLE',
      `the path of the binary of process ${pid} cannot be read (${errnoCode(error)})`,
      { cause: error },
    );
  }
}

/**
 * Which file a process runs, for comparing: it stays when the file is replaced on disk, and changes
 * when the process runs another one, whatever that one's path. Fails with AGENT_PROCESS_UNREADABLE.
 */
export function readBinaryFile(pid: number): Result<string> {
  try {
    const { dev, ino, birthtimeNs } = statSync(`/proc/${pid}/exe`, { bigint: true });
    return ok(`${dev}:${ino}:${birthtimeNs}`);
  } catch (error) {
    return fail(
      'AGENT_PROCESS_UNREADABLE',
      `the binary of process ${pid} cannot be told (${errnoCode(error)})`,
      { cause: error },
    );
  }
}

let userNamespace: string | undefined;

function ownUserNamespace(): string {
  userNamespace ??= readlinkSync('/proc/self/ns/user');
  return userNamespace;
}

function isSameFile(path: string, other: string): boolean {
  const one = statSync(path, { bigint: true });
  const two = statSync(other, { bigint: true, throwIfNoEntry: false });
  return two !== undefined && one.dev === two.dev && one.ino === two.ino;
}

/**
 * Hashes binaries of at most `maxBytes`, each version of a file once: a version is its device, inode,
 * size, and times of modification and change (the last of which no program can set).
 */
export function createBinaryHashes(maxBytes: number): BinaryHashes {
  const known = new Map<string, Promise<Result<string>>>();
  return {
    async sha256(pid) {
      let file: FileHandle | undefined;
      try {
        file = await open(`/proc/${pid}/exe`, 'r');
        const stats = await file.stat({ bigint: true });
        if (stats.size > BigInt(maxBytes)) {
          return fail(
            'AGENT_BINARY_UNREADABLE',
            `the binary of process ${pid} has ${stats.size} bytes, more than maxHashBytes (${maxBytes})`,
          );
        }
        return await remembered(known, versionOf(stats), hashFile(file, stats));
      } catch (error) {
        return fail(
          'AGENT_BINARY_UNREADABLE',
          `the binary of process ${pid} cannot be read (${errnoCode(error)})`,
          { cause: error },
        );
      } finally {
        await file?.close();
      }
    },
  };
}

async function remembered(
  known: Map<string, Promise<Result<string>>>,
  version: string,
  hash: () => Promise<Result<string>>,
): Promise<Result<string>> {
  const hit = known.get(version);
  // A caller that waits for another's hash tries itself when that one failed: it has its own handle.
  const answer = await hit?.catch(() => undefined);
  if (hit !== undefined && answer?.ok === true) {
    known.delete(version);
    known.set(version, hit);
    return answer;
  }
  const work = hash();
  known.set(version, work);
  const oldest = known.size > MAX_HASHES ? known.keys().next().value : undefined;
  if (oldest !== undefined) known.delete(oldest);
  let hashed: Result<string> | undefined;
  try {
    hashed = await work;
    return hashed;
  } finally {
    if (hashed?.ok !== true && known.get(version) === work) known.delete(version);
  }
}

function hashFile(file: FileHandle, before: BigIntStats): () => Promise<Result<string>> {
  return async () => {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let offset = 0; ; ) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
    // Written to meanwhile: the digest is of no version that ever stood.
    if (versionOf(await file.stat({ bigint: true })) !== versionOf(before)) {
      return fail('AGENT_BINARY_UNREADABLE', 'a binary changed while it was hashed');
    }
    return ok(hash.digest('hex'));
  };
}

function versionOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
}
