import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { CONNECTOR_STATE_FILE, openConnectorState } from './state.ts';

const OWNER = { trustDomain: 'example.org', group: 'edge' };

test('what was saved is there again, for its owner alone to read', async (context) => {
  const folder = testFolder(context);
  const state = assertValue(await openConnectorState(folder, OWNER));
  assertValue(await state.save({ connectorId: 'c1', recoveryCount: '18446744073709551615' }));
  const again = assertValue(await openConnectorState(folder, OWNER));
  assert.equal(again.current.connectorId, 'c1');
  assert.equal(again.current.recoveryCount, '18446744073709551615');
  assert.equal(statSync(join(folder, CONNECTOR_STATE_FILE)).mode & 0o777, 0o600);
});

test('that of another group or trust domain is refused', async (context) => {
  const folder = testFolder(context);
  const state = assertValue(await openConnectorState(folder, OWNER));
  assertValue(await state.save({ connectorId: 'c1' }));
  for (const other of [
    { ...OWNER, group: 'db' },
    { ...OWNER, trustDomain: 'example.net' },
  ]) {
    assertRefused(await openConnectorState(folder, other), 'COMPANION_STATE_FOREIGN');
  }
});

test('one byte that changed, or that is missing, is damage', async (context) => {
  const folder = testFolder(context);
  const path = join(folder, CONNECTOR_STATE_FILE);
  const state = assertValue(await openConnectorState(folder, OWNER));
  assertValue(await state.save({ connectorId: 'c1' }));
  const whole = readFileSync(path);
  for (const at of [0, 30, whole.indexOf('\n') + 5, whole.length - 2]) {
    const broken = Buffer.from(whole);
    broken[at] = (broken[at] ?? 0) ^ 1;
    writeFileSync(path, broken);
    assertRefused(await openConnectorState(folder, OWNER), 'COMPANION_STATE_CORRUPT');
  }
  for (const length of [0, 1, whole.length - 1]) {
    writeFileSync(path, whole.subarray(0, length));
    assertRefused(await openConnectorState(folder, OWNER), 'COMPANION_STATE_CORRUPT');
  }
});

test('what could not be saved is not held, and what would not be read again is not saved', async (context) => {
  const folder = testFolder(context);
  const state = assertValue(await openConnectorState(folder, OWNER));
  assertValue(await state.save({ connectorId: 'c1', svidVersion: 'v1' }));
  const bundles = 'A'.repeat(16 * 1024 * 1024);
  assertRefused(await state.save({ bundles, svidVersion: 'v2' }), 'FILE_UNWRITABLE');
  assert.deepEqual([state.current.bundles, state.current.svidVersion], [undefined, 'v1']);
  // What was asked for meanwhile stays.
  const large = state.save({ bundles, svidVersion: 'v2' });
  assertValue(await state.save({ bundles: 'AAAA', connectorId: 'c2' }));
  assertRefused(await large, 'FILE_UNWRITABLE');
  assert.equal(state.current.bundles, 'AAAA');
  const again = assertValue(await openConnectorState(folder, OWNER));
  assert.deepEqual([again.current.connectorId, again.current.bundles], ['c2', 'AAAA']);
});

test('wiped it is gone from the disk', async (context) => {
  const folder = testFolder(context);
  const state = assertValue(await openConnectorState(folder, OWNER));
  assertValue(await state.save({ connectorId: 'c1', enrolKey: 'AAAA' }));
  assertValue(await state.wipe());
  assert.equal(existsSync(join(folder, CONNECTOR_STATE_FILE)), false);
  assert.equal(state.current.enrolKey, undefined);
});
