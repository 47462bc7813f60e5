import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../runtime/atomic-file.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';

/** First line of the file: what it is, and the version of its form. */
const HEADER = 'signet-local-bans 1';

/** Longest file that is read: one ban of every agent of a very large fleet. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * The bans that the store does not have yet, in a file of their own, so that neither a database that
 * is away nor a restart lets a banned node back in. In force from the moment they are added; durable
 * when {@link save} has answered.
 */
export class LocalBans {
  readonly #path: string;
  readonly #bans: Map<string, SpiffeId>;
  #saving: Promise<unknown> = Promise.resolve();
  #changes = 0;
  #saved = 0;

  constructor(path: string, bans: readonly SpiffeId[]) {
    this.#path = path;
    this.#bans = new Map(bans.map((id) => [id.uri, id]));
  }

  /** Whether an agent is banned here. */
  has(uri: string): boolean {
    return this.#bans.has(uri);
  }

  /** Bans that are kept here. */
  get size(): number {
    return this.#bans.size;
  }

  /** The agents that are banned here, as of now. */
  ids(): readonly SpiffeId[] {
    return [...this.#bans.values()];
  }

  /** Whether the file says something else. */
  get unsaved(): boolean {
    return this.#saved !== this.#changes;
  }

  /** Bans an agent; {@link save} makes it durable. */
  add(id: SpiffeId): void {
    if (this.#bans.has(id.uri)) return;
    this.#bans.set(id.uri, id);
    this.#changes += 1;
  }

  /** Lets go of a ban; {@link save} makes it durable. */
  remove(uri: string): void {
    if (this.#bans.delete(uri)) this.#changes += 1;
  }

  /** Writes the file where it differs. Fails with DISK_FULL or FILE_UNWRITABLE; the old one is whole then. */
  save(): Promise<Result<void>> {
    const mine = this.#saving.then(() => this.#write());
    this.#saving = mine;
    return mine;
  }

  async #write(): Promise<Result<void>> {
    if (!this.unsaved) return ok(undefined);
    const changes = this.#changes;
    const lines = [HEADER, ...this.#bans.keys()];
    const written = await writeFileAtomic(this.#path, utf8(`${lines.join('\n')}\n`));
    if (written.ok) this.#saved = changes;
    return written;
  }
}

/**
 * Reads the bans that an earlier run kept; none where there is no file. Fails with FILE_UNREADABLE, or
 * with LOCAL_BANS_DAMAGED: a server that cannot tell whom it has banned does not start.
 */
export async function openLocalBans(path: string): Promise<Result<LocalBans>> {
  const bytes = await readFileIfPresent(path, MAX_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return ok(new LocalBans(path, []));
  const bans = parseBans(Buffer.from(bytes.value).toString('utf8'));
  if (bans === undefined) {
    return fail('LOCAL_BANS_DAMAGED', `${path} is not a list of bans that this program wrote`);
  }
  return ok(new LocalBans(path, bans));
}

function parseBans(text: string): readonly SpiffeId[] | undefined {
  const [header, ...rest] = text.split('\n');
  // Each line has its end: a last one without it was cut.
  if (header !== HEADER || rest.pop() !== '') return undefined;
  const bans: SpiffeId[] = [];
  for (const line of rest) {
    const id = parseSpiffeId(line);
    if (!id.ok) return undefined;
    bans.push(id.value);
  }
  return bans;
}
