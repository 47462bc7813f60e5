import { fail, ok, type Result } from '../../base/result.ts';
import {
  BatchDeleteEntryResponse,
  EntryClient,
} from '../../gen/spire/api/server/entry/v1/entry.ts';
import { parseIds } from '../entry-data.ts';
import { readData } from '../files.ts';
import { batchResult, itemError } from '../remote.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { safe, safeJson } from '../text.ts';

/** `signet entry delete`. */
export const entryDelete: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: [
    { name: 'entry-id', spire: 'entryID', value: 'id', help: 'ID of the entry' },
    {
      name: 'file',
      value: 'file',
      help: 'JSON with {"ids": [...]}; "-" is standard input',
    },
  ],
  refused: { instance: 'name the socket with --server-socket' },
  examples: ['signet entry delete --entry-id 9f7c…', 'signet entry delete --file ids.json'],
  run: async (input, io) => {
    const ids = await idsOf(input, io);
    return ids.ok ? remove([...ids.value], input, io) : ids;
  },
};

async function idsOf(input: Input, io: CliIo): Promise<Result<readonly string[]>> {
  const id = input.text('entry-id');
  const path = input.text('file');
  if ((id === undefined) === (path === undefined)) {
    return fail('CLI_USAGE', 'needs one of --entry-id and --file');
  }
  if (id !== undefined) return ok([id]);
  const bytes = await readData(path ?? '', io);
  return bytes.ok ? parseIds(bytes.value) : bytes;
}

function remove(ids: string[], input: Input, io: CliIo): Promise<Result<void>> {
  return withServer(input, io, async (server) => {
    const client = server.client(EntryClient);
    const answer = await server.call<BatchDeleteEntryResponse>('deleting entries', (m, o, done) =>
      client.batchDeleteEntry({ ids }, m, o, done),
    );
    if (!answer.ok) return answer;
    const json = input.text('output') === 'json';
    if (json) io.out(`${safeJson(BatchDeleteEntryResponse.toJSON(answer.value))}\n`);
    const errors = ids.flatMap((id, i) => {
      const error = itemError(`deleting ${id}`, answer.value.results[i]?.status);
      if (error !== undefined) return [error];
      if (!json) io.out(`Deleted entry ${safe(id)}\n`);
      return [];
    });
    return errors.length === 0 ? ok(undefined) : batchResult(errors, ids.length);
  });
}
