import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import type { AgentRecord } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { BundleAck, Store } from '../store/store.ts';
import type { Registry } from './registry.ts';

/** An agent that was not heard for so long is not waited for, in milliseconds. */
export const SILENT_AFTER_MS = 120_000;

/** Acknowledgements are written together, this long after the first of them. */
const WRITE_DELAY_MS = 100;

/** How often agents that are connected and behind are written down as heard, for other servers. */
const HEARD_EVERY_MS = 30_000;

/** What the acknowledgements stand on. */
export interface BundleAcksOptions {
  readonly registry: Pick<Registry, 'bundle' | 'onBundle' | 'listAgents'>;
  readonly store: Pick<Store, 'loadBundleAcks' | 'recordBundleAcks'>;
  readonly clock: Clock;
  /** Told when acknowledgements could not be written; they are tried again with the next. */
  readonly onFault?: (error: SignetError) => void;
}

/** What this server knows of one agent. */
interface Heard {
  /** Newest bundle that it has; undefined where it said nothing to this server yet. */
  sequence: bigint | undefined;
  heardAtMs: number;
  /** Push streams that are open: who has one is not silent. */
  streams: number;
}

/** A bundle that agents must have. */
export interface AwaitedBundle {
  readonly sequence: bigint;
  /** When it was published, in Unix milliseconds. */
  readonly publishedAtMs: number;
}

/**
 * Which agent has which bundle: by `Ack` on a push stream, or by GetBundle of an agent that polls.
 * Stored, so that neither a restart nor another server has to ask again.
 */
export class BundleAcks {
  readonly #options: BundleAcksOptions;
  readonly #startedAtMs: number;
  readonly #agents = new Map<string, Heard>();
  readonly #unwritten = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #endBundles: () => void;
  #cancelWrite: Cancel | undefined;
  #cancelHeard: Cancel = () => {};
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: BundleAcksOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.nowMs();
    this.#endBundles = options.registry.onBundle(() => this.#armHeard());
    this.#armHeard();
  }

  /** An agent has this bundle. What is newer than the bundle itself counts for nothing. */
  acked(agentId: SpiffeId, sequence: bigint): void {
    const current = this.#options.registry.bundle?.sequence;
    const agent = this.#heard(agentId.uri);
    if (current === undefined || sequence > current || agent.sequence === sequence) return;
    agent.sequence = sequence;
    this.#write(agentId.uri);
  }

  /** An agent's push stream is open until the answer is called. */
  connected(agentId: SpiffeId): () => void {
    const agent = this.#heard(agentId.uri);
    agent.streams += 1;
    return () => {
      agent.streams -= 1;
      agent.heardAtMs = this.#options.clock.nowMs();
    };
  }

  /**
   * IDs of the agents that have a valid SVID, do not have the bundle, and were not silent for two
   * minutes. Who was heard last before this server started, or before the bundle was published, gets
   * two minutes from then: it may have been connected until then, or be to another server.
   */
  async missing({ sequence, publishedAtMs }: AwaitedBundle): Promise<Result<readonly string[]>> {
    const loaded = await this.#options.store.loadBundleAcks();
    if (!loaded.ok) return loaded;
    const stored = new Map(loaded.value.map((ack) => [ack.agentId, ack]));
    const agents = this.#options.registry.listAgents({}, { pageSize: 0, pageToken: '' });
    if (!agents.ok) return agents;
    this.#forgetAllBut(new Set(agents.value.items.map(({ id }) => id.uri)));
    const silentBeforeMs = this.#options.clock.nowMs() - SILENT_AFTER_MS;
    const since = Math.max(this.#startedAtMs, publishedAtMs);
    const missing = agents.value.items.filter((agent) => {
      if (agent.banned || !this.#isAlive(agent)) return false;
      const { heardAtMs, has } = this.#progressOf(agent, stored.get(agent.id.uri));
      return has < sequence && Math.max(heardAtMs, since) > silentBeforeMs;
    });
    return ok(missing.map(({ id }) => id.uri));
  }

  /** Calls `listener` when agents got further and that is written. Returns what ends it. */
  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes what is not written yet and ends the timers. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#endBundles();
    this.#cancelHeard();
    this.#cancelWrite?.();
    await this.#writing;
    await this.#flush();
  }

  #forgetAllBut(known: ReadonlySet<string>): void {
    for (const [agentId, { streams }] of this.#agents) {
      if (streams === 0 && !known.has(agentId)) this.#agents.delete(agentId);
    }
  }

  #heard(agentId: string): Heard {
    const known = this.#agents.get(agentId);
    const nowMs = this.#options.clock.nowMs();
    const agent = known ?? { sequence: undefined, heardAtMs: nowMs, streams: 0 };
    agent.heardAtMs = nowMs;
    if (known === undefined) this.#agents.set(agentId, agent);
    return agent;
  }

  #isAlive({ expiresAtSeconds, newExpiresAtSeconds }: AgentRecord): boolean {
    const end = Math.max(expiresAtSeconds, newExpiresAtSeconds ?? 0);
    return this.#options.clock.nowMs() <= end * 1000;
  }

  #progressOf(
    agent: AgentRecord,
    stored: BundleAck | undefined,
  ): { readonly heardAtMs: number; readonly has: bigint } {
    const here = this.#agents.get(agent.id.uri);
    const connected = here !== undefined && here.streams > 0;
    return {
      heardAtMs: Math.max(
        connected ? this.#options.clock.nowMs() : (here?.heardAtMs ?? 0),
        stored?.heardAtMs ?? 0,
        agent.attestedAtSeconds * 1000,
      ),
      // Whoever heard it last knows: an agent may have gone to another server.
      has:
        here?.sequence !== undefined && here.heardAtMs >= (stored?.heardAtMs ?? 0)
          ? here.sequence
          : (stored?.sequence ?? 0n),
    };
  }

  #write(agentId: string): void {
    this.#unwritten.add(agentId);
    if (this.#cancelWrite !== undefined || this.#closed) return;
    this.#cancelWrite = this.#options.clock.after(WRITE_DELAY_MS, () => {
      this.#cancelWrite = undefined;
      this.#writing = this.#writing.then(() => this.#flush());
    });
  }

  async #flush(): Promise<void> {
    const ids = [...this.#unwritten];
    if (ids.length === 0) return;
    this.#unwritten.clear();
    const acks = ids.flatMap((agentId): BundleAck[] => {
      const agent = this.#agents.get(agentId);
      if (agent === undefined) return [];
      return [{ agentId, sequence: agent.sequence ?? 0n, heardAtMs: agent.heardAtMs }];
    });
    const written = await this.#options.store.recordBundleAcks(acks);
    if (!written.ok) {
      for (const id of ids) this.#unwritten.add(id);
      this.#options.onFault?.(written.error);
    }
    // What is not written is known to this server all the same.
    for (const listener of [...this.#listeners]) listener();
  }

  /** Other servers must not take an agent for silent that is connected here and behind. */
  #armHeard(): void {
    this.#cancelHeard();
    if (this.#closed) return;
    this.#cancelHeard = this.#options.clock.after(HEARD_EVERY_MS, () => {
      const current = this.#options.registry.bundle?.sequence ?? 0n;
      const behind = [...this.#agents].filter(
        ([, { streams, sequence }]) => streams > 0 && (sequence ?? 0n) < current,
      );
      for (const [agentId] of behind) {
        this.#heard(agentId);
        this.#write(agentId);
      }
      if (behind.length > 0) this.#armHeard();
    });
  }
}
