import type { FollowerOptions } from '../../src/audit/follower.ts';
import type { AuditLine, AuditSink } from '../../src/audit/sink.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { createLogger } from '../../src/runtime/log.ts';

/** What a line says, read back. */
export interface ReadBack {
  readonly origin: string;
  readonly index: number;
  readonly record?: { readonly record: number };
  readonly dropped?: number;
}

/** A line of an audit, read back. */
export function readBack(text: string): ReadBack {
  // Written by the sink under test just now.
  return JSON.parse(text) as ReadBack;
}

/** A sink that keeps what it gets, and fails as it is told to. */
export class MemorySink implements AuditSink {
  readonly lines: AuditLine[] = [];
  /** Answers for the next deliveries; once it is empty they are taken. */
  readonly failures: Result<void>[] = [];
  reopened = 0;
  #waiting: { readonly count: number; readonly done: () => void }[] = [];

  async deliver(lines: readonly AuditLine[]): Promise<Result<void>> {
    const failure = this.failures.shift();
    if (failure !== undefined) return failure;
    this.lines.push(...lines);
    for (const { count, done } of this.#waiting) if (this.lines.length >= count) done();
    return ok(undefined);
  }

  /** Answers once so many lines have come. */
  async holds(count: number): Promise<void> {
    if (this.lines.length >= count) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ count, done: resolve });
    await promise;
  }

  async reopen(): Promise<void> {
    this.reopened += 1;
  }

  async close(): Promise<void> {}
}

/** Bounds of a follower in tests. */
export function followerBounds(
  clock: Clock = systemClock,
): Omit<FollowerOptions, 'sink' | 'files' | 'ledger'> {
  return {
    name: 'test',
    clock,
    random: seededRandom(3),
    log: createLogger({ level: 'silent' }),
    maxRecords: 7,
    alarmAfterMs: 60_000,
    holdForMs: 1000,
  };
}
