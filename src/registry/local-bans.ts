import { ok, type Result } from '../base/result.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { type KeptForm, KeptList, readKept } from './kept-list.ts';

const FORM: KeptForm<SpiffeId> = {
  header: 'signet-local-bans 1',
  keyOf: ({ uri }) => uri,
  format: ({ uri }) => uri,
  parse(line) {
    const id = parseSpiffeId(line);
    return id.ok ? id.value : undefined;
  },
};

/** The bans of agents that the store does not have yet. */
export class LocalBans extends KeptList<SpiffeId> {
  constructor(path: string, bans: readonly SpiffeId[]) {
    super(path, FORM, bans);
  }

  /** The agents that are banned here, as of now. */
  ids(): readonly SpiffeId[] {
    return this.items();
  }
}

/** Reads the bans that an earlier run kept. Fails with FILE_UNREADABLE or LOCAL_BANS_DAMAGED. */
export async function openLocalBans(path: string): Promise<Result<LocalBans>> {
  const bans = await readKept(path, FORM);
  return bans.ok ? ok(new LocalBans(path, bans.value)) : bans;
}
