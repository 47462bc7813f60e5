import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import {
  DIST,
  descendants,
  isGone,
  leftInDist,
  type RunningDemo,
  startDemo,
  untilSaid,
} from '../support/demo.ts';
import { eventually, SIGNET } from '../support/dev.ts';
import { run } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');

// In one file, so that they run one after the other: each looks at what is left beside the bundle.
before(() => run(SIGNET, ['version']));

/** Starts the demo and waits until its services wait. */
async function startServices(context: TestContext): Promise<RunningDemo> {
  const demo = startDemo(context);
  await untilSaid(demo, /billing \(pid \d+\) waits; the agent says "no identity issued"/);
  return demo;
}

test('an interrupted demo ends with 1 and leaves nothing behind', linux, async (context) => {
  const before = leftInDist();
  const { child, folder, err, closed } = await startServices(context);
  const family = descendants(child.pid ?? 0);
  // dev, server, agent, web, billing, stranger.
  assert.equal(family.size, 6, [...family.values()].join('\n'));
  child.kill('SIGINT');
  await closed;
  assert.equal(child.exitCode, 1);
  assert.match(err(), /interrupted\n {2}code: DEMO_FAILED/);
  for (const [pid, command] of family) assert.ok(isGone(pid), command);
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(leftInDist(), before);
});

test('after kill -9 of the demo all its processes end', linux, async (context) => {
  const before = leftInDist();
  context.after(() => {
    // Nobody was left to remove the copies of the binary.
    const left = leftInDist().filter((name) => !before.includes(name));
    for (const name of left) rmSync(join(DIST, name), { recursive: true });
  });
  const { child } = await startServices(context);
  const family = descendants(child.pid ?? 0);
  child.kill('SIGKILL');
  await eventually(() => [...family.keys()].every(isGone), 30_000);
});

test(
  'a demo whose reader goes away stops what it started and leaves nothing behind',
  linux,
  async (context) => {
    const before = leftInDist();
    const { child, folder, closed } = await startServices(context);
    const family = descendants(child.pid ?? 0);
    child.stdout?.destroy();
    await closed;
    assert.notEqual(child.exitCode, 0);
    for (const [pid, command] of family) assert.ok(isGone(pid), command);
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(leftInDist(), before);
  },
);

describe('signet demo --dpu', linux, () => {
  test('tells its story to the end, on 80 columns, and leaves nothing behind', async (context) => {
    const before = leftInDist();
    const { child, folder, out, err, closed } = startDemo(context, '--dpu');
    await closed;
    assert.equal(child.exitCode, 0, out() + err());
    assert.equal(err(), '');
    for (const said of [
      /DPU DEMO00000001 is commissioned\n/,
      /spiffe:\/\/demo\.example\/spire\/agent\/dpu\/…\n {8}…[0-9a-f]{64}\n {6}assurance dual/,
      /dpu:binding:dual\n/,
      /dpu:rim:demo-1\.0\n/,
      /agent\/dpu_host\/…\n {8}…[0-9a-f]{64}\n {8}…\/[0-9a-f-]{36}\n/,
      /dpu_host:host:serial:DEMOHOST0001\n/,
      /web has its X\.509-SVID, /,
      /MEASUREMENT_MISMATCH\n/,
      /web's stream ended [\d.]+ m?s after the verdict:\n {8}PermissionDenied, "no identity issued"/,
      /is commissioned, and has to attest in full/,
      /web has its identity again/,
      /Everything worked, in /,
    ]) {
      assert.match(out(), said);
    }
    assert.deepEqual(
      out()
        .split('\n')
        .filter((line) => line.length > 80),
      [],
    );
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(leftInDist(), before);
  });

  test('interrupted, it ends with 1, leaves nothing behind and has shown no password', async (context) => {
    const before = leftInDist();
    const demo = startDemo(context, '--dpu');
    await untilSaid(demo, /web has its X\.509-SVID/);
    const { child, folder, out, err, closed } = demo;
    const [name = ''] = readdirSync(folder);
    const read = (file: string): string => readFileSync(join(folder, name, file), 'utf8');
    const password = read('bmc-password');
    assert.equal(password.length, 24);
    const files = ['server.log', 'card.log', 'host.log', 'server.yaml', 'card.yaml', 'host.yaml'];
    const texts = files.map(read);
    const family = descendants(child.pid ?? 0);
    // Card, server, the agents of card and host, web.
    assert.equal(family.size, 5, [...family.values()].join('\n'));
    child.kill('SIGINT');
    await closed;
    assert.equal(child.exitCode, 1);
    assert.match(err(), /interrupted\n {2}code: DEMO_FAILED/);
    for (const text of [...texts, out(), err(), ...family.values()]) {
      assert.ok(!text.includes(password));
    }
    for (const [pid, command] of family) assert.ok(isGone(pid), command);
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(leftInDist(), before);
  });
});
