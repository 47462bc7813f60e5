import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { AgentRecord } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { Store } from '../store/store.ts';
import { KeptWriter } from './kept-writer.ts';
import type { LocalBans } from './local-bans.ts';

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
 * it.
 */
export class BanKeeper {
  readonly #options: BanKeeperOptions;
  readonly #writer: KeptWriter<SpiffeId>;

  constructor(options: BanKeeperOptions) {
    this.#options = options;
    const { store, bans } = options;
    this.#writer = new KeptWriter({
      ...options,
      list: bans,
      keyOf: ({ uri }) => uri,
      onWake: (wake) => store.onWake(wake),
      async write(id) {
        const written = await store.changeAgent(id, { kind: 'banned' });
        return written.ok ? ok(written.value !== undefined) : written;
      },
      onEvent: (event) =>
        options.onEvent(
          event.kind === 'failed' ? event : { kind: event.kind, agentId: event.item },
        ),
    });
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
    const written = orHere ? await this.#writer.soon(writing) : await writing;
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
  lift(agentUri: string): Promise<void> {
    return this.#writer.lift(agentUri);
  }

  /** Offers the kept bans to the store once; what it does not take it is offered again, later. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /** Stops offering. What is kept stays in the file. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  async #keep(id: SpiffeId): Promise<Result<BanReach>> {
    const { bans, onBanned } = this.#options;
    // In force before it is durable: the disk may be what is broken.
    bans.add(id);
    onBanned(id.uri);
    const saved = await this.#writer.keep();
    if (saved.ok) return ok('here');
    const why = `agent ${id.uri} is banned, but only until this server stops: ${saved.error.message}`;
    return fail('BAN_NOT_KEPT', why, { cause: saved.error });
  }
}

/** Refuses an agent that is banned on this server. */
export function bannedHere(id: SpiffeId): Result<never> {
  const reason = 'AGENT_BANNED';
  return fail(reason, `agent ${id.uri} is banned`, { details: { reason } });
}
