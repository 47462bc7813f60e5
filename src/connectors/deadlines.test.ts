import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { Deadlines, type Due } from './deadlines.ts';

/** Something due, which notes when it was looked at and asks for these delays next. */
function item(clock: ManualClock, next: number): Due & { readonly seenMs: number[] } {
  const seenMs: number[] = [];
  return {
    slot: 0,
    seenMs,
    due: () => {
      seenMs.push(clock.monotonicMs());
      return next;
    },
  };
}

function rig() {
  const clock = new ManualClock(0);
  let ticks = 0;
  const deadlines = new Deadlines(clock, 500, () => {
    ticks++;
  });
  return { clock, deadlines, ticks: () => ticks };
}

describe('Deadlines', () => {
  it('looks at what is due, not before its time and at most a slot later', () => {
    const { clock, deadlines } = rig();
    const one = item(clock, 60_000);
    deadlines.set(one, 1_250);
    clock.advance(1_249);
    assert.deepEqual(one.seenMs, []);
    clock.advance(501);
    assert.deepEqual(one.seenMs, [1_500]);
    clock.advance(59_749);
    assert.equal(one.seenMs.length, 1);
    clock.advance(1);
    assert.deepEqual(one.seenMs, [1_500, 61_500]);
  });

  it('a deadline that is set again replaces the one before', () => {
    const { clock, deadlines } = rig();
    const one = item(clock, 60_000);
    deadlines.set(one, 1_000);
    deadlines.set(one, 3_000);
    clock.advance(2_900);
    assert.deepEqual(one.seenMs, []);
    clock.advance(100);
    assert.equal(one.seenMs.length, 1);
  });

  it('what is due far ahead is looked at on the way and put back', () => {
    const { clock, deadlines } = rig();
    const one = item(clock, 3_600_000);
    deadlines.set(one, 3_600_000);
    clock.advance(3_600_000);
    assert.equal(one.seenMs.length, 30);
  });

  it('what was taken out is not looked at, and closing ends all', () => {
    const { clock, deadlines, ticks } = rig();
    const [gone, closed] = [item(clock, 500), item(clock, 500)];
    deadlines.set(gone, 500);
    deadlines.set(closed, 500);
    deadlines.delete(gone);
    clock.advance(1_000);
    deadlines.close();
    clock.advance(5_000);
    assert.equal(gone.seenMs.length, 0);
    assert.equal(closed.seenMs.length, 2);
    assert.equal(ticks(), 2);
  });

  it('one that takes itself out while it is looked at stays out', () => {
    const { clock, deadlines } = rig();
    let seen = 0;
    const one: Due = {
      slot: 0,
      due: () => {
        seen++;
        return Number.POSITIVE_INFINITY;
      },
    };
    deadlines.set(one, 500);
    clock.advance(200_000);
    assert.equal(seen, 1);
  });
});
