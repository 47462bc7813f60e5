import assert from 'node:assert/strict';
import { Socket as NodeSocket, type Socket } from 'node:net';
import { test } from 'node:test';
import { unwrap } from '../base/result.ts';
import { type PeerSyscalls, peerProcessOf } from './peer-process.ts';

const SO_PEERCRED = 17;
const ENOPROTOOPT = 92;

/** A socket with a descriptor, as far as this code looks. */
const socket = { _handle: { fd: 9 } } as unknown as Socket;

function stat(name: string, state: string, started: number): string {
  const between = Array.from({ length: 18 }, (_, i) => i).join(' ');
  return `77 (${name}) ${state} ${between} ${started} 0 0`;
}

/** A kernel that says pid 77, uid 1000, gid 100, and answers SO_PEERPIDFD with `pidfd`. */
function kernel(
  pidfd: { errno: number } | { fd: number },
  stats: (string | undefined)[] = [],
): PeerSyscalls & { closed: number[]; exited: boolean } {
  return {
    closed: [],
    exited: false,
    getsockopt(fd, _level, name, value) {
      assert.equal(fd, 9);
      if (name === SO_PEERCRED) {
        value.writeInt32LE(77, 0);
        value.writeUInt32LE(1000, 4);
        value.writeUInt32LE(100, 8);
        return 0;
      }
      if ('errno' in pidfd) return pidfd.errno;
      value.writeInt32LE(pidfd.fd, 0);
      return 0;
    },
    poll(pollfd) {
      assert.equal(pollfd.readInt32LE(0), 'fd' in pidfd ? pidfd.fd : -1);
      return this.exited ? 1 : 0;
    },
    close(fd) {
      this.closed.push(fd);
    },
    readStat: () => (stats.length > 1 ? stats.shift() : stats[0]),
  };
}

test('a poll that a signal interrupted is tried again, and one that keeps failing is no life', () => {
  for (const [interruptions, alive] of [
    [1, true],
    [9, true],
    [10, false],
  ] as const) {
    let left: number = interruptions;
    const calls = { ...kernel({ fd: 33 }), poll: () => (left-- > 0 ? -1 : 0) };
    assert.equal(unwrap(peerProcessOf(socket, calls)).isAlive(), alive, `${interruptions}`);
  }
});

test('a pidfd tells a living process from one that exited, and is closed once', () => {
  const calls = kernel({ fd: 33 });
  const peer = unwrap(peerProcessOf(socket, calls));
  assert.deepEqual([peer.pid, peer.uid, peer.gid], [77, 1000, 100]);
  assert.equal(peer.isAlive(), true);
  calls.exited = true;
  assert.equal(peer.isAlive(), false);
  calls.exited = false;
  peer.release();
  peer.release();
  assert.deepEqual(calls.closed, [33]);
  assert.equal(peer.isAlive(), false);
});

test('without SO_PEERPIDFD the start time tells a reused pid', () => {
  const cases: [string, (string | undefined)[], boolean][] = [
    ['same process', [stat('a', 'S', 5000), stat('a', 'R', 5000)], true],
    ['another process', [stat('a', 'S', 5000), stat('a', 'S', 5001)], false],
    ['gone', [stat('a', 'S', 5000), undefined], false],
    ['zombie', [stat('a', 'S', 5000), stat('a', 'Z', 5000)], false],
    ['a name made to deceive', [stat('a) Z 1 (\n', 'S', 5000), stat('x', 'S', 5000)], true],
    ['gone from the start', [undefined], false],
    ['a zombie from the start', [stat('a', 'Z', 5000)], false],
  ];
  for (const [name, stats, alive] of cases) {
    const peer = unwrap(peerProcessOf(socket, kernel({ errno: ENOPROTOOPT }, stats)));
    assert.equal(peer.isAlive(), alive, name);
    peer.release();
    assert.equal(peer.isAlive(), false, name);
  }
});

test('a process that was gone before it was asked for is not alive, and /proc is not believed', () => {
  for (const errno of [3, 22]) {
    const peer = unwrap(peerProcessOf(socket, kernel({ errno }, [stat('other', 'S', 1)])));
    assert.equal(peer.isAlive(), false);
  }
});

test('any other failure is no peer at all', () => {
  const emfile = peerProcessOf(socket, kernel({ errno: 24 }));
  assert.ok(!emfile.ok && emfile.error.code === 'PEER_CREDENTIALS_UNAVAILABLE');
  const closed = peerProcessOf(new NodeSocket(), kernel({ fd: 3 }));
  assert.ok(!closed.ok && closed.error.code === 'PEER_CREDENTIALS_UNAVAILABLE');
});
