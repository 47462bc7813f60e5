import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../src/base/bytes.ts';
import type { Random } from '../../src/base/random.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { errnoCode, syncDirectory, writeFailure } from '../../src/runtime/atomic-file.ts';
import { readSecret } from '../../src/runtime/secret.ts';
import { formatPemBundle } from '../../src/spiffe/bundle-format.ts';
import { writePkcs12 } from '../../src/x509/pkcs12.ts';
import type { HeldBundles } from './bundles.ts';
import type { OutputSettings } from './output-settings.ts';
import type { ConnectorSvid } from './own-svid.ts';

/** The link that all files are reached by; it changes in one step, as Kubernetes' volumes do. */
const DATA_LINK = '..data';
const NEXT_LINK = '..data_next';

/** Folders of ours below the output directory. */
const VERSION_FOLDER = /^\.\.v-[0-9a-f]{16}$/;

/** Longest name of a trust domain that names its file, in bytes: the link beside it has a longer name. */
const MAX_NAME = 200;

/** What is written. */
export interface OutputMaterial {
  readonly svid: ConnectorSvid;
  readonly bundles: HeldBundles;
}

interface OutputFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly mode: number;
}

/**
 * Writes the certificate files of a material so that all of them change at one moment: they stand in a
 * folder of their own that a link points to. A kill at any moment leaves the old files or the new ones.
 * Answers whether anything changed. Fails with DISK_FULL, FILE_UNWRITABLE or COMPANION_PROOF (the password
 * of the key store).
 */
export async function writeOutputs(
  settings: OutputSettings,
  material: OutputMaterial,
  random: Random,
): Promise<Result<boolean>> {
  const { directory } = settings;
  if (directory === undefined) return ok(false);
  const files = await filesOf(settings, material, random);
  if (!files.ok) return files;
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    if (await isWritten(directory, settings, files.value)) return ok(false);
    await swap(directory, settings, files.value, toHex(random.bytes(8)));
    return ok(true);
  } catch (error) {
    return writeFailure(directory, error);
  }
}

/** Removes every file with a key, and the rest with them; well where there is none. Fails with FILE_UNWRITABLE. */
export async function removeOutputs({ directory }: OutputSettings): Promise<Result<void>> {
  if (directory === undefined) return ok(undefined);
  try {
    // The link first: from then on nobody finds the key by its name.
    await rm(join(directory, DATA_LINK), { force: true });
    await removeFolders(directory, undefined);
    await syncDirectory(directory);
    return ok(undefined);
  } catch (error) {
    return errnoCode(error) === 'ENOENT' ? ok(undefined) : writeFailure(directory, error);
  }
}

async function filesOf(
  settings: OutputSettings,
  { svid, bundles }: OutputMaterial,
  random: Random,
): Promise<Result<readonly OutputFile[]>> {
  const { mode, keyMode } = settings;
  const { chainDer, privateKeyPkcs8 } = svid.tls;
  const text = (name: string, pem: string, fileMode = mode): OutputFile => ({
    name,
    bytes: Buffer.from(pem),
    mode: fileMode,
  });
  const chain = chainDer.map((der) => encodePem('CERTIFICATE', der)).join('');
  const files = [
    text(settings.certificateName, chain),
    text(settings.keyName, encodePem('PRIVATE KEY', privateKeyPkcs8), keyMode),
    text(settings.bundleName, formatPemBundle(bundles.own)),
  ];
  for (const [name, bundle] of bundles.all) {
    if (bundle !== bundles.own) files.push(text(bundleFile(name), formatPemBundle(bundle)));
  }
  if (bundles.crl.length > 0) files.push({ name: settings.crlName, bytes: bundles.crl, mode });
  if (settings.pkcs12Name === undefined) return ok(files);
  const password = await readSecret({
    path: settings.pkcs12PasswordPath,
    variable: '',
    setting: 'outputs.pkcs12PasswordPath',
    code: 'COMPANION_PROOF',
  });
  if (!password.ok) return password;
  const trusted = bundles.own.x509Authorities.map(({ certificate }, index) => ({
    der: certificate.der,
    name: `ca-${index + 1}`,
  }));
  const entry = { privateKeyPkcs8, chainDer, name: 'svid' };
  const bytes = writePkcs12({ entry, trusted, password: password.value, random });
  files.push({ name: settings.pkcs12Name, bytes, mode: keyMode });
  return ok(files);
}

/** A trust domain's name may be as long as a file's: a long one is cut, and told apart by its hash. */
function bundleFile(name: string): string {
  if (name.length <= MAX_NAME) return `bundle-${name}.crt`;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return `bundle-${name.slice(0, MAX_NAME - 17)}-${digest}.crt`;
}

/**
 * Whether the same files stand there already, with the modes and owners they are to have; a key store is never
 * twice the same, so its presence counts.
 */
async function isWritten(
  directory: string,
  settings: OutputSettings,
  files: readonly OutputFile[],
): Promise<boolean> {
  const present = await readdir(join(directory, DATA_LINK)).catch(() => []);
  if (present.length !== files.length) return false;
  for (const { name, bytes, mode } of files) {
    const target = await readlink(join(directory, name)).catch(() => undefined);
    if (target !== join(DATA_LINK, name)) return false;
    const path = join(directory, DATA_LINK, name);
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || !hasRights(stats, mode, settings)) return false;
    const found = await readFile(path).catch(() => undefined);
    if (found === undefined || (name !== settings.pkcs12Name && !found.equals(bytes))) return false;
  }
  return true;
}

function hasRights(stats: Stats, mode: number, { owner, group }: OutputSettings): boolean {
  const { uid, gid } = stats;
  if (!stats.isFile() || (stats.mode & 0o7777) !== mode) return false;
  return (owner === undefined || owner === uid) && (group === undefined || group === gid);
}

async function swap(
  directory: string,
  settings: OutputSettings,
  files: readonly OutputFile[],
  version: string,
): Promise<void> {
  const folder = `..v-${version}`;
  // What an interrupted swap left may fill the disk.
  await removeFolders(directory, await currentFolder(directory));
  await mkdir(join(directory, folder), { mode: 0o755 });
  await chmod(join(directory, folder), 0o755);
  for (const file of files) await writeOne(join(directory, folder, file.name), file, settings);
  await syncDirectory(join(directory, folder));
  await rm(join(directory, NEXT_LINK), { force: true });
  await symlink(folder, join(directory, NEXT_LINK));
  // From here on readers find the new files, all of them.
  await rename(join(directory, NEXT_LINK), join(directory, DATA_LINK));
  await linkNames(directory, new Set(files.map(({ name }) => name)));
  await syncDirectory(directory);
  await removeFolders(directory, folder);
}

async function writeOne(path: string, file: OutputFile, settings: OutputSettings): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile(file.bytes);
    if (settings.owner !== undefined || settings.group !== undefined) {
      await chown(path, settings.owner ?? -1, settings.group ?? -1);
    }
    await handle.chmod(file.mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A link for each name; links of names that are gone are removed, and nothing else ever is. */
async function linkNames(directory: string, names: ReadonlySet<string>): Promise<void> {
  for (const name of names) {
    const path = join(directory, name);
    const target = join(DATA_LINK, name);
    if ((await readlink(path).catch(() => undefined)) === target) continue;
    const next = join(directory, `..link-${name}`);
    await rm(next, { force: true });
    await symlink(target, next);
    await rename(next, path);
  }
  for (const name of await readdir(directory)) {
    if (names.has(name)) continue;
    const target = await readlink(join(directory, name)).catch(() => undefined);
    if (target === join(DATA_LINK, name)) await unlink(join(directory, name));
  }
}

async function currentFolder(directory: string): Promise<string | undefined> {
  return readlink(join(directory, DATA_LINK)).catch(() => undefined);
}

async function removeFolders(directory: string, except: string | undefined): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!VERSION_FOLDER.test(name) || name === except) continue;
    await rm(join(directory, name), { recursive: true, force: true });
  }
}
