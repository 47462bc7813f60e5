// First-run set-up of a checkout: installs what the lock file names and bundles the sources.
// Plain JavaScript for Node.js 20 and newer, for it runs before anything is installed.
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle, isStale } from './bundle.mjs';
import { ensureInstalled } from './install.mjs';
import { withLock } from './lock.mjs';
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
