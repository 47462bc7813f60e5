import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import signet from '../../package.json' with { type: 'json' };
import { fail, ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../cli/spec.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import { type ServerConfig, serverConfigSchema } from '../server/config.ts';
import { FORM_FLAG, printBackup } from './backup-view.ts';
import { configSourceOf, EXPAND_ENV_FLAG, loadFrom } from './config-source.ts';
import { CONFIG_FLAG, DEFAULT_CONFIG, STATE_OVERRIDES } from './server-command.ts';

const MAX_PASSPHRASE_BYTES = 4096;

const STATE_FLAGS: readonly FlagSpec[] = [CONFIG_FLAG, EXPAND_ENV_FLAG, ...STATE_OVERRIDES];

const PASSPHRASE_FLAG: FlagSpec = {
  name: 'passphrase-file',
  value: 'file',
  help: 'file with the passphrase for the keys in the backup',
};

/** `signet backup create`. */
export const backupCreate: CommandSpec = {
  about:
    "Backs up database, ledger, local bans and configuration file, whether the server runs or not. Run it as the server's user. Private keys stay out unless --include-keys: whoever has a backup with keys, and its passphrase, can be the CA.",
  flags: [
    { name: 'output', value: 'file', required: true, help: 'file to write; never over an old one' },
    ...STATE_FLAGS,
    { name: 'include-keys', help: 'take the keys in dataDir/keys along, encrypted' },
    PASSPHRASE_FLAG,
    FORM_FLAG,
  ],
  examples: [
    'signet backup create --output /backup/signet-2030-01-31.backup',
    'signet backup create --output all.backup --include-keys --passphrase-file /run/secrets/backup',
  ],
  run: async (input, io) => {
    const output = input.text('output') ?? '';
    if (!isPath(output)) return flagError('output', 'is no path');
    const state = await stateOf(input, io);
    if (!state.ok) return state;
    const { config, path } = state.value;
    const passphrase = await passphraseToSeal(input, config);
    if (!passphrase.ok) return passphrase;
    const { createBackup } = await import('../backup/create-backup.ts');
    const created = await createBackup({
      dataDir: realPath(config.dataDir),
      output,
      trustDomain: config.trustDomain.name,
      configPath: path,
      passphrase: passphrase.value,
      program: signet.version,
      clock: io.clock,
      random: io.random,
    });
    if (!created.ok) return created;
    printBackup(resolve(output), created.value, input, io);
    if (config.keys.manager === 'disk' && passphrase.value === undefined) {
      io.err('The keys in dataDir/keys are not in it: keep a copy of them elsewhere.\n');
    }
    return ok(undefined);
  },
};

/** `signet backup verify`. */
export const backupVerify: CommandSpec = {
  args: 'FILE',
  about:
    'Reads every byte against its checksum, looks into the database, and leads the records of the ledger to its checkpoint. Checksums tell damage; they do not tell who wrote the file.',
  flags: [PASSPHRASE_FLAG, FORM_FLAG],
  examples: ['signet backup verify /backup/signet-2030-01-31.backup'],
  run: async (input, io) => {
    const path = fileOf(input);
    if (!path.ok) return path;
    const passphrase = await passphraseOf(input);
    if (!passphrase.ok) return passphrase;
    const { verifyBackup } = await import('../backup/check-backup.ts');
    const checked = await verifyBackup(path.value, passphrase.value);
    if (!checked.ok) return checked;
    printBackup(resolve(path.value), checked.value, input, io);
    return ok(undefined);
  },
};

/** `signet backup restore`. */
export const backupRestore: CommandSpec = {
  args: 'FILE',
  about:
    "Checks the backup and fills an empty data directory from it. Run it as the server's user, with the server stopped. The server begins a new ledger that names the old one; join tokens are gone; agents notice nothing else. The configuration file of the backup is put beside it as restored-server.yaml.",
  flags: [
    ...STATE_FLAGS,
    {
      name: 'acknowledge',
      help: 'go back to the time of the backup; says what is lost without it',
    },
    PASSPHRASE_FLAG,
    FORM_FLAG,
  ],
  examples: ['signet backup restore /backup/signet-2030-01-31.backup --acknowledge'],
  run: async (input, io) => {
    const path = fileOf(input);
    if (!path.ok) return path;
    const state = await stateOf(input, io);
    if (!state.ok) return state;
    const passphrase = await passphraseOf(input);
    if (!passphrase.ok) return passphrase;
    const { dataDir, trustDomain } = state.value.config;
    const { restoreBackup } = await import('../backup/restore-backup.ts');
    const restored = await restoreBackup({
      file: path.value,
      dataDir,
      trustDomain: trustDomain.name,
      passphrase: passphrase.value,
      acknowledged: input.has('acknowledge'),
      clock: io.clock,
    });
    if (!restored.ok) return restored;
    printBackup(resolve(path.value), restored.value, input, io);
    io.err(`Restored into ${dataDir}; docs/recovery.md says what to do next.\n`);
    return ok(undefined);
  },
};

/** The configuration that flags and file make, and the file where there is one. */
async function stateOf(
  input: Input,
  io: CliIo,
): Promise<Result<{ readonly config: ServerConfig; readonly path: string | undefined }>> {
  const source = configSourceOf(input, io, { fallback: DEFAULT_CONFIG, flags: STATE_OVERRIDES });
  if (!source.ok) return source;
  const config = await loadFrom(source.value, serverConfigSchema);
  if (!config.ok) return config;
  const { path } = source.value;
  return ok({ config: config.value, path: existsSync(path) ? path : undefined });
}

function fileOf(input: Input): Result<string> {
  const [path = '', extra] = input.args;
  if (isPath(path) && extra === undefined) return ok(path);
  return fail('CLI_USAGE', 'takes one FILE, the backup');
}

async function passphraseToSeal(
  input: Input,
  { keys }: ServerConfig,
): Promise<Result<string | undefined>> {
  const given = await passphraseOf(input);
  if (!given.ok) return given;
  if (!input.has('include-keys')) {
    return given.value === undefined
      ? ok(undefined)
      : flagError('passphrase-file', 'is for --include-keys');
  }
  if (keys.manager !== 'disk') {
    return flagError('include-keys', `keys.manager is ${keys.manager}: no keys are on the disk`);
  }
  // Never in the clear: a backup is copied to places that nobody would put a CA's key in.
  return given.value === undefined
    ? flagError('include-keys', 'needs --passphrase-file, to encrypt them')
    : given;
}

async function passphraseOf(input: Input): Promise<Result<string | undefined>> {
  const path = input.text('passphrase-file');
  if (path === undefined) return ok(undefined);
  if (!isPath(path)) return flagError('passphrase-file', 'is no path');
  const bytes = await readFileIfPresent(path, MAX_PASSPHRASE_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return flagError('passphrase-file', `${path} does not exist`);
  return ok(
    Buffer.from(bytes.value)
      .toString('utf8')
      .replace(/\r?\n$/, ''),
  );
}

function isPath(text: string): boolean {
  return text !== '' && !text.includes('\0');
}

/** Links resolved, so that "does the output lie in it" has one answer. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}
