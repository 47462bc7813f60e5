import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { fail, ok } from '../../src/base/result.ts';
import type { Connection, Peer, PeerProcess } from '../../src/rpc/service.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  type AttestationOutcome,
  createWorkloadAttestation,
  isAlive,
  makeWorkload,
} from './attestation.ts';
import type { WorkloadAttestor } from './attestor.ts';

function connection(peer: Peer): Connection {
  return {
    id: '1',
    remoteAddress: 'unix',
    peer,
    memo: new Map(),
    close: () => {},
    onClose: () => {},
    holdOpen: () => () => {},
  };
}

function peerProcess(changes: Partial<PeerProcess> = {}): PeerProcess {
  return { pid: 42, uid: 1, gid: 1, isAlive: () => true, ...changes };
}

function setUp(attestors: readonly WorkloadAttestor[]) {
  const clock = new ManualClock(0);
  const outcomes: AttestationOutcome[] = [];
  const attest = createWorkloadAttestation({
    attestors,
    clock,
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  return { clock, outcomes, attest };
}

const holds = (): boolean => true;

const UID: WorkloadAttestor = { name: 'unix', holds, attest: async () => ok(['unix:uid:1']) };

test('a connection is attested once, and calls at the same time share the work', async () => {
  let asked = 0;
  const { attest, outcomes } = setUp([
    {
      name: 'unix',
      holds,
      attest: async () => {
        asked++;
        return ok(['unix:uid:1', 'unix:gid:1', 'unix:uid:1']);
      },
    },
  ]);
  const one = connection({ kind: 'process', process: peerProcess() });
  const answers = await Promise.all([attest(one), attest(one), attest(one)]);
  const workload = assertValue(answers[0] ?? fail('INTERNAL', 'none'));
  assert.deepEqual(workload.selectors, ['unix:gid:1', 'unix:uid:1']);
  await attest(one);
  assert.equal(asked, 1);
  assert.equal(outcomes.length, 1);
  const two = connection({ kind: 'process', process: peerProcess() });
  await attest(two);
  assert.equal(asked, 2);
});

test('E2 a process that is gone before, during or after attestation gets nothing', async () => {
  for (const livesFor of [0, 1]) {
    let asked = 0;
    const { attest, outcomes } = setUp([UID]);
    const process = peerProcess({ isAlive: () => asked++ < livesFor });
    assertRefused(
      await attest(connection({ kind: 'process', process })),
      'WORKLOAD_ATTESTATION_FAILED',
    );
    assert.equal(outcomes[0]?.error?.code, 'AGENT_PROCESS_UNREADABLE');
  }
  let alive = true;
  const { attest } = setUp([UID]);
  const kept = connection({ kind: 'process', process: peerProcess({ isAlive: () => alive }) });
  assert.ok((await attest(kept)).ok);
  alive = false;
  assertRefused(await attest(kept), 'WORKLOAD_ATTESTATION_FAILED');
});

test('E3 a process that is not what it was is attested anew, for each change once', async () => {
  let uid = 1;
  let asked = 0;
  const changing: WorkloadAttestor = {
    name: 'unix',
    attest: async () => {
      asked++;
      return ok([`unix:uid:${uid}`]);
    },
    holds: (_process, selectors) => selectors.includes(`unix:uid:${uid}`),
  };
  const { attest } = setUp([changing]);
  const one = connection({ kind: 'process', process: peerProcess() });
  const before = assertValue(await attest(one));
  assert.ok(isAlive(before));
  uid = 2;
  assert.equal(isAlive(before), false, 'what was handed out under it ends');
  const answers = await Promise.all([attest(one), attest(one)]);
  for (const answer of answers) assert.deepEqual(assertValue(answer).selectors, ['unix:uid:2']);
  assert.deepEqual(assertValue(await attest(one)).selectors, ['unix:uid:2']);
  assert.equal(asked, 2);
});

test('E3 a process that changes while it is looked at gets nothing', async () => {
  const { attest } = setUp([{ ...UID, holds: () => false }]);
  const answer = await attest(connection({ kind: 'process', process: peerProcess() }));
  assertRefused(answer, 'WORKLOAD_ATTESTATION_FAILED');
});

test('F9 one attestor that fails fails all, with the words that clients know', async () => {
  const failing: WorkloadAttestor = {
    name: 'k8s',
    holds,
    attest: async () => fail('AGENT_PROCESS_UNREADABLE', 'secret reason'),
  };
  const throwing: WorkloadAttestor = {
    name: 'k8s',
    holds,
    attest: () => Promise.reject(new TypeError('planted')),
  };
  for (const other of [failing, throwing]) {
    const { attest } = setUp([UID, other]);
    const answer = await attest(connection({ kind: 'process', process: peerProcess() }));
    assertRefused(answer, 'WORKLOAD_ATTESTATION_FAILED');
    assert.ok(!answer.ok && answer.error.message === 'workload attestation failed');
    assert.ok(!answer.ok && answer.error.statusName === 'Unavailable');
  }
});

test('a failure is not kept: the next call attests again', async () => {
  let asked = 0;
  const { attest } = setUp([
    {
      name: 'unix',
      holds,
      attest: async () =>
        ++asked === 1 ? fail('AGENT_PROCESS_UNREADABLE', 'planted') : ok(['unix:uid:1']),
    },
  ]);
  const one = connection({ kind: 'process', process: peerProcess() });
  assertRefused(await attest(one), 'WORKLOAD_ATTESTATION_FAILED');
  assert.ok((await attest(one)).ok);
});

test('E4 a process of another PID namespace, and a peer that is none, are refused', async () => {
  const { attest } = setUp([UID]);
  const outside = connection({ kind: 'process', process: peerProcess({ pid: 0 }) });
  const refused = await attest(outside);
  assertRefused(refused, 'WORKLOAD_ATTESTATION_FAILED');
  // The agent's log says what to do: a DaemonSet without it is the commonest mistake.
  assert.match(String(refused.ok ? '' : refused.error.cause), /hostPID: true/);
  assertRefused(await attest(connection({ kind: 'anonymous' })), 'WORKLOAD_ATTESTATION_FAILED');
});

test('an attestor that hangs fails the attestation', async () => {
  const { attest, clock } = setUp([{ name: 'unix', holds, attest: () => new Promise(() => {}) }]);
  const answer = attest(connection({ kind: 'process', process: peerProcess() }));
  await new Promise(setImmediate);
  clock.advance(10_000);
  assertRefused(await answer, 'WORKLOAD_ATTESTATION_FAILED');
});

test('different sets of selectors never have one key', () => {
  const keys = [['a'], ['a', 'b'], ['ab'], ['a1:b'], ['a\n1:b']].map(
    (selectors) => makeWorkload(peerProcess(), selectors).key,
  );
  assert.equal(new Set(keys).size, keys.length);
});
