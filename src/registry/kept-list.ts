import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../runtime/atomic-file.ts';

/** Longest file that is read: one line of every node of a very large fleet. */
const MAX_BYTES = 64 * 1024 * 1024;

/** How the items of a list are told apart and written down. */
export interface KeptForm<T> {
  /** First line of the file: what it is, and the version of its form. */
  readonly header: string;
  readonly keyOf: (item: T) => string;
  /** One line, without its end. */
  readonly format: (item: T) => string;
  /** Undefined where the line is none that `format` wrote. */
  readonly parse: (line: string) => T | undefined;
}

/**
 * What is in force on this server and the store does not have yet, in a file of its own, so that
 * neither a database that is away nor a restart undoes it. In force from the moment it is added;
 * durable when {@link save} has answered.
 */
export class KeptList<T> {
  readonly #path: string;
  readonly #form: KeptForm<T>;
  readonly #items: Map<string, T>;
  #saving: Promise<unknown> = Promise.resolve();
  #changes = 0;
  #saved = 0;

  constructor(path: string, form: KeptForm<T>, items: readonly T[]) {
    this.#path = path;
    this.#form = form;
    this.#items = new Map(items.map((item) => [form.keyOf(item), item]));
  }

  /** Whether something is kept under a key. */
  has(key: string): boolean {
    return this.#items.has(key);
  }

  /** What is kept under a key. */
  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  /** Items that are kept here. */
  get size(): number {
    return this.#items.size;
  }

  /** What is kept, as of now. */
  items(): readonly T[] {
    return [...this.#items.values()];
  }

  /** Whether the file says something else. */
  get unsaved(): boolean {
    return this.#saved !== this.#changes;
  }

  /** Adds an item; the first one under its key stays. {@link save} makes it durable. */
  add(item: T): void {
    const key = this.#form.keyOf(item);
    if (this.#items.has(key)) return;
    this.#items.set(key, item);
    this.#changes += 1;
  }

  /** Lets go of an item; {@link save} makes it durable. */
  remove(key: string): void {
    if (this.#items.delete(key)) this.#changes += 1;
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
    const lines = [this.#form.header, ...this.items().map((item) => this.#form.format(item))];
    const written = await writeFileAtomic(this.#path, utf8(`${lines.join('\n')}\n`));
    if (written.ok) this.#saved = changes;
    return written;
  }
}

/**
 * Reads what an earlier run kept; nothing where there is no file. Fails with FILE_UNREADABLE, or with
 * LOCAL_BANS_DAMAGED: a server that cannot tell what it has in force does not start.
 */
export async function readKept<T>(path: string, form: KeptForm<T>): Promise<Result<readonly T[]>> {
  const bytes = await readFileIfPresent(path, MAX_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return ok([]);
  const items = parseKept(Buffer.from(bytes.value).toString('utf8'), form);
  if (items !== undefined) return ok(items);
  return fail('LOCAL_BANS_DAMAGED', `${path} is not a "${form.header}" that this program wrote`);
}

function parseKept<T>(text: string, form: KeptForm<T>): readonly T[] | undefined {
  const [header, ...rest] = text.split('\n');
  // Each line has its end: a last one without it was cut.
  if (header !== form.header || rest.pop() !== '') return undefined;
  const items: T[] = [];
  for (const line of rest) {
    const item = form.parse(line);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return items;
}
