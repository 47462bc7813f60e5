import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { fail, ok, type Result, unwrap } from '../../../src/base/result.ts';
import { SILENT } from '../../../test/support/issuance.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { startProvisioning } from './provisioning.ts';
import { type KeyPlace, placeProvisioningKey } from './provisioning-key.ts';
import { type ZpaSettings, zpaWatcherSchema } from './settings.ts';

function placeIn(stateDir: string): KeyPlace {
  const path = join(stateDir, 'provision_key');
  const parsed = zpaWatcherSchema.parse({ logPath: '/log', provisioningKey: { path, stateDir } });
  // Both are given.
  return (parsed as ZpaSettings).provisioningKey as KeyPlace;
}

/** A folder of state, and a server that counts how often it is asked. */
function world(context: TestContext) {
  const dir = testFolder(context);
  const asked = { count: 0, answer: ok('3|api.example|key') as Result<string> };
  const getKey = async () => {
    asked.count += 1;
    return asked.answer;
  };
  return { dir, place: placeIn(dir), asked, parts: { getKey, log: SILENT } };
}

test('a fresh App Connector gets the key in a file of its owner alone', async (context) => {
  const { place, parts } = world(context);
  assert.equal(unwrap(await placeProvisioningKey(place, parts)), 'placed');
  assert.equal(readFileSync(place.path, 'utf8'), '3|api.example|key\n');
  assert.equal(statSync(place.path).mode & 0o777, 0o600);
});

test('a restart before the enrolment asks for no other', async (context) => {
  const { place, parts, asked } = world(context);
  unwrap(await placeProvisioningKey(place, parts));
  assert.equal(unwrap(await placeProvisioningKey(place, parts)), 'there');
  assert.equal(asked.count, 1);
});

test('an App Connector with state is asked for no key, and what is there stays', async (context) => {
  const { dir, place, parts, asked } = world(context);
  unwrap(await placeProvisioningKey(place, parts));
  writeFileSync(join(dir, 'instance_id.crypt'), 'x');
  assert.equal(unwrap(await placeProvisioningKey(place, parts)), 'begun');
  assert.ok(existsSync(place.path));
  assert.equal(asked.count, 1);
});

test('software of the vendor and an empty key are no state', async (context) => {
  const { dir, place, parts, asked } = world(context);
  for (const name of ['image.bin', 'version', 'metadata']) writeFileSync(join(dir, name), 'x');
  writeFileSync(place.path, '\n');
  assert.equal(unwrap(await placeProvisioningKey(place, parts)), 'placed');
  assert.equal(asked.count, 1);
});

test('the key is taken away once the App Connector is seen to have enrolled, not before', async (context) => {
  const { place, parts } = world(context);
  const clock = new ManualClock(0);
  const watcher = { enrolled: false };
  const provisioning = startProvisioning(place, {
    ...parts,
    watcher,
    clock,
    random: systemRandom,
  });
  context.after(() => provisioning.close());
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) {
      clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await until(() => existsSync(place.path));
  for (let round = 0; round < 20; round++) {
    clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(existsSync(place.path));
  watcher.enrolled = true;
  await until(() => !existsSync(place.path));
});

test('a server that refuses is asked again', async (context) => {
  const { place, parts, asked } = world(context);
  const clock = new ManualClock(0);
  asked.answer = fail('VENDOR_KEY_EXHAUSTED', 'used up');
  const watcher = { enrolled: false };
  const provisioning = startProvisioning(place, { ...parts, watcher, clock, random: systemRandom });
  context.after(() => provisioning.close());
  const asking = async (count: number): Promise<void> => {
    while (asked.count < count) {
      clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await asking(3);
  assert.ok(!existsSync(place.path));
  asked.answer = ok('3|api.example|key');
  await asking(4);
  while (!existsSync(place.path)) await new Promise((resolve) => setImmediate(resolve));
});
