import type { Result } from '../base/result.ts';
import type { Entry } from '../gen/spire/api/types/entry.ts';
import type { Status } from '../gen/spire/api/types/status.ts';
import { formatEntry } from './entry-view.ts';
import { batchResult, itemError } from './remote.ts';
import type { CliIo, Input } from './spec.ts';

/** What a server answers for one entry of a batch. */
interface EntryResult {
  readonly status: Status | undefined;
  readonly entry: Entry | undefined;
}

/**
 * Shows people the entries of a batch answer, and answers with its refusals as one.
 * @param asked What was asked of each entry, for messages: `creating spiffe://example.org/web`.
 */
export function reportEntries(
  asked: readonly string[],
  results: readonly EntryResult[],
  input: Input,
  io: CliIo,
): Result<void> {
  const errors = asked.flatMap((what, i) => itemError(what, results[i]?.status) ?? []);
  if (input.text('output') !== 'json') {
    const done = results.flatMap(({ status, entry }) =>
      status?.code === 0 && entry !== undefined ? formatEntry(entry, io) : [],
    );
    io.out(done.join('\n'));
  }
  return batchResult(errors, asked.length);
}
