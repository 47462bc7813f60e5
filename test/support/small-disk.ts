import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { skipUnlessCi } from './shared.ts';

const root = process.platform === 'linux' && process.getuid?.() === 0;
/** Whether tests may mount: options of `test`. */
export const asRoot = root
  ? { skip: false }
  : skipUnlessCi('only root may mount a small file system');

/**
 * A file system of a few KiB over a folder, until the test ends. Comes before what else the test's
 * end does: a folder with a mount in it cannot be removed, a busy mount can be taken off lazily.
 */
export function mountSmall(context: TestContext, folder: string, size: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const options = `size=${size},mode=0700`;
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'none', folder]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  context.after(() => {
    assert.equal(spawnSync('umount', ['-l', folder]).status, 0);
  });
}

/** Fills a file system to its last byte; what it answers makes room again. */
export function fill(folder: string): () => void {
  const ballast = join(folder, 'ballast');
  spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096']);
  return () => rmSync(ballast);
}
