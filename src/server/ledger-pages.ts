import { readWhole } from '../ledger/files.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type ReadableFiles, readTile } from '../ledger/reader.ts';
import { parseTilePath } from '../ledger/tile-path.ts';
import { WITNESSED_FILE } from '../ledger/witness.ts';
import type { ExtraPage, ExtraPages } from '../runtime/telemetry.ts';

/** What the telemetry port serves of the ledger. */
export type LedgerPages = ExtraPages;

const PREFIX = '/ledger/';

/**
 * The static layout of C2SP tlog-tiles below `/ledger/`: the checkpoint, tiles of hashes and bundles
 * of records. Everything is read from the disk; full tiles never change.
 */
export function createLedgerPages(
  files: ReadableFiles,
  ledger: Pick<Ledger, 'checkpoint'>,
): LedgerPages {
  return {
    prefix: PREFIX,
    async render(path): Promise<ExtraPage> {
      const { checkpoint } = ledger;
      if (path === `${PREFIX}checkpoint`) {
        return { status: 200, type: 'text/plain; charset=utf-8', body: checkpoint.bytes };
      }
      if (path === `${PREFIX}witnessed`) {
        const kept = await readWhole(files, WITNESSED_FILE);
        if (!kept.ok) return text(500, kept.error.message);
        if (kept.value === undefined) return text(404, 'no witness has cosigned yet');
        return { status: 200, type: 'text/plain; charset=utf-8', body: kept.value };
      }
      const tile = parseTilePath(path.slice(PREFIX.length));
      if (tile === undefined) return text(404, 'pages: /ledger/checkpoint, /ledger/tile/');
      const content = await readTile(files, checkpoint.size, tile);
      if (content.ok) return { status: 200, type: 'application/octet-stream', body: content.value };
      const { code, message } = content.error;
      if (code === 'LEDGER_INDEX_RANGE') return text(404, message);
      return text(code === 'LEDGER_BODY_GONE' ? 410 : 500, message);
    },
  };
}

function text(status: number, message: string): ExtraPage {
  return { status, type: 'text/plain; charset=utf-8', body: `${message}\n` };
}
