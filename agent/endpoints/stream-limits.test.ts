import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from '../../src/rpc/service.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { createStreamLimits } from './stream-limits.ts';

function connection(id: string, uid: number): Connection {
  return {
    id,
    remoteAddress: 'unix',
    peer: { kind: 'process', process: { pid: 1, uid, gid: uid, isAlive: () => true } },
    memo: new Map(),
    close: () => {},
    onClose: () => {},
    holdOpen: () => () => {},
  };
}

test('D5 each limit refuses the stream after the last one allowed, and says which it is', () => {
  const cases: readonly [string, (index: number) => Connection, string][] = [
    ['connection', () => connection('one', 1), 'at most 3 on one connection'],
    ['uid', (index) => connection(`c${index}`, 7), 'at most 4 of uid 7'],
    ['all', (index) => connection(`c${index}`, index), 'at most 5 in all'],
  ];
  for (const [name, next, message] of cases) {
    const limits = createStreamLimits({ streamsPerConnection: 3, streamsPerUid: 4, streams: 5 });
    const allowed = Number(/\d/.exec(message)?.[0]);
    for (let index = 0; index < allowed; index++) assertValue(limits.enter(next(index)));
    const refused = limits.enter(next(allowed));
    assertRefused(refused, 'WORKLOAD_LIMIT');
    assert.ok(!refused.ok && refused.error.message.includes(message), name);
    assert.ok(!refused.ok && refused.error.statusName === 'Unavailable');
  }
});

test('a place that is given back, twice even, is one place', () => {
  const limits = createStreamLimits({ streamsPerConnection: 1, streamsPerUid: 1, streams: 1 });
  const one = connection('one', 1);
  const leave = assertValue(limits.enter(one));
  assertRefused(limits.enter(one), 'WORKLOAD_LIMIT');
  leave();
  leave();
  assert.equal(limits.open, 0);
  assertValue(limits.enter(one));
  assertRefused(limits.enter(one), 'WORKLOAD_LIMIT');
});
