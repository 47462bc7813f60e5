// First-run set-up of a checkout: installs what the lock file names and bundles the sources.
// Plain JavaScript for Node.js 20 and newer, for it runs before anything is installed.
import { mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bundle, isStale } from './bundle.mjs';
import { ensureInstalled } from './install.mjs';
import { withProgress } from './progress.mjs';

/** The checkout. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const OLDEST_NODE = 20;

/**
 * Installs and bundles what is missing or out of date. Safe to run in several processes at once.
 * @param {{ alwaysBundle?: boolean }} [options]
 */
export async function setUp({ alwaysBundle = false } = {}) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) {
    throw new Error(`needs Node.js ${OLDEST_NODE} or newer; this is ${process.versions.node}`);
  }
  await withLock(join(ROOT, 'dist/.lock'), async () => {
    await ensureInstalled(ROOT);
    if (alwaysBundle || isStale(ROOT)) {
      await withProgress('Bundling the sources', () => bundle(ROOT));
    }
  });
}

/** A folder as lock, with the owner's pid in it; one whose owner is gone is taken over. */
async function withLock(path, work) {
  mkdirSync(dirname(path), { recursive: true });
  while (!tryLock(path)) {
    if (!isHeld(path)) rmSync(path, { recursive: true, force: true });
    await sleep(100);
  }
  const unlock = () => rmSync(path, { recursive: true, force: true });
  const onSignal = () => {
    unlock();
    process.exit(1);
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await work();
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    unlock();
  }
}

/** Made aside and moved into place, so that a lock never lacks its owner. */
function tryLock(path) {
  const own = `${path}.${process.pid}`;
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'pid'), String(process.pid));
  try {
    renameSync(own, path);
    return true;
  } catch (error) {
    rmSync(own, { recursive: true, force: true });
    if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false;
    throw error;
  }
}

function isHeld(path) {
  try {
    process.kill(Number(readFileSync(join(path, 'pid'), 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Runs `work`, and ends the process with one plain line where it fails. */
export async function orExit(work) {
  try {
    return await work();
  } catch (error) {
    process.stderr.write(`signet: ${error.message}\n`);
    process.exit(1);
  }
}

if (realpathSync(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) {
  await orExit(() => setUp());
}
