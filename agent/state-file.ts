import { createHash } from 'node:crypto';
import type { z } from 'zod';
import type { ErrorCode } from '../src/base/errors.ts';
import { fail, ok, type Result } from '../src/base/result.ts';
import { readFileIfPresent, removeFile, writeFileAtomic } from '../src/runtime/atomic-file.ts';

/** What a state file is made of. */
export interface StateFileOptions<T> {
  readonly path: string;
  /** First word of the file; the SHA-256 of what follows the line stands after it. */
  readonly magic: string;
  readonly maxBytes: number;
  readonly schema: z.ZodType<T>;
  /** What a new file holds, and what is left after {@link StateFile.wipe}. */
  readonly initial: T;
  /** What a damaged file is called. */
  readonly corrupt: ErrorCode;
  /** What could not be saved is not in `current` either: nobody was told that it is accepted. */
  readonly undoFailed?: boolean;
}

/** A file with a process's state; what was saved last is in `current`. */
export interface StateFile<T> {
  readonly current: T;
  /** Replaces parts of the state; durable when it answers. Writes happen in the order asked. */
  save(change: Partial<T>): Promise<Result<void>>;
  /** Resolves when everything that was asked to be saved is, or has failed. */
  settled(): Promise<void>;
  /** Removes the file: what it stood for is over. */
  wipe(): Promise<Result<void>>;
}

/**
 * Opens a state file in a data directory that this process holds. One that cannot be trusted to be whole
 * is never used: it fails with the code given.
 */
export async function openStateFile<T extends object>(
  options: StateFileOptions<T>,
): Promise<Result<StateFile<T>>> {
  const bytes = await readFileIfPresent(options.path, options.maxBytes);
  if (!bytes.ok) return bytes;
  const state = bytes.value === undefined ? ok(options.initial) : decode(options, bytes.value);
  return state.ok ? ok(stateFile(options, state.value)) : state;
}

/** The bytes of a state. */
export function encodeStateFile(magic: string, state: object): Uint8Array {
  const json = `${JSON.stringify(state)}\n`;
  return Buffer.from(`${magic} ${sha256(json)}\n${json}`);
}

function decode<T>({ path, magic, schema, corrupt }: StateFileOptions<T>, bytes: Uint8Array) {
  const text = Buffer.from(bytes).toString('utf8');
  const line = text.indexOf('\n');
  const [word, digest] = text.slice(0, line).split(' ');
  const json = text.slice(line + 1);
  if (line === -1 || word !== magic || digest !== sha256(json)) {
    return fail(corrupt, `${path} is damaged: its checksum does not fit`);
  }
  // Ours, since the checksum holds: no hostile duplicates, and no 64-bit numbers.
  const parsed = schema.safeParse(JSON.parse(json));
  if (parsed.success) return ok(parsed.data);
  return fail(corrupt, `${path} has a form that this version does not know`);
}

function stateFile<T extends object>(
  { path, magic, initial, maxBytes, undoFailed = false }: StateFileOptions<T>,
  found: T,
): StateFile<T> {
  let current = found;
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = <R>(action: () => Promise<R>): Promise<R> => {
    const next = last.then(action);
    last = next.catch(() => undefined);
    return next;
  };
  return {
    get current() {
      return current;
    },
    async save(change) {
      const before = current;
      current = { ...current, ...change };
      const state = current;
      const saved = await inOrder(() => write(path, encodeStateFile(magic, state), maxBytes));
      if (!saved.ok && undoFailed) current = undone(current, before, change);
      return saved;
    },
    async settled() {
      await last;
    },
    wipe() {
      current = initial;
      return inOrder(() => removeFile(path));
    },
  };
}

/** What is larger than what is read would be lost at the next start. */
async function write(path: string, bytes: Uint8Array, maxBytes: number): Promise<Result<void>> {
  if (bytes.length <= maxBytes) return writeFileAtomic(path, bytes);
  return fail('FILE_UNWRITABLE', `${path} would have ${bytes.length} bytes, more than ${maxBytes}`);
}

/** The state with the values of a change as they were before, except those that changed since. */
function undone<T extends object>(current: T, before: T, change: Partial<T>): T {
  const kept = { ...current };
  // `change` is a part of T: its keys are T's.
  for (const key of Object.keys(change) as (keyof T)[]) {
    if (current[key] === change[key]) kept[key] = before[key];
  }
  return kept;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
