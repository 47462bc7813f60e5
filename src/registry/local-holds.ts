import { ok, type Result } from '../base/result.ts';
import { type KeptForm, KeptList, readKept } from './kept-list.ts';
import type { HeldDpu } from './overlay.ts';

const FORM: KeptForm<HeldDpu> = {
  header: 'signet-local-holds 1',
  keyOf: ({ serial }) => serial,
  // Tabs and line ends cannot stand in either text once they are encoded.
  format: ({ serial, reason, sinceSeconds }) =>
    [serial, reason].map(encodeURIComponent).concat(String(sinceSeconds)).join('\t'),
  parse(line) {
    const [serial, reason, since, ...rest] = line.split('\t').map(decoded);
    if (serial === undefined || reason === undefined || since === undefined) return undefined;
    if (serial === '' || rest.length > 0 || !/^\d{1,12}$/.test(since)) return undefined;
    return { serial, reason, sinceSeconds: Number(since) };
  },
};

/** DPUs in quarantine that the store does not have yet. */
export type LocalHolds = KeptList<HeldDpu>;

/** Reads the quarantines that an earlier run kept. Fails with FILE_UNREADABLE or LOCAL_BANS_DAMAGED. */
export async function openLocalHolds(path: string): Promise<Result<LocalHolds>> {
  const holds = await readKept(path, FORM);
  return holds.ok ? ok(new KeptList(path, FORM, holds.value)) : holds;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
