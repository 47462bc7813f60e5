import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection, Peer } from '../rpc/service.ts';
import { peerFacts } from './peer-facts.ts';

function connection(peer: Peer): Connection {
  return {
    id: 'c',
    remoteAddress: 'unix',
    peer,
    memo: new Map(),
    close() {},
    onClose() {},
    holdOpen: () => () => {},
  };
}

const self = (isAlive: () => boolean): Peer => ({
  kind: 'process',
  process: { uid: 1, gid: 2, pid: process.pid, isAlive },
});

test('supplementary groups are read only where they matter, once for each connection', () => {
  let asked = 0;
  const caller = connection(
    self(() => {
      asked++;
      return true;
    }),
  );
  const facts = peerFacts(caller, true);
  assert.ok(facts.kind === 'process');
  // Node's list has the effective group in it as well.
  const all = new Set([...facts.groups, process.getegid?.()]);
  assert.deepEqual(all, new Set(process.getgroups?.()));
  assert.equal(peerFacts(caller, true), facts);
  assert.equal(asked, 1);
  const without = peerFacts(connection(self(() => assert.fail('asked'))), false);
  assert.ok(without.kind === 'process' && without.groups.length === 0);
});

test('E2 the groups of a process that has ended are none: the file may be of its successor', () => {
  const facts = peerFacts(connection(self(() => false)), true);
  assert.deepEqual(facts.kind === 'process' && facts.groups, []);
});

test('an SVID without a chain makes nobody', () => {
  const id = { uri: 'spiffe://example.org/a' } as Extract<Peer, { kind: 'svid' }>['id'];
  assert.equal(peerFacts(connection({ kind: 'svid', id, chain: [] }), false).kind, 'anonymous');
});
