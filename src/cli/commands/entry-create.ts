import type { Result } from '../../base/result.ts';
import {
  BatchCreateEntryResponse,
  EntryClient,
} from '../../gen/spire/api/server/entry/v1/entry.ts';
import type { Entry } from '../../gen/spire/api/types/entry.ts';
import { parseEntries } from '../entry-data.ts';
import { checkComplete, ENTRY_FLAGS, entryFromFlags } from '../entry-flags.ts';
import { reportEntries } from '../entry-results.ts';
import { readData } from '../files.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { safeJson } from '../text.ts';
import { wireIdText } from '../wire.ts';

/** `signet entry create`. */
export const entryCreate: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'An entry says: processes that show all these selectors, on the node of this parent, get this SPIFFE ID.',
  flags: ENTRY_FLAGS,
  refused: { instance: 'name the socket with --server-socket' },
  examples: [
    'signet entry create --spiffe-id spiffe://example.org/web \\\n      --parent-id spiffe://example.org/spire/agent/join_token/TOKEN --selector unix:uid:1000',
    'signet entry create --data entries.json -o json',
  ],
  run: (input, io) => withEntries(input, io, (entries) => create(entries, input, io)),
};

async function withEntries(
  input: Input,
  io: CliIo,
  work: (entries: Entry[]) => Promise<Result<void>>,
): Promise<Result<void>> {
  const path = input.text('data');
  if (path === undefined) {
    const entry = entryFromFlags(input);
    if (!entry.ok) return entry;
    const complete = checkComplete(entry.value);
    return complete.ok ? work([entry.value.entry]) : complete;
  }
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  const entries = parseEntries(bytes.value);
  return entries.ok ? work([...entries.value]) : entries;
}

function create(entries: Entry[], input: Input, io: CliIo): Promise<Result<void>> {
  return withServer(input, io, async (server) => {
    const client = server.client(EntryClient);
    const answer = await server.call<BatchCreateEntryResponse>(
      'creating entries',
      (metadata, options, done) =>
        client.batchCreateEntry({ entries, outputMask: undefined }, metadata, options, done),
    );
    if (!answer.ok) return answer;
    if (input.text('output') === 'json') {
      io.out(`${safeJson(BatchCreateEntryResponse.toJSON(answer.value))}\n`);
    }
    const asked = entries.map(({ spiffeId }) => `creating ${wireIdText(spiffeId)}`);
    return reportEntries(asked, answer.value.results, input, io);
  });
}
