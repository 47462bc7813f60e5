import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TestContext } from 'node:test';

/** Folder with test data and rigs: `SIGNET_SHARED`, else beside the checkout. */
export const sharedDir = resolve(process.env.SIGNET_SHARED ?? '../shared');

/**
 * Options of a test that needs `sharedDir/path`: a skip with its reason where it is absent, and a
 * failure in CI, where a skip would hide a missing part.
 */
export function needsShared(path: string): { skip: string | false } {
  const full = join(sharedDir, path);
  if (existsSync(full)) return { skip: false };
  return skipUnlessCi(`${full} is absent (set SIGNET_SHARED)`);
}

/** A skip with its reason; with `CI=true` the test runs instead, and fails on what is missing. */
export function skipUnlessCi(reason: string): { skip: string | false } {
  return { skip: process.env.CI === 'true' ? false : reason };
}

/** Skips the running test with a reason, or fails it with `CI=true`. */
export function skipNow(context: TestContext, reason: string): void {
  if (process.env.CI === 'true') context.assert.fail(`would be skipped: ${reason}`);
  context.skip(reason);
}
