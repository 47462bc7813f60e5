import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { AGENT_TEST_DOMAIN } from '../../test/support/agent-ca.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { encodeState, openState, STATE_FILE } from './state.ts';

const SVID = { chain: ['AAAA', 'BBBB'], privateKey: 'CCCC', reattestable: false, renewAtMs: 5 };

test('what was saved is found again, in a file that is 0600', async (context) => {
  const dir = testFolder(context);
  const state = assertValue(await openState(dir, AGENT_TEST_DOMAIN));
  assert.deepEqual(state.current, { trustDomain: 'example.org' });
  await Promise.all([state.save({ svid: SVID }), state.save({ bundle: 'DDDD' })]);
  assertValue(await state.save({ pendingKey: 'EEEE' }));
  assertValue(await state.save({ pendingKey: undefined }));
  assert.equal(statSync(join(dir, STATE_FILE)).mode & 0o777, 0o600);
  const again = assertValue(await openState(dir, AGENT_TEST_DOMAIN));
  assert.deepEqual(again.current, { trustDomain: 'example.org', svid: SVID, bundle: 'DDDD' });
});

test('what was asked to be saved is on disk when the state has settled', async (context) => {
  const dir = testFolder(context);
  const state = assertValue(await openState(dir, AGENT_TEST_DOMAIN));
  void state.save({ bundle: 'AAAA' });
  void state.save({ svid: SVID });
  await state.settled();
  const again = assertValue(await openState(dir, AGENT_TEST_DOMAIN));
  assert.deepEqual(again.current.svid, SVID);
});

test('A12 a state with any bit changed, cut short or added to is never used', async (context) => {
  const dir = testFolder(context);
  const whole = Buffer.from(encodeState({ trustDomain: 'example.org', svid: SVID }));
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(whole);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const damaged: Buffer[] = [
    Buffer.alloc(0),
    whole.subarray(0, whole.length - 1),
    whole.subarray(0, whole.length / 2),
    Buffer.concat([whole, Buffer.from(' ')]),
    Buffer.from('{}'),
    ...Array.from({ length: whole.length }, (_, at) => flipped(at)),
  ];
  for (const [index, bytes] of damaged.entries()) {
    writeFileSync(join(dir, STATE_FILE), bytes);
    assertRefused(await openState(dir, AGENT_TEST_DOMAIN), 'AGENT_STATE_CORRUPT');
    assert.ok(true, String(index));
  }
  writeFileSync(join(dir, STATE_FILE), whole);
  assertValue(await openState(dir, AGENT_TEST_DOMAIN));
});

test('the state of another trust domain is refused', async (context) => {
  const dir = testFolder(context);
  const state = assertValue(await openState(dir, AGENT_TEST_DOMAIN));
  assertValue(await state.save({ bundle: 'AAAA' }));
  const other = assertValue(parseTrustDomain('other.org'));
  assertRefused(await openState(dir, other), 'AGENT_STATE_FOREIGN');
});

test('a wiped state leaves no key behind, and can be wiped again', async (context) => {
  const dir = testFolder(context);
  const state = assertValue(await openState(dir, AGENT_TEST_DOMAIN));
  assertValue(await state.save({ svid: SVID }));
  assertValue(await state.wipe());
  assertValue(await state.wipe());
  assert.throws(() => readFileSync(join(dir, STATE_FILE)));
  assert.deepEqual(state.current, { trustDomain: 'example.org' });
});
