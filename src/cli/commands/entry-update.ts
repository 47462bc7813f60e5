import { fail, ok, type Result } from '../../base/result.ts';
import {
  BatchUpdateEntryResponse,
  EntryClient,
} from '../../gen/spire/api/server/entry/v1/entry.ts';
import type { Entry, EntryMask } from '../../gen/spire/api/types/entry.ts';
import { parseEntries } from '../entry-data.ts';
import { checkComplete, ENTRY_FLAGS, entryFromFlags } from '../entry-flags.ts';
import { reportEntries } from '../entry-results.ts';
import { readData } from '../files.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { safeJson } from '../text.ts';

interface Update {
  readonly entries: Entry[];
  /** Undefined replaces the entries as a whole. */
  readonly inputMask: EntryMask | undefined;
}

/** `signet entry update`. */
export const entryUpdate: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'With SPIFFE ID, parent and selectors given (or with --data), the entry is replaced as a whole, ' +
    'as SPIRE does it. With less, only what is given changes; switches are only turned on that way.',
  flags: ENTRY_FLAGS,
  refused: { instance: 'name the socket with --server-socket' },
  examples: [
    'signet entry update --entry-id 9f7c… --hint internal',
    'signet entry update --data entries.json',
  ],
  run: async (input, io) => {
    const update = await readUpdate(input, io);
    return update.ok ? send(update.value, input, io) : update;
  },
};

async function readUpdate(input: Input, io: CliIo): Promise<Result<Update>> {
  const path = input.text('data');
  if (path !== undefined) {
    const bytes = await readData(path, io);
    if (!bytes.ok) return bytes;
    const entries = parseEntries(bytes.value);
    if (!entries.ok) return entries;
    const nameless = entries.value.findIndex(({ id }) => id === '');
    if (nameless !== -1) return fail('CLI_DATA_INVALID', `entries[${nameless}]: needs an id`);
    return ok({ entries: [...entries.value], inputMask: undefined });
  }
  const given = entryFromFlags(input);
  if (!given.ok) return given;
  if (given.value.entry.id === '') return fail('CLI_USAGE', 'needs --entry-id (or --data)');
  const whole = checkComplete(given.value).ok;
  if (!whole && !Object.values(given.value.mask).includes(true)) {
    return fail('CLI_USAGE', 'names nothing that is to change');
  }
  return ok({ entries: [given.value.entry], inputMask: whole ? undefined : given.value.mask });
}

function send({ entries, inputMask }: Update, input: Input, io: CliIo): Promise<Result<void>> {
  return withServer(input, io, async (server) => {
    const client = server.client(EntryClient);
    const answer = await server.call<BatchUpdateEntryResponse>(
      'updating entries',
      (metadata, options, done) =>
        client.batchUpdateEntry(
          { entries, inputMask, outputMask: undefined },
          metadata,
          options,
          done,
        ),
    );
    if (!answer.ok) return answer;
    if (input.text('output') === 'json') {
      io.out(`${safeJson(BatchUpdateEntryResponse.toJSON(answer.value))}\n`);
    }
    const asked = entries.map(({ id }) => `updating ${id}`);
    return reportEntries(asked, answer.value.results, input, io);
  });
}
