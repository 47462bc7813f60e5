import { ok } from '../../base/result.ts';
import { listSegments } from '../../ledger/log-scan.ts';
import { formatVerifierKey } from '../../ledger/note-key.ts';
import { LEDGER_FLAGS, openLedgerFiles } from '../ledger-files.ts';
import type { CommandSpec } from '../spec.ts';
import { formatBlock, safeJson } from '../text.ts';

/** `signet ledger status`. */
export const ledgerStatus: CommandSpec = {
  prints: true,
  about: 'Reads the last checkpoint from the data directory of the server.',
  flags: LEDGER_FLAGS,
  examples: ['signet ledger status', 'signet ledger status --data-dir ./copy -o json'],
  run: async (input, io) => {
    const opened = await openLedgerFiles(input, io);
    if (!opened.ok) return opened;
    const { files, head, verifier } = opened.value;
    const segments = await listSegments(files);
    if (!segments.ok) return segments;
    const firstKept = segments.value[0]?.first ?? 0;
    const bytes = segments.value.reduce((sum, segment) => sum + segment.bytes, 0);
    const root = Buffer.from(head.root).toString('base64');
    const { origin, size } = head;
    const key = formatVerifierKey(verifier);
    if (input.text('output') === 'json') {
      io.out(`${safeJson({ origin, size, root, key, firstKept, logBytes: bytes })}\n`);
      return ok(undefined);
    }
    io.out(
      formatBlock([
        ['Origin', origin],
        ['Records', `${size}`],
        ['Bodies kept from', `${firstKept}`],
        ['Root', root],
        ['Key', key],
        ['Log', `${bytes} bytes`],
      ]),
    );
    return ok(undefined);
  },
};
