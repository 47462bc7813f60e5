import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fail, ok, type Result } from '../base/result.ts';
import type { PeerProcess } from './service.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_PEERPIDFD = 77;
const POLLIN = 1;

const ESRCH = 3;
const EINVAL = 22;
const ENOPROTOOPT = 92;

/** The libc calls that peer credentials need; results as C has them. */
export interface PeerSyscalls {
  /** 0 with `value` filled, or the system's error number. */
  getsockopt(fd: number, level: number, name: number, value: Buffer): number;
  /** Descriptors that are ready among the one in `pollfd`, without waiting; −1 on failure. */
  poll(pollfd: Buffer): number;
  close(fd: number): void;
  /** `/proc/<pid>/stat`, or undefined when it cannot be read. */
  readStat(pid: number): string | undefined;
}

/** A process at the other end of a socket, with the handle that has to be released. */
export interface HeldPeerProcess extends PeerProcess {
  /** Closes the pidfd, once; afterwards `isAlive` is false. */
  release(): void;
}

/** Loads koffi, which no process needs before it opens a Unix socket, and binds the calls. */
export async function loadPeerSyscalls(): Promise<Result<PeerSyscalls>> {
  try {
    const { default: koffi } = await import('koffi');
    const libc = koffi.load(null);
    const getsockopt = libc.func(
      'int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)',
    );
    const poll = libc.func('int poll(_Inout_ void *fds, unsigned long count, int timeout)');
    const close = libc.func('int close(int fd)');
    return ok({
      getsockopt: (fd, level, name, value) =>
        getsockopt(fd, level, name, value, [value.length]) === 0 ? 0 : koffi.errno(),
      poll: (pollfd) => poll(pollfd, 1, 0),
      close: (fd) => void close(fd),
      readStat,
    });
  } catch (cause) {
    return fail('PEER_CREDENTIALS_UNAVAILABLE', 'cannot load the libc calls', { cause });
  }
}

/**
 * The process that connected a Unix socket, as the kernel noted it at that moment (SO_PEERCRED), with
 * a handle that stays with that very process (SO_PEERPIDFD, Linux 6.5). Older kernels: the start
 * time in /proc tells a reused pid apart.
 */
export function peerProcessOf(socket: Socket, calls: PeerSyscalls): Result<HeldPeerProcess> {
  const fd = descriptorOf(socket);
  const credentials = Buffer.alloc(12);
  if (fd === undefined || calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials) !== 0) {
    return fail('PEER_CREDENTIALS_UNAVAILABLE', 'SO_PEERCRED gave no credentials');
  }
  const pid = credentials.readInt32LE(0);
  const uid = credentials.readUInt32LE(4);
  const gid = credentials.readUInt32LE(8);
  const held = holdProcess(fd, pid, calls);
  return held.ok ? ok({ uid, gid, pid, ...held.value }) : held;
}

type Held = Pick<HeldPeerProcess, 'isAlive' | 'release'>;

function holdProcess(socketFd: number, pid: number, calls: PeerSyscalls): Result<Held> {
  const handle = Buffer.alloc(4);
  const errno = calls.getsockopt(socketFd, SOL_SOCKET, SO_PEERPIDFD, handle);
  if (errno === 0) return ok(holdDescriptor(calls, handle.readInt32LE(0)));
  if (errno === ENOPROTOOPT) return ok(holdStartTime(calls, pid));
  // The process is gone already: its pid may be another's by now, so /proc is not asked.
  if (errno === ESRCH || errno === EINVAL) return ok({ isAlive: () => false, release: () => {} });
  return fail('PEER_CREDENTIALS_UNAVAILABLE', `SO_PEERPIDFD failed with errno ${errno}`);
}

/** How often a poll that a signal interrupted (EINTR) is tried again before it counts as a failure. */
const MAX_POLLS = 10;

function holdDescriptor(calls: PeerSyscalls, fd: number): Held {
  const pollfd = Buffer.alloc(8);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(POLLIN, 4);
  let open = true;
  return {
    // A pidfd becomes readable when its process has exited, reaped or not.
    isAlive: () => {
      for (let polls = 0; open && polls < MAX_POLLS; polls++) {
        const ready = calls.poll(pollfd);
        if (ready >= 0) return ready === 0;
      }
      return false;
    },
    release: () => {
      if (open) calls.close(fd);
      open = false;
    },
  };
}

function holdStartTime(calls: PeerSyscalls, pid: number): Held {
  let started = startTime(calls, pid);
  return {
    isAlive: () => started !== undefined && startTime(calls, pid) === started,
    release: () => {
      started = undefined;
    },
  };
}

/** Start time of a living process in clock ticks; undefined for pid 0 (another pid namespace). */
function startTime(calls: PeerSyscalls, pid: number): string | undefined {
  const stat = pid > 0 ? calls.readStat(pid) : undefined;
  if (stat === undefined) return undefined;
  // The name may hold spaces and parentheses; nothing after its last one does.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const dead = state === undefined || state === 'Z' || state === 'X' || state === 'x';
  return dead ? undefined : rest[18];
}

function readStat(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
}

function descriptorOf(socket: Socket): number | undefined {
  // Node keeps the descriptor on the socket's handle and has no public way to it.
  const handle = (socket as unknown as { _handle?: { fd?: number } | null })._handle;
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}
