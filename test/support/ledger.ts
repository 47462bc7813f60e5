import { generateKeyPairSync, sign } from 'node:crypto';
import { utf8 } from '../../src/base/bytes.ts';
import { type Clock, ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { LedgerFiles } from '../../src/ledger/files.ts';
import type { NewEntry } from '../../src/ledger/frame.ts';
import { type Ledger, type LedgerOptions, openLedger } from '../../src/ledger/ledger.ts';
import type { NoteSigner } from '../../src/ledger/note-key.ts';

/** A signer of checkpoints with a fresh Ed25519 key. */
export function makeNoteSigner(): NoteSigner {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  return {
    algorithm: 'ed25519',
    publicKeySpki: publicKey.export({ type: 'spki', format: 'der' }),
    sign: async (message) => ok(sign(null, message, privateKey)),
  };
}

/** A step of {@link MemoryFiles} that changes something. */
export type FileStep = 'create' | 'writeDurably' | 'write' | 'sync' | 'truncate' | 'replace';

/** Told before each step: answers a failure to give, or waits for ever to stand for a crash. */
export type BeforeStep = (step: FileStep, name: string) => Promise<Result<void>>;

/** Files in memory that forget what was not synced when the machine crashes. */
export class MemoryFiles implements LedgerFiles {
  readonly durable = new Map<string, Buffer>();
  readonly #now = new Map<string, Buffer>();
  readonly #before: BeforeStep;
  /** Number of fsyncs on the log so far. */
  logSyncs = 0;

  constructor(content: ReadonlyMap<string, Buffer> = new Map(), before?: BeforeStep) {
    for (const [name, bytes] of content) {
      this.#now.set(name, Buffer.from(bytes));
      this.durable.set(name, Buffer.from(bytes));
    }
    this.#before = before ?? (async () => ok(undefined));
  }

  /** What a crash of the machine leaves: durable bytes, and of a file that was written to a part. */
  afterCrash(keep: (unsynced: number) => number): ReadonlyMap<string, Buffer> {
    const left = new Map<string, Buffer>();
    for (const [name, durable] of this.durable) {
      const now = this.#now.get(name) ?? durable;
      const unsynced = Math.max(0, now.length - durable.length);
      const tail = now.subarray(durable.length, durable.length + keep(unsynced));
      left.set(name, Buffer.concat([durable, tail]));
    }
    return left;
  }

  /** What a kill of the process leaves: all that was written. */
  afterKill(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#now].map(([name, bytes]) => [name, Buffer.from(bytes)]));
  }

  list: LedgerFiles['list'] = async (folder) =>
    ok(
      [...this.#now.keys()]
        .filter((name) => name.startsWith(`${folder}/`))
        .map((name) => name.slice(folder.length + 1))
        .sort(),
    );

  size: LedgerFiles['size'] = async (name) => ok(this.#now.get(name)?.length);

  read: LedgerFiles['read'] = async (name, offset, length) =>
    ok(Buffer.from((this.#now.get(name) ?? Buffer.alloc(0)).subarray(offset, offset + length)));

  create: LedgerFiles['create'] = (name) =>
    this.#step('create', name, () => {
      this.#now.set(name, Buffer.alloc(0));
      this.durable.set(name, Buffer.alloc(0));
    });

  async writeDurably(name: string, offset: number, bytes: Uint8Array): Promise<Result<void>> {
    const wrote = await this.#step('write', name, () => this.#put(name, offset, bytes));
    if (!wrote.ok) return wrote;
    return this.#step('writeDurably', name, () => {
      this.logSyncs += 1;
      // Bytes of a file whose name is not durable are lost with the name.
      if (this.durable.has(name)) this.#sync(name);
    });
  }

  write: LedgerFiles['write'] = (name, offset, bytes) =>
    this.#step('write', name, () => this.#put(name, offset, bytes));

  sync: LedgerFiles['sync'] = (name) => this.#step('sync', name, () => this.#sync(name));

  truncate: LedgerFiles['truncate'] = (name, size) =>
    this.#step('truncate', name, () => {
      this.#now.set(name, (this.#now.get(name) ?? Buffer.alloc(0)).subarray(0, size));
      this.#sync(name);
    });

  replace: LedgerFiles['replace'] = (name, bytes) =>
    this.#step('replace', name, () => {
      this.#now.set(name, Buffer.from(bytes));
      this.#sync(name);
    });

  remove: LedgerFiles['remove'] = async (name) => {
    this.#now.delete(name);
    this.durable.delete(name);
    return ok(undefined);
  };

  async #step(step: FileStep, name: string, act: () => void): Promise<Result<void>> {
    const before = await this.#before(step, name);
    if (!before.ok) return before;
    act();
    return ok(undefined);
  }

  #put(name: string, offset: number, bytes: Uint8Array): void {
    const old = this.#now.get(name) ?? Buffer.alloc(0);
    const size = Math.max(old.length, offset + bytes.length);
    const next = Buffer.alloc(size);
    next.set(old);
    next.set(bytes, offset);
    this.#now.set(name, next);
  }

  #sync(name: string): void {
    this.durable.set(name, Buffer.from(this.#now.get(name) ?? Buffer.alloc(0)));
  }
}

/** What tests vary of a ledger. */
export interface TestLedgerOptions {
  readonly files: LedgerFiles;
  readonly signer: NoteSigner;
  readonly clock?: Clock;
  readonly segmentBytes?: number;
  readonly retentionMs?: number;
  readonly bodyHolds?: LedgerOptions['bodyHolds'];
}

/** Opens a ledger whose clock stands still. */
export function openTestLedger(options: TestLedgerOptions): Promise<Result<Ledger>> {
  return openLedger({
    clock: new ManualClock(1_800_000_000_000),
    random: seededRandom(7),
    originPrefix: 'example.org/ledger',
    ...options,
  });
}

/** Entries that say their index, with times a second apart. */
export function makeEntries(first: number, count: number): readonly NewEntry[] {
  return Array.from({ length: count }, (_, at) => ({
    bytes: utf8(`{"record":${first + at}}`),
    timeMs: 1_800_000_000_000 + (first + at) * 1000,
  }));
}

/** A disk without space. */
export const DISK_FULL = fail('DISK_FULL', 'no space left');
