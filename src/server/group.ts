import { readFileSync } from 'node:fs';
import { fail, ok, type Result } from '../base/result.ts';

const GROUP_FILE = '/etc/group';

/** Number of a group by its number or its name in /etc/group; groups from elsewhere go by number. */
export function operatorGroupId(text: string): Result<number> {
  if (/^[0-9]{1,9}$/.test(text)) return ok(Number(text));
  let lines: readonly string[];
  try {
    lines = readFileSync(GROUP_FILE, 'utf8').split('\n');
  } catch (cause) {
    return fail('CONFIG_INVALID', `${GROUP_FILE} cannot be read: give the group's number`, {
      cause,
    });
  }
  for (const line of lines) {
    const [name, , id] = line.split(':');
    if (name === text && id !== undefined && /^[0-9]+$/.test(id)) return ok(Number(id));
  }
  return fail('CONFIG_INVALID', `no group "${text.slice(0, 64)}" in ${GROUP_FILE}`);
}
