// Brings node_modules to what package-lock.json names, unless it is there already.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withProgress } from './progress.mjs';

const STAMP = 'node_modules/.signet-lock';

/**
 * Installs with `npm ci` where the stamp of the lock file's hash is missing.
 * @param {string} root
 */
export async function ensureInstalled(root) {
  const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const hash = createHash('sha256').update(lockText).digest('hex');
  const stamp = join(root, STAMP);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  if (!isSatisfied(root, JSON.parse(lockText))) {
    await withProgress('Installing packages with npm', () => npmCi(root));
  }
  writeFileSync(stamp, hash);
}

/** Whether somebody's own `npm ci` has done it: npm's hidden lock file says what is installed. */
function isSatisfied(root, lock) {
  const hidden = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(hidden)) return false;
  const installed = JSON.parse(readFileSync(hidden, 'utf8')).packages ?? {};
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === '') return true;
    const present = installed[path];
    if (present === undefined) return wanted.optional === true;
    return present.version === wanted.version && existsSync(join(root, path, 'package.json'));
  });
}

/** How to start npm: the one that runs us, else the one on PATH. */
export function npmCommand() {
  const script = process.env.npm_execpath;
  return script?.endsWith('.js') ? [process.execPath, [script]] : ['npm', []];
}

function npmCi(root) {
  const [command, first] = npmCommand();
  // Only pkcs11js and the like have install scripts, and nothing here needs them.
  const args = [...first, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  args.push('--include=dev', '--include=optional', '--loglevel=error');
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = [];
    child.stdout.on('data', (bytes) => output.push(bytes));
    child.stderr.on('data', (bytes) => output.push(bytes));
    child.on('error', (error) => reject(new Error(`cannot start npm (${error.message})`)));
    child.on('close', (code) => {
      if (code === 0) return resolve();
      const said = Buffer.concat(output).toString().trim();
      reject(new Error(`npm ci failed (exit ${code}):\n${said}`));
    });
  });
}
