import { ok, type Result } from '../base/result.ts';
import { type DeviceRevocation, readDeviceCrl } from '../dice/device-revocation.ts';
import type { Logger } from '../runtime/log.ts';
import { appearanceOf, readAll } from './reference-files.ts';

/** CRLs of a setting, as they are now. */
export type CurrentRevocation = () => Promise<DeviceRevocation>;

/** Which files hold the CRLs, and how long after their end they are believed. */
export interface CrlFileSettings {
  readonly paths: readonly string[];
  readonly maxStaleMs: number;
  readonly log: Logger;
}

/**
 * CRLs from files, read now and again when a file is another one. A new one that cannot be read changes
 * nothing: what was revoked stays revoked, and the old one ends by itself. Fails with FILE_UNREADABLE, or
 * what a CRL is refused with.
 */
export async function openCrlFiles({
  paths,
  maxStaleMs,
  log,
}: CrlFileSettings): Promise<Result<CurrentRevocation>> {
  let seen = await appearanceOf(paths);
  const first = await readAll(paths, readDeviceCrl);
  if (!first.ok) return first;
  let crls = first.value;
  return ok(async () => {
    const now = await appearanceOf(paths);
    if (now === seen) return { crls, maxStaleMs };
    seen = now;
    const read = await readAll(paths, readDeviceCrl);
    if (read.ok) crls = read.value;
    else log.error({ code: read.error.code, err: read.error }, 'CRLs stay as they were');
    return { crls, maxStaleMs };
  });
}
