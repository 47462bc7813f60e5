import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { MAX_SOCKET_PATH_BYTES } from '../../rpc/unix-path.ts';
import { errnoCode, writeFileAtomic } from '../../runtime/atomic-file.ts';
import { type FileLock, lockFile } from '../../runtime/file-lock.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';

const MARKER = '.signet-dev';
const MARKER_TITLE = 'This folder belongs to "signet dev". Trust domain: ';

/** Where everything of one `signet dev` is. */
export interface DevLayout {
  readonly dir: string;
  readonly trustDomain: TrustDomain;
  /** 0755: what workloads may see. */
  readonly workloadSocket: string;
  readonly bundlePath: string;
  /** 0700: everything else. */
  readonly privateDir: string;
  readonly adminSocket: string;
  readonly serverConfig: string;
  readonly serverData: string;
  readonly serverLog: string;
  readonly agentConfig: string;
  readonly agentData: string;
  readonly agentLog: string;
  readonly joinToken: string;
}

/** A folder that this process alone runs on. */
export interface HeldLayout extends DevLayout {
  readonly lock: FileLock;
}

/**
 * Takes a folder for `signet dev`: a new or empty one, or one that was its own before. Fails with
 * DEV_DIR_FOREIGN, DEV_DIR_TRUST_DOMAIN, DEV_DIR_BUSY or DEV_SOCKET_PATH_TOO_LONG, with nothing
 * changed.
 */
export async function openDevDir(
  path: string,
  wanted: TrustDomain | undefined,
  fallback: TrustDomain,
): Promise<Result<HeldLayout>> {
  const dir = makeDir(resolve(path));
  if (!dir.ok) return dir;
  const trustDomain = await claim(dir.value, wanted, fallback);
  if (!trustDomain.ok) return trustDomain;
  const layout = layoutOf(dir.value, trustDomain.value);
  try {
    makeFolder(join(dir.value, 'public'), 0o755);
    makeFolder(layout.privateDir, 0o700);
  } catch (error) {
    return foreign(dir.value, `its folders cannot be made (${errnoCode(error)})`);
  }
  const lock = lockFile(join(layout.privateDir, 'lock'));
  if (lock.ok) return ok({ ...layout, lock: lock.value });
  return fail('DEV_DIR_BUSY', `${dir.value} is in use: ${lock.error.message}`);
}

function layoutOf(dir: string, trustDomain: TrustDomain): DevLayout {
  const privateDir = join(dir, 'private');
  return {
    dir,
    trustDomain,
    workloadSocket: join(dir, 'public/api.sock'),
    bundlePath: join(dir, 'public/bundle.pem'),
    privateDir,
    adminSocket: join(privateDir, 'api.sock'),
    serverConfig: join(privateDir, 'server.yaml'),
    serverData: join(privateDir, 'server'),
    serverLog: join(privateDir, 'server.log'),
    agentConfig: join(privateDir, 'agent.yaml'),
    agentData: join(privateDir, 'agent'),
    agentLog: join(privateDir, 'agent.log'),
    joinToken: join(privateDir, 'join-token'),
  };
}

/** The folder with links resolved, made where absent. */
function makeDir(path: string): Result<string> {
  const longest = join(path, 'private/api.sock');
  if (Buffer.byteLength(longest) > MAX_SOCKET_PATH_BYTES) return tooLong(longest);
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    const real = realpathSync(path);
    const socket = join(real, 'private/api.sock');
    return Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES ? tooLong(socket) : ok(real);
  } catch (error) {
    return foreign(path, `it cannot be made (${errnoCode(error)})`);
  }
}

function tooLong(socket: string): Result<never> {
  const bytes = Buffer.byteLength(socket);
  return fail('DEV_SOCKET_PATH_TOO_LONG', `${socket} has ${bytes} bytes`);
}

/** Checks that the folder is ours to use and settles its trust domain. */
async function claim(
  dir: string,
  wanted: TrustDomain | undefined,
  fallback: TrustDomain,
): Promise<Result<TrustDomain>> {
  const marked = readMarker(dir);
  if (!marked.ok) return marked;
  if (marked.value !== undefined) {
    if (wanted === undefined || wanted.name === marked.value.name) return ok(marked.value);
    const message = `${dir} belongs to the trust domain ${marked.value.name}, not ${wanted.name}`;
    return fail('DEV_DIR_TRUST_DOMAIN', message);
  }
  if (readdirSync(dir).length > 0) return foreign(dir, 'it holds files of something else');
  const trustDomain = wanted ?? fallback;
  // First of all, so that a folder that was only half made is known again.
  const written = await writeFileAtomic(
    join(dir, MARKER),
    utf8(`${MARKER_TITLE}${trustDomain.name}\n`),
    { mode: 0o644 },
  );
  return written.ok ? ok(trustDomain) : written;
}

/** The trust domain of a folder of ours; undefined in one without a marker. */
function readMarker(dir: string): Result<TrustDomain | undefined> {
  const own = process.getuid?.();
  const folder = lstatSync(dir);
  if (folder.uid !== own) return foreign(dir, 'it belongs to another user');
  if ((folder.mode & 0o022) !== 0) return foreign(dir, 'others may write to it');
  let text: string;
  try {
    const marker = lstatSync(join(dir, MARKER));
    if (!marker.isFile() || marker.uid !== own) return foreign(dir, 'its marker is not ours');
    text = readFileSync(join(dir, MARKER), 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return ok(undefined);
    return foreign(dir, `its marker cannot be read (${errnoCode(error)})`);
  }
  if (!text.startsWith(MARKER_TITLE)) return foreign(dir, 'its marker is not ours');
  const trustDomain = parseTrustDomain(text.slice(MARKER_TITLE.length).trim());
  return trustDomain.ok ? trustDomain : foreign(dir, 'its marker is damaged');
}

function makeFolder(path: string, mode: number): void {
  mkdirSync(path, { recursive: true, mode });
  // The umask may have taken bits away, and an older run may have left others.
  chmodSync(path, mode);
}

function foreign(dir: string, reason: string): Result<never> {
  return fail('DEV_DIR_FOREIGN', `${dir} cannot be used: ${reason}`);
}
