import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ManualClock } from '../../base/clock.ts';
import { unwrap } from '../../base/result.ts';
import { cachedKeys } from './cached-keys.ts';

it('a JWT key waits for as long as others may keep the keys before it, and no CA does', async () => {
  const clock = new ManualClock(1_000_000);
  const readers = cachedKeys(300, clock);
  const missing = async (kind: 'x509' | 'jwt', publishedAtMs: number): Promise<number> =>
    unwrap(await readers.missing({ kind, sequence: 1n, publishedAtMs })).length;
  assert.equal(await missing('jwt', 1_000_000), 1);
  assert.equal(await missing('jwt', 700_001), 1);
  assert.equal(await missing('jwt', 700_000), 0);
  assert.equal(await missing('x509', 1_000_000), 0);
});
