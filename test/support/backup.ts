import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commands } from '../../src/main/commands.ts';
import { type CliOutcome, cli } from './cli.ts';
import { type TestServer, TRUST_DOMAIN } from './server.ts';

/** Passphrase of the tests' backups with keys. */
export const PASSPHRASE = 'correct horse battery staple';

/** What the commands about backups print as JSON. */
export interface BackupView {
  readonly file: string;
  readonly bytes: number;
  readonly trustDomain: string;
  readonly schema: number;
  readonly ledger: { readonly origin: string; readonly size: number; readonly root: string } | null;
  readonly keys: 'none' | 'sealed' | 'opened';
  readonly unknown?: readonly string[];
}

/** Runs a command about a data directory; the configuration is flags alone. */
export function stateCommand(dataDir: string, ...argv: string[]): Promise<CliOutcome> {
  return cli(commands, [...argv, '--data-dir', dataDir, '--trust-domain', TRUST_DOMAIN]);
}

/** Backs a server up into a file of its folder. */
export async function backUp(
  server: TestServer,
  name: string,
  ...flags: string[]
): Promise<BackupView> {
  const { dataDir } = server.config;
  const output = join(server.dir, name);
  const made = await stateCommand(
    dataDir,
    'backup',
    'create',
    '--output',
    output,
    '-o',
    'json',
    ...flags,
  );
  assert.equal(made.code, 0, made.err);
  return JSON.parse(made.out);
}

/** Flags that take keys along, or open them. */
export function passphraseFlags(server: TestServer): readonly [string, string] {
  const path = join(server.dir, 'passphrase');
  writeFileSync(path, `${PASSPHRASE}\n`, { mode: 0o600 });
  return ['--passphrase-file', path];
}

/** Restores a backup; answers what the command came to. */
export function restore(file: string, dataDir: string, ...flags: string[]): Promise<CliOutcome> {
  return stateCommand(dataDir, 'backup', 'restore', file, ...flags);
}

/** The code that a command was refused with. */
export function codeOf({ code, err }: CliOutcome): string {
  assert.notEqual(code, 0);
  return /^ {2}code: (\w+)/m.exec(err)?.[1] ?? err;
}
