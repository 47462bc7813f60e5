import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import type { CliIo, CommandSpec, Input } from '../cli/spec.ts';
import { counted, safe, safeJson } from '../cli/text.ts';
import { openDataDir } from '../runtime/data-dir.ts';
import { type ServerConfig, serverConfigSchema } from '../server/config.ts';
import type { MigrationPreview } from '../store/sqlite/copy.ts';
import { configSourceOf, EXPAND_ENV_FLAG, loadFrom } from './config-source.ts';
import { CONFIG_FLAG, DEFAULT_CONFIG, STATE_OVERRIDES } from './server-command.ts';

/** `signet server migrate`. */
export const serverMigrate: CommandSpec = {
  prints: true,
  about:
    'Brings the database to the schema of this program, as a start of the server would. With --dry-run the steps are made on a copy in memory, which works while the server runs, and nothing is written. There is no way back but a backup: make one first.',
  flags: [
    CONFIG_FLAG,
    EXPAND_ENV_FLAG,
    ...STATE_OVERRIDES,
    { name: 'dry-run', help: 'show the steps that would be made; write nothing' },
  ],
  examples: ['signet server migrate --dry-run', 'signet server migrate'],
  run: async (input, io) => {
    const source = configSourceOf(input, io, { fallback: DEFAULT_CONFIG, flags: STATE_OVERRIDES });
    if (!source.ok) return source;
    const config = await loadFrom(source.value, serverConfigSchema);
    if (!config.ok) return config;
    const path = join(config.value.dataDir, 'server.sqlite');
    if (!existsSync(path)) return fail('STATE_ABSENT', `there is no database ${path}`);
    if (input.has('dry-run')) return preview(path, config.value, input, io);
    return withDirectory(config.value, () => migrateNow(path, config.value, input, io));
  },
};

async function preview(
  path: string,
  { trustDomain }: ServerConfig,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const { previewMigrations } = await import('../store/sqlite/copy.ts');
  const steps = previewMigrations(path, trustDomain.name);
  if (!steps.ok) return steps;
  print(steps.value, 'would be made', input, io);
  return ok(undefined);
}

async function migrateNow(
  path: string,
  { trustDomain }: ServerConfig,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const [{ previewMigrations }, { openDatabase }] = await Promise.all([
    import('../store/sqlite/copy.ts'),
    import('../store/sqlite/database.ts'),
  ]);
  // On the copy first: a step that fails there has not touched the database.
  const steps = previewMigrations(path, trustDomain.name);
  if (!steps.ok) return steps;
  const migrated = openDatabase(path, trustDomain.name);
  if (!migrated.ok) return migrated;
  migrated.value.close();
  print(steps.value, 'made', input, io);
  return ok(undefined);
}

/** A running server has the directory, and its schema is the newest that it knows. */
async function withDirectory(
  { dataDir }: ServerConfig,
  work: () => Promise<Result<void>>,
): Promise<Result<void>> {
  const directory = await openDataDir(dataDir);
  if (!directory.ok) return directory;
  try {
    return await work();
  } finally {
    directory.value.release();
  }
}

function print(
  { schema, known, pending }: MigrationPreview,
  what: string,
  input: Input,
  io: CliIo,
): void {
  if (input.text('output') === 'json') {
    io.out(`${safeJson({ schema, known, pending })}\n`);
    return;
  }
  io.out(
    pending.length === 0
      ? `The database has schema ${schema}, which is this program's.\n`
      : `${counted(pending.length, 'step', 'steps')} ${what}, from schema ${schema} to ${known}:\n`,
  );
  for (const { version, statements } of pending) {
    io.out(`\nschema ${version}\n${statements.map((each) => `  ${safe(each)}\n`).join('')}`);
  }
}
