import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { AgentRecord } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { Store } from '../store/store.ts';
import type { LocalBans } from './local-bans.ts';

/** Longest that a ban waits for the store before it takes effect without it. */
const BAN_WAIT_MS = 2_000;

/** Waits between attempts to write kept bans to the store, doubling. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;

/** How far a ban reaches: written to the store, or kept by this server until the store answers. */
export type BanReach = 'everywhere' | 'here';

/** What became of a ban that was kept here. */
export type KeptBanEvent =
  /** The store has it now. */
  | { readonly kind: 'written'; readonly agentId: SpiffeId }
  /** The store knows no such agent (any more): there is nobody to ban. */
  | { readonly kind: 'gone'; readonly agentId: SpiffeId }
  /** The store, or the file of the kept bans, failed again; another attempt follows. */
  | { readonly kind: 'failed'; readonly error: SignetError; readonly retryMs: number };

/** What keeping bans stands on. */
export interface BanKeeperOptions {
  readonly store: Pick<Store, 'changeAgent' | 'onWake'>;
  readonly bans: LocalBans;
  readonly clock: Clock;
  readonly random: Random;
  /** The agent as the view has it. */
  readonly agent: (id: SpiffeId) => AgentRecord | undefined;
  /** An agent is banned here from now on: the view is to show it. */
  readonly onBanned: (agentUri: string) => void;
  /** Answers when the view shows what the store has. */
  readonly catchUp: () => Promise<Result<void>>;
  readonly onEvent: (event: KeptBanEvent) => void;
}

/**
 * Bans agents whether or not the store answers (design §3). One that the store did not take is in
 * force here at once, durable in a file before it is answered, and offered to the store until that has
 * it; only then does the file let go of it. A crash at any point leaves it in the file, in the store or
 * in both, and writing it twice changes nothing.
 */
export class BanKeeper {
  readonly #options: BanKeeperOptions;
  readonly #stopWaking: () => void;
  #flushing: Promise<void> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #cancelRetry: Cancel | undefined;
  #closed = false;

  constructor(options: BanKeeperOptions) {
    this.#options = options;
    // A commit says that the store answers again.
    this.#stopWaking = options.store.onWake(() => this.#wake());
  }

  /** Whether an agent is banned here, and the store may not know it. */
  isKept(agentUri: string): boolean {
    return this.#options.bans.has(agentUri);
  }

  /**
   * Bans an agent; undefined where there is none. Fails as the store does where nobody may be banned
   * here (`orHere` is false, or the view has no such agent), and with BAN_NOT_KEPT when the ban is in
   * force but lost with the end of this process.
   */
  async ban(id: SpiffeId, orHere: boolean): Promise<Result<BanReach | undefined>> {
    const writing = this.#options.store.changeAgent(id, { kind: 'banned' });
    const written = orHere ? await this.#soon(writing) : await writing;
    const shown = written.ok ? await this.#options.catchUp() : written;
    if (written.ok && (shown.ok || !orHere)) {
      await this.lift(id.uri);
      return ok(written.value === undefined ? undefined : 'everywhere');
    }
    const agent = this.#options.agent(id);
    if (!written.ok && (!orHere || agent === undefined)) return written;
    if (agent === undefined) return ok(undefined);
    if (agent.banned && !this.isKept(id.uri)) return ok('everywhere');
    return this.#keep(id);
  }

  /** Lets go of a ban: the store has it, or the agent was deleted. */
  async lift(agentUri: string): Promise<void> {
    const { bans } = this.#options;
    if (!bans.has(agentUri)) return;
    bans.remove(agentUri);
    const saved = await bans.save();
    if (!saved.ok) this.#retry(saved.error);
  }

  /** Offers the kept bans to the store once; what it does not take it is offered again, later. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flushOnce().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  /** Stops offering. What is kept stays in the file. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaking();
    this.#cancelRetry?.();
    await this.#flushing;
  }

  async #keep(id: SpiffeId): Promise<Result<BanReach>> {
    const { bans, onBanned } = this.#options;
    // In force before it is durable: the disk may be what is broken.
    bans.add(id);
    onBanned(id.uri);
    const saved = await bans.save();
    this.#arm();
    if (saved.ok) return ok('here');
    const why = `agent ${id.uri} is banned, but only until this server stops: ${saved.error.message}`;
    return fail('BAN_NOT_KEPT', why, { cause: saved.error });
  }

  /** The store's answer, or its absence after {@link BAN_WAIT_MS}. */
  async #soon<T>(writing: Promise<Result<T>>): Promise<Result<T>> {
    const { promise, resolve } = Promise.withResolvers<Result<T>>();
    const cancel = this.#options.clock.after(BAN_WAIT_MS, () =>
      resolve(fail('STORE_UNAVAILABLE', `the database did not answer in ${BAN_WAIT_MS} ms`)),
    );
    void writing.then(resolve, resolve);
    const answer = await promise;
    cancel();
    return answer;
  }

  async #flushOnce(): Promise<void> {
    const { bans, store, onEvent, catchUp } = this.#options;
    // What the disk would not take before; the store may stay away for longer than the disk.
    await bans.save();
    for (const agentId of bans.ids()) {
      if (this.#closed) return;
      const written = await store.changeAgent(agentId, { kind: 'banned' });
      if (!written.ok) return this.#retry(written.error);
      // The view first: between the two nobody may find the agent in good standing.
      const shown = await catchUp();
      if (!shown.ok) return this.#retry(shown.error);
      bans.remove(agentId.uri);
      onEvent({ kind: written.value === undefined ? 'gone' : 'written', agentId });
    }
    const saved = await bans.save();
    if (!saved.ok) return this.#retry(saved.error);
    this.#retryMs = FIRST_RETRY_MS;
  }

  #wake(): void {
    const { bans } = this.#options;
    if (!this.#closed && bans.size > 0) void this.flush();
  }

  #retry(error: SignetError): void {
    // Told before waiting, so that whoever hears of it may end the wait.
    const retryMs = this.#arm();
    this.#options.onEvent({ kind: 'failed', error, retryMs });
  }

  /** Tries again after a while, drawn from half to all of the doubling wait. */
  #arm(): number {
    const { clock, random } = this.#options;
    const waitMs = Math.round(this.#retryMs * (0.5 + randomFraction(random) / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    this.#cancelRetry?.();
    if (!this.#closed) this.#cancelRetry = clock.after(waitMs, () => void this.flush());
    return waitMs;
  }
}
