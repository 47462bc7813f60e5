import type { CheckedBackup } from '../backup/check-backup.ts';
import { PARTS } from '../backup/manifest.ts';
import type { CliIo, FlagSpec, Input } from '../cli/spec.ts';
import { counted, formatBlock, formatTime, safeJson } from '../cli/text.ts';

/** How the commands about backups print; their `--output` is a file, so this one is `-o` alone. */
export const FORM_FLAG: FlagSpec = {
  name: 'form',
  short: 'o',
  value: 'form',
  choices: ['pretty', 'json'],
  help: 'pretty for people, json for programs',
};

/** Prints what a backup holds. */
export function printBackup(
  path: string,
  backup: CheckedBackup & { readonly unknown?: readonly string[] },
  input: Input,
  io: CliIo,
): void {
  const { manifest, bytes, records, unknown } = backup;
  const { program, trustDomain, createdMs, schema, ledger } = manifest;
  if (input.text('form') === 'json') {
    const createdAt = new Date(createdMs).toISOString();
    const keys = keysIn(backup);
    const about = { file: path, bytes, createdAt, program, trustDomain, schema, ledger, keys };
    io.out(`${safeJson({ ...about, ...(unknown === undefined ? {} : { unknown }) })}\n`);
    return;
  }
  io.out(
    formatBlock([
      ['Backup', path],
      ['Made', formatTime(Math.floor(createdMs / 1000), io.clock.nowMs())],
      ['Trust domain', trustDomain],
      ['Database', `schema ${schema}, by signet ${program}`],
      ['Ledger', ledger === null ? 'none' : `${counted(records, 'record', 'records')} checked`],
      ['Checkpoint', ledger === null ? [] : `${ledger.origin}, size ${ledger.size}`],
      ['Keys', KEYS_TEXT[keysIn(backup)]],
      ['Size', `${bytes} bytes`],
      ['Not known', unknown === undefined || unknown.length === 0 ? [] : unknown],
    ]),
  );
}

const KEYS_TEXT = {
  none: 'none',
  sealed: 'encrypted, not looked at',
  opened: 'encrypted, opened by the passphrase',
} as const;

function keysIn({ manifest, keys }: CheckedBackup): keyof typeof KEYS_TEXT {
  if (!manifest.parts.some(({ name }) => name === PARTS.keys)) return 'none';
  return keys === undefined ? 'sealed' : 'opened';
}
