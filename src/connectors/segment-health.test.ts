import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type SegmentHealth, TargetHealth } from '../gen/signet/connector/v1/connector.ts';
import { MAX_TARGETS, SegmentHealthTable } from './segment-health.ts';

const UP = TargetHealth.TARGET_HEALTH_UP;
const DOWN = TargetHealth.TARGET_HEALTH_DOWN;
const GONE = TargetHealth.TARGET_HEALTH_UNSPECIFIED;

function says(segmentId: string, target: string, health: TargetHealth, error = ''): SegmentHealth {
  return { segmentId, target, health, latencyMs: 1, error };
}

const any = () => true;

describe('SegmentHealthTable', () => {
  it('keeps the last word on each target', () => {
    const table = new SegmentHealthTable({ used: 0 });
    table.apply(
      [says('a', 'h:1', UP), says('a', 'h:2', DOWN, 'refused'), says('b', 'h:1', UP)],
      any,
    );
    assert.deepEqual([...table.downSegments()], ['a']);
    table.apply([says('a', 'h:2', UP), says('b', 'h:1', GONE)], any);
    assert.deepEqual([...table.downSegments()], []);
    assert.equal(table.size, 2);
  });

  it('keeps nothing of segments that are not served', () => {
    const budget = { used: 0 };
    const table = new SegmentHealthTable(budget);
    table.apply([says('a', 'h:1', UP), says('x', 'h:1', DOWN)], (id) => id === 'a');
    assert.deepEqual([table.size, table.dropped, budget.used], [1, 1, 1]);
    table.keep(() => false);
    assert.deepEqual([table.size, budget.used, [...table.all()].length], [0, 0, 0]);
  });

  it('keeps 4,096 targets of one connector, and still takes changes of those', () => {
    const budget = { used: 0 };
    const table = new SegmentHealthTable(budget);
    const many = Array.from({ length: MAX_TARGETS }, (_, at) => says('a', `h:${at}`, UP));
    table.apply([...many, says('a', 'h:one-more', DOWN), says('a', 'h:0', DOWN)], any);
    assert.deepEqual([table.size, table.dropped, budget.used], [MAX_TARGETS, 1, MAX_TARGETS]);
    assert.deepEqual([...table.downSegments()], ['a']);
    table.close();
    assert.equal(budget.used, 0);
  });

  it('keeps no more than all connectors together may have', () => {
    const table = new SegmentHealthTable({ used: 999_999 });
    table.apply([says('a', 'h:1', UP), says('a', 'h:2', UP)], any);
    assert.deepEqual([table.size, table.dropped], [1, 1]);
  });

  it('keeps neither long names nor long errors', () => {
    const table = new SegmentHealthTable({ used: 0 });
    const long = says('a', 'h:1', DOWN, `${'é'.repeat(255)}\u{1f600}`);
    table.apply([long, says('a', 'h'.repeat(263), UP)], any);
    const [kept, ...others] = table.all();
    assert.equal(others.length, 0);
    assert.equal(kept?.error.length, 256);
    assert.ok(kept?.error.isWellFormed());
  });
});
