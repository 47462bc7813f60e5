import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerCount } from './peer-count.ts';

test('the cap of a peer and the cap of all hold, and what leaves makes room', () => {
  const count = new PeerCount(3, 2);
  assert.deepEqual(
    ['a', 'a', 'a', 'b', 'c'].map((peer) => count.add(peer)),
    [true, true, false, true, false],
  );
  count.remove('a');
  assert.equal(count.add('c'), true);
  assert.equal(count.add('a'), false);
  count.remove('b');
  assert.equal(count.add('a'), true);
});
