import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { MAX_SUPPLEMENTARY_GROUPS, parseProcessStatus, readProcessStatus } from './proc-status.ts';

const WHOLE = [
  'Name:\tworker',
  'Umask:\t0022',
  'State:\tS (sleeping)',
  'Tgid:\t4242',
  'Pid:\t4242',
  'Uid:\t1000\t1001\t1002\t1003',
  'Gid:\t2000\t2001\t2002\t2003',
  'FDSize:\t64',
  'Groups:\t10 20 30 ',
  '',
].join('\n');

function without(key: string): string {
  return WHOLE.split('\n')
    .filter((line) => !line.startsWith(`${key}:`))
    .join('\n');
}

test('the effective uid and gid of a status count, as in SPIRE', () => {
  assert.deepEqual(assertValue(parseProcessStatus(WHOLE)), {
    pid: 4242,
    state: 'S',
    uid: 1001,
    gid: 2001,
    supplementaryGids: [10, 20, 30],
  });
});

test('a process without supplementary groups has none, in either form of the kernel', () => {
  for (const line of ['Groups:\t ', 'Groups:\t', 'Groups:']) {
    const status = assertValue(parseProcessStatus(WHOLE.replace('Groups:\t10 20 30 ', line)));
    assert.deepEqual(status.supplementaryGids, [], JSON.stringify(line));
  }
});

test('E5 a crafted process name cannot speak for the kernel', () => {
  // The kernel escapes newlines in names; should it not, the key stands twice and is refused.
  const escaped = WHOLE.replace('worker', 'a) S\\nUid:\t0\t0\t0\t0');
  assert.equal(assertValue(parseProcessStatus(escaped)).uid, 1001);
  assertRefused(
    parseProcessStatus(WHOLE.replace('worker', 'a) S\nUid:\t0\t0\t0\t0')),
    'AGENT_PROCESS_UNREADABLE',
  );
});

test('E4 a status of another form is refused, never read in part', () => {
  const refused: readonly [string, string][] = [
    ['empty', ''],
    ['no uid', without('Uid')],
    ['no gid', without('Gid')],
    ['no groups', without('Groups')],
    ['no thread group', without('Tgid')],
    ['no state', without('State')],
    ['three uids', WHOLE.replace('1000\t1001\t1002\t1003', '1000\t1001\t1002')],
    ['negative uid', WHOLE.replace('\t1001\t', '\t-1\t')],
    ['hexadecimal gid', WHOLE.replace('\t2001\t', '\t0x7d1\t')],
    ['groups with a word', WHOLE.replace('10 20 30', '10 root 30')],
  ];
  for (const [name, text] of refused) {
    assert.equal(parseProcessStatus(text).ok, false, name);
  }
});

test('the number of supplementary groups is bounded at n-1, n, n+1', () => {
  for (const [count, accepted] of [
    [MAX_SUPPLEMENTARY_GROUPS - 1, true],
    [MAX_SUPPLEMENTARY_GROUPS, true],
    [MAX_SUPPLEMENTARY_GROUPS + 1, false],
  ] as const) {
    const groups = Array.from({ length: count }, (_, index) => index).join(' ');
    assert.equal(parseProcessStatus(WHOLE.replace('10 20 30', groups)).ok, accepted, `${count}`);
  }
});

test('the status of this very process can be read, and that of no process cannot', () => {
  const status = assertValue(readProcessStatus(process.pid));
  assert.equal(status.pid, process.pid);
  assert.equal(status.uid, process.geteuid?.());
  assertRefused(readProcessStatus(2 ** 30), 'AGENT_PROCESS_UNREADABLE');
});
