import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { createUnixAttestor, type UnixFacts } from './unix-attestor.ts';

const PEER = { pid: 42, uid: 1000, gid: 1000, isAlive: () => true };

const USERS = new Map([[1000, 'alice']]);
const GROUPS = new Map([
  [1000, 'staff'],
  [27, 'sudo'],
]);

function facts(changes: Partial<UnixFacts> = {}): UnixFacts {
  return {
    status: (pid) => ok({ pid, state: 'S', uid: 1000, gid: 1000, supplementaryGids: [27, 4000] }),
    binaryPath: () => ok('/usr/bin/worker'),
    binaryFile: () => ok('1:2:3'),
    names: { user: (uid) => ok(USERS.get(uid)), group: (gid) => ok(GROUPS.get(gid)) },
    hashes: { sha256: async () => ok('aa'.repeat(32)) },
    discoverPath: false,
    ...changes,
  };
}

function refusing(code: ErrorCode): () => Result<never> {
  return () => fail(code, 'planted');
}

test("selectors are SPIRE's: numbers always, names where there are any", async () => {
  const selectors = assertValue(await createUnixAttestor(facts()).attest(PEER));
  assert.deepEqual([...selectors].sort(), [
    'unix:gid:1000',
    'unix:group:staff',
    'unix:supplementary_gid:27',
    'unix:supplementary_gid:4000',
    'unix:supplementary_group:sudo',
    'unix:uid:1000',
    'unix:user:alice',
  ]);
});

test('path and sha256 come on request, sha256 not without hashing', async () => {
  const whole = createUnixAttestor(facts({ discoverPath: true }));
  const selectors = assertValue(await whole.attest(PEER));
  assert.ok(selectors.includes('unix:path:/usr/bin/worker'));
  assert.ok(selectors.includes(`unix:sha256:${'aa'.repeat(32)}`));
  const unhashed = createUnixAttestor(facts({ discoverPath: true, hashes: undefined }));
  const fewer = assertValue(await unhashed.attest(PEER));
  assert.ok(!fewer.some((selector) => selector.startsWith('unix:sha256:')));
});

test('E3 a process that took on another uid or gid since it connected is refused', async () => {
  const status = { pid: 42, state: 'S', uid: 1000, gid: 1000, supplementaryGids: [] };
  for (const [name, changed] of [
    ['set-uid program', { ...status, uid: 0 }],
    ['set-gid program', { ...status, gid: 0 }],
    ['another process', { ...status, pid: 41 }],
    ['zombie', { ...status, state: 'Z' }],
    ['dead', { ...status, state: 'X' }],
  ] as const) {
    const attestor = createUnixAttestor(facts({ status: () => ok(changed) }));
    assert.equal((await attestor.attest(PEER)).ok, false, name);
  }
});

test('F9 any fact that cannot be learnt refuses all: never fewer selectors', async () => {
  const { names } = facts();
  const broken: readonly [string, Partial<UnixFacts>, ErrorCode][] = [
    ['status', { status: refusing('AGENT_PROCESS_UNREADABLE') }, 'AGENT_PROCESS_UNREADABLE'],
    [
      'user names',
      { names: { ...names, user: refusing('AGENT_PROCESS_UNREADABLE') } },
      'AGENT_PROCESS_UNREADABLE',
    ],
    [
      'group names',
      { names: { ...names, group: refusing('AGENT_PROCESS_UNREADABLE') } },
      'AGENT_PROCESS_UNREADABLE',
    ],
    ['path', { binaryPath: refusing('AGENT_PROCESS_UNREADABLE') }, 'AGENT_PROCESS_UNREADABLE'],
    ['file', { binaryFile: refusing('AGENT_PROCESS_UNREADABLE') }, 'AGENT_PROCESS_UNREADABLE'],
    [
      'hash',
      { hashes: { sha256: async () => refusing('AGENT_BINARY_UNREADABLE')() } },
      'AGENT_BINARY_UNREADABLE',
    ],
  ];
  for (const [, change, code] of broken) {
    const attestor = createUnixAttestor(facts({ discoverPath: true, ...change }));
    assertRefused(await attestor.attest(PEER), code);
  }
});

test('E3 what was attested holds while ids, groups and program stay, and no longer', async () => {
  const status = { pid: 42, state: 'S', uid: 1000, gid: 1000, supplementaryGids: [27, 4000] };
  let now: UnixFacts = facts({ discoverPath: true });
  const attestor = createUnixAttestor({
    ...now,
    status: (pid) => now.status(pid),
    binaryFile: (pid) => now.binaryFile(pid),
  });
  const selectors = assertValue(await attestor.attest(PEER));
  assert.equal(attestor.holds(PEER, selectors), true);
  assert.equal(attestor.holds(PEER, [...selectors, 'k8s:ns:a']), true, 'of another attestor');
  const changes: readonly [string, Partial<UnixFacts>][] = [
    ['another uid', { status: () => ok({ ...status, uid: 0 }) }],
    ['another gid', { status: () => ok({ ...status, gid: 0 }) }],
    ['a group less', { status: () => ok({ ...status, supplementaryGids: [27] }) }],
    ['a group more', { status: () => ok({ ...status, supplementaryGids: [27, 4000, 0] }) }],
    ['another program', { binaryFile: () => ok('1:2:4') }],
    ['a program that cannot be told', { binaryFile: refusing('AGENT_PROCESS_UNREADABLE') }],
    ['a status that cannot be read', { status: refusing('AGENT_PROCESS_UNREADABLE') }],
  ];
  for (const [name, change] of changes) {
    now = facts(change);
    assert.equal(attestor.holds(PEER, selectors), false, name);
  }
  now = facts();
  assert.equal(attestor.holds(PEER, selectors), true, 'all as it was');
});

test('a binary without a path to believe has no path selector', async () => {
  const attestor = createUnixAttestor(
    facts({ discoverPath: true, binaryPath: () => ok(undefined) }),
  );
  const selectors = assertValue(await attestor.attest(PEER));
  assert.ok(selectors.includes(`unix:sha256:${'aa'.repeat(32)}`));
  assert.ok(!selectors.some((selector) => selector.startsWith('unix:path:')));
});
