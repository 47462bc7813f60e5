import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { temporaryFolder } from '../../../test/support/rpc.ts';
import type { CgroupPaths } from '../container/cgroup-file.ts';
import { createSystemdAttestor } from './attestor.ts';
import { askSystemd, parseUnit, parseUnitPath } from './units.ts';

const PEER = { pid: 42, uid: 1000, gid: 1000, isAlive: () => true };
const UNIT = { id: 'web.service', fragmentPath: '/etc/systemd/system/web.service' };

describe('the systemd attestor', () => {
  function rig(unit: Result<typeof UNIT> = ok(UNIT)) {
    const state: { paths: Result<CgroupPaths> } = { paths: ok(['/system.slice/web.service']) };
    return {
      state,
      attestor: createSystemdAttestor(
        async () => unit,
        () => state.paths,
      ),
    };
  }

  test("gives SPIRE's selectors", async () => {
    assert.deepEqual(assertValue(await rig().attestor.attest(PEER)), [
      'systemd:id:web.service',
      'systemd:fragment_path:/etc/systemd/system/web.service',
    ]);
  });

  test('gives a unit without a file no path', async () => {
    const { attestor } = rig(ok({ id: 'session-2.scope', fragmentPath: '' }));
    assert.deepEqual(assertValue(await attestor.attest(PEER)), ['systemd:id:session-2.scope']);
  });

  test('refuses a process of no unit, and one whose cgroup is not told', async () => {
    assertRefused(
      await rig(fail('AGENT_UNIT_UNKNOWN', 'planted')).attestor.attest(PEER),
      'AGENT_UNIT_UNKNOWN',
    );
    const { state, attestor } = rig();
    state.paths = fail('AGENT_PROCESS_UNREADABLE', 'planted');
    assertRefused(await attestor.attest(PEER), 'AGENT_PROCESS_UNREADABLE');
  });

  test('holds until the process is in another cgroup', async () => {
    const { state, attestor } = rig();
    assert.equal(attestor.holds(PEER, []), false);
    assertValue(await attestor.attest(PEER));
    assert.equal(attestor.holds(PEER, []), true);
    state.paths = ok(['/system.slice/other.service']);
    assert.equal(attestor.holds(PEER, []), false);
  });
});

/** A fake of busctl: answers each call with the next text, and notes what it was asked. */
function fakeBusctl(context: TestContext, answers: readonly [text: string, code: number][]) {
  const folder = temporaryFolder(context);
  const busctlPath = join(folder, 'busctl');
  const asked = join(folder, 'asked');
  answers.forEach(([text, code], n) => {
    writeFileSync(join(folder, `answer-${n}`), text);
    writeFileSync(join(folder, `code-${n}`), `${code}`);
  });
  writeFileSync(asked, '');
  writeFileSync(
    busctlPath,
    `#!/bin/sh
d=$(/usr/bin/dirname "$0"); n=$(/usr/bin/wc -l <"$d/asked"); echo "$*" >>"$d/asked"
/bin/cat "$d/answer-$n"; read -r code <"$d/code-$n"; exit "$code"
`,
  );
  chmodSync(busctlPath, 0o755);
  return { busctlPath, asked: () => readFileSync(asked, 'utf8').trim().split('\n') };
}

describe('systemd by busctl', () => {
  const PATH = '/org/freedesktop/systemd1/unit/web_2eservice';
  const unitPath = `{"type":"o","data":["${PATH}"]}\n`;
  const facts = '{"type":"s","data":"web.service"}\n{"type":"s","data":"/etc/web.service"}\n';

  test('is asked for the unit of the pid, then for its name and file', async (context) => {
    const { busctlPath, asked } = fakeBusctl(context, [
      [unitPath, 0],
      [facts, 0],
    ]);
    const unit = assertValue(await askSystemd({ busctlPath, busAddress: 'unix:path=/x' })(42));
    assert.deepEqual(unit, { id: 'web.service', fragmentPath: '/etc/web.service' });
    const [first, second] = asked();
    assert.match(first ?? '', /^--address=unix:path=\/x .*Manager GetUnitByPID u 42$/);
    assert.match(second ?? '', new RegExp(`get-property .* ${PATH} .*Unit Id FragmentPath$`));
  });

  test('is refused where it knows no unit, or is not there', async (context) => {
    const { busctlPath } = fakeBusctl(context, [['', 1]]);
    assertRefused(await askSystemd({ busctlPath })(42), 'AGENT_UNIT_UNKNOWN');
    assertRefused(
      await askSystemd({ busctlPath: `${busctlPath}-absent` })(42),
      'AGENT_UNIT_UNKNOWN',
    );
  });

  for (const text of [
    '',
    '{}',
    '[]',
    '{"type":"o","data":[]}',
    '{"type":"o","data":["/org/other/unit/x"]}',
    '{"type":"o","data":["/org/freedesktop/systemd1/unit/a b"]}',
    `{"type":"o","data":["${PATH}","${PATH}"]}`,
  ]) {
    test(`is refused with the unit ${JSON.stringify(text)}`, () => {
      assertRefused(parseUnitPath(text), 'AGENT_UNIT_UNKNOWN');
    });
  }

  for (const text of [
    '',
    facts.split('\n')[0] ?? '',
    `${facts}${facts}`,
    '{"data":""}\n{"data":"x"}',
    'a\nb',
  ]) {
    test(`is refused with the properties ${JSON.stringify(text)}`, () => {
      assertRefused(parseUnit(text), 'AGENT_UNIT_UNKNOWN');
    });
  }
});
