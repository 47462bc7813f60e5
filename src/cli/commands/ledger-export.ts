import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fail, ok, type Result } from '../../base/result.ts';
import { readTile } from '../../ledger/reader.ts';
import { searchRecords } from '../../ledger/search.ts';
import { formatTilePath, tilesOf } from '../../ledger/tile-path.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';
import { LEDGER_FLAGS, openLedgerFiles, type ReadLedger, wholeFlag } from '../ledger-files.ts';
import type { CommandSpec } from '../spec.ts';
import { safeJson } from '../text.ts';

/** `signet ledger export`. */
export const ledgerExport: CommandSpec = {
  about:
    'Prints every record that the last checkpoint covers, as one line of JSON with its index; or writes the whole log as static files in the layout of C2SP tlog-tiles.',
  flags: [
    ...LEDGER_FLAGS,
    { name: 'from', value: 'index', help: 'first record; all that are kept unless told' },
    { name: 'tiles', value: 'folder', help: 'write checkpoint, tiles and bundles there instead' },
  ],
  examples: ['signet ledger export > records.jsonl', 'signet ledger export --tiles ./log'],
  run: async (input, io) => {
    const from = wholeFlag(input, 'from');
    if (!from.ok) return from;
    const opened = await openLedgerFiles(input, io);
    if (!opened.ok) return opened;
    const folder = input.text('tiles');
    if (folder !== undefined) return exportTiles(opened.value, folder);
    const { files, head } = opened.value;
    const range = { first: from.value ?? 0, size: head.size };
    return searchRecords(files, range, {}, ({ index, record }) => {
      io.out(`${safeJson({ index, record })}\n`);
      return !io.signal.aborted;
    });
  },
};

/** The checkpoint comes last: whoever finds it finds all that it covers. */
async function exportTiles({ files, head }: ReadLedger, folder: string): Promise<Result<void>> {
  if (folder === '' || folder.includes('\0')) return fail('CLI_USAGE', '--tiles: is no path');
  for (const tile of tilesOf(head.size)) {
    const content = await readTile(files, head.size, tile);
    // Bundles that retention dropped are left out; their hashes are there.
    if (!content.ok && content.error.code === 'LEDGER_BODY_GONE') continue;
    if (!content.ok) return content;
    const written = await put(join(resolve(folder), formatTilePath(tile)), content.value);
    if (!written.ok) return written;
  }
  return put(join(resolve(folder), 'checkpoint'), head.bytes);
}

async function put(path: string, bytes: Uint8Array): Promise<Result<void>> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    return ok(undefined);
  } catch (error) {
    return fail('CLI_FILE', `cannot write ${path} (${errnoCode(error)})`, { cause: error });
  }
}
