import type { Result } from '../base/result.ts';

/** A line of the audit: a record of the ledger, or a note that records could not be had. */
export interface AuditLine {
  /** Names the ledger. */
  readonly origin: string;
  /** Index of the record, or of the first that could not be had. Lines come in its order. */
  readonly index: number;
  /** Unix milliseconds at which the batch of the record was written. */
  readonly timeMs: number;
  /** JSON on one line, without the line end. */
  readonly text: string;
}

/**
 * Where lines go. One delivery is under way at a time; after one that failed the same lines come
 * again, so the other side may get lines twice, and tells them apart by origin and index.
 */
export interface AuditSink {
  /**
   * Answers when the other side keeps the lines as safely as it can. Fails with AUDIT_SINK_UNAVAILABLE,
   * AUDIT_SINK_THROTTLED (its detail `retryAfterMs` is the pause that was asked for),
   * AUDIT_SINK_REFUSED, DISK_FULL or FILE_UNWRITABLE. The signal ends it early.
   */
  deliver(lines: readonly AuditLine[], signal: AbortSignal): Promise<Result<void>>;
  /** Lets go of a file that may have been renamed; the next delivery opens it by its path again. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

/** A record as a line. What the ledger holds is JSON on one line and goes in as it is. */
export function recordLine(origin: string, index: number, record: Uint8Array): string {
  const text = Buffer.from(record).toString('utf8');
  return `{"origin":${JSON.stringify(origin)},"index":${index},"record":${text}}`;
}

/** A line in place of records that could not be had. */
export function droppedLine(origin: string, index: number, count: number): string {
  return JSON.stringify({ origin, index, dropped: count });
}
