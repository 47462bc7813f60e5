import assert from 'node:assert/strict';
import { test } from 'node:test';
import { id, revocation, START_SECONDS } from '../../test/support/state.ts';
import type { Revocation } from '../rules/revocation.ts';
import { Revocations } from './revocations.ts';

const agent = id('/spire/agent/a');

const ending = (serial: string, endsIn: number) =>
  revocation(serial, { notAfterSeconds: START_SECONDS + endsIn });

const serials = (of: Iterable<Revocation>): string[] => [...of].map(({ serial }) => serial);

test('finds by serial and by agent, and takes each in once', () => {
  const revocations = new Revocations();
  assert.equal(revocations.add(ending('1', 10)), agent.uri);
  assert.equal(revocations.add(ending('1', 10)), undefined);
  revocations.add(revocation('2', { agentId: id('/spire/agent/b') }));
  assert.equal(revocations.size, 2);
  assert.equal(revocations.get('2')?.serial, '2');
  assert.deepEqual(serials(revocations.ofAgent(agent.uri)), ['1']);
});

test('lets go of what has ended, and of nothing else', () => {
  const revocations = new Revocations();
  for (const [serial, endsIn] of [
    ['9', 9],
    ['10', 10],
    ['11', 11],
  ] as const) {
    revocations.add(ending(serial, endsIn));
  }
  assert.equal(revocations.dropEnded(START_SECONDS + 10), true);
  assert.deepEqual(serials(revocations.all()), ['11']);
  assert.deepEqual(serials(revocations.ofAgent(agent.uri)), ['11']);
  assert.equal(revocations.dropEnded(START_SECONDS + 10), false);
});
