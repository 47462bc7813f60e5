import { z } from 'zod';
import { checkSocketPath } from './unix-path.ts';

/**
 * A setting that names a Unix socket to be opened. A path that the kernel would refuse is refused when
 * the configuration is read, before the process has written anything.
 */
export const socketPathSetting = z.string().superRefine((path, context) => {
  const checked = checkSocketPath(path);
  if (!checked.ok) context.addIssue({ code: 'custom', message: checked.error.message });
});
