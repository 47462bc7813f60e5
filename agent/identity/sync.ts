import { backOffMs } from '../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { type Random, randomFraction } from '../../src/base/random.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { type Denial, denialOf, isUnimplemented } from '../attestation/server-call.ts';
import type { ServerClients } from '../attestation/server-clients.ts';
import type { ClockOffset } from './clock-offset.ts';
import type { Identities } from './identities.ts';
import { pollOnce } from './poll-sync.ts';
import { type FeedPosition, followPush } from './push-sync.ts';

/** Time between polls of a server that does not push (SPIRE's), in milliseconds. */
const POLL_MS = 5000;

/** Delays after failures. */
const RETRY = { firstMs: 200, maxMs: 30_000 };

/**
 * A stream that was served so long was no failure, in milliseconds: delays begin anew. One that ends
 * sooner keeps them growing: a server that comes up and falls, or two agents that take one identity
 * from each other, would otherwise send a snapshot five times a second.
 */
const GOOD_STREAM_MS = 10_000;

/** How the agent learns of changes. */
export type SyncMode = 'none' | 'push' | 'poll';

/** What synchronisation needs. */
export interface SyncParts {
  readonly identities: Identities;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly offset: ClockOffset;
  readonly version: string;
  readonly onDenied: (denial: Denial, message: string) => void;
  readonly onReattest: (reason: string) => void;
  /** Reconnect now. */
  readonly onRedial: () => void;
}

/**
 * Keeps the identities in step with the server: by push, or by polling where the server knows no
 * push. Idle until it gets clients; after each failure it tries again with growing delays; new
 * clients replace the old ones at once. What is held stays in use meanwhile.
 */
export class Sync {
  readonly #parts: SyncParts;
  readonly #position: FeedPosition = {
    feedId: '',
    revision: 0n,
    bundleSequence: 0n,
    crlNumber: 0n,
    quarantined: false,
  };
  #agentId = '';
  #abort: AbortController | undefined;
  #rebalance: Cancel | undefined;
  #mode: SyncMode = 'none';
  #freshMs: number | undefined;

  constructor(parts: SyncParts) {
    this.#parts = parts;
  }

  /** How changes arrive now. */
  get mode(): SyncMode {
    return this.#mode;
  }

  /** Milliseconds since the state was last known to be the server's; undefined before the first time. */
  get ageMs(): number | undefined {
    if (this.#freshMs === undefined) return undefined;
    // An open push stream says that nothing changed by saying nothing.
    return this.#mode === 'push' ? 0 : this.#parts.clock.monotonicMs() - this.#freshMs;
  }

  /** Follows the server over these clients, as this agent, from now on. */
  use(clients: ServerClients, agentId: SpiffeId): void {
    this.#abort?.abort();
    // What another agent followed says nothing about this one's entries.
    if (agentId.uri !== this.#agentId) this.#forgetPosition();
    this.#agentId = agentId.uri;
    const abort = new AbortController();
    this.#abort = abort;
    void this.#run(clients, abort.signal);
  }

  /** Ends following; what is held stays. */
  stop(): void {
    this.#abort?.abort();
    this.#rebalance?.();
    this.#mode = 'none';
  }

  async #run(clients: ServerClients, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const { error, servedMs } = await this.#push(clients, signal);
      if (signal.aborted) return;
      if (error !== undefined && isUnimplemented(error)) {
        await this.#poll(clients, signal);
        return;
      }
      this.#mode = 'none';
      failures = servedMs > GOOD_STREAM_MS ? 1 : failures + 1;
      this.#failed(error, failures);
      await this.#pause(backOffMs(RETRY, failures, this.#parts.random), signal);
    }
  }

  /** Follows one stream to its end: why it ended, and for how long it was served. */
  async #push(
    clients: ServerClients,
    signal: AbortSignal,
  ): Promise<{ readonly error: SignetError | undefined; readonly servedMs: number }> {
    const { identities, clock, offset, version, log } = this.#parts;
    this.#position.bundleSequence = identities.ownBundle?.bundle.sequence ?? 0n;
    // Not since the attempt: one that hangs for long and fails was no good stream.
    let servedSinceMs: number | undefined;
    const error = await followPush(
      {
        client: clients.sync,
        sink: identities,
        position: this.#position,
        version,
        trustDomainName: this.#parts.trustDomain.name,
        clock,
        offset,
        onFresh: () => {
          if (signal.aborted) return;
          this.#mode = 'push';
          this.#freshMs = clock.monotonicMs();
          servedSinceMs ??= this.#freshMs;
        },
        onReattest: this.#parts.onReattest,
        onRebalance: (withinSeconds) => this.#scheduleRedial(withinSeconds),
        onQuarantine: (active, reason) => {
          log.warn({ active, reason }, active ? 'node is in quarantine' : 'quarantine is lifted');
        },
      },
      signal,
    );
    const nowMs = clock.monotonicMs();
    return { error, servedMs: nowMs - (servedSinceMs ?? nowMs) };
  }

  async #poll(clients: ServerClients, signal: AbortSignal): Promise<void> {
    this.#parts.log.info('the server does not push: polling it every 5 s');
    // Were the next server one that pushes, what it is told must not look resumable.
    this.#forgetPosition();
    for (let failures = 0; !signal.aborted; ) {
      const polled = await pollOnce(clients, this.#parts.identities);
      if (signal.aborted) return;
      if (polled.ok) {
        failures = 0;
        this.#mode = 'poll';
        this.#freshMs = this.#parts.clock.monotonicMs();
        this.#parts.identities.synchronised();
        await this.#pause(POLL_MS * (0.9 + 0.2 * randomFraction(this.#parts.random)), signal);
      } else {
        failures++;
        this.#failed(polled.error, failures);
        await this.#pause(backOffMs(RETRY, failures, this.#parts.random), signal);
      }
    }
  }

  #forgetPosition(): void {
    this.#position.feedId = '';
    this.#position.revision = 0n;
  }

  #failed(error: SignetError | undefined, failures: number): void {
    const reason = error?.message ?? 'the server ended the stream';
    const denial = error === undefined ? undefined : denialOf(error);
    if (denial !== undefined) {
      this.#parts.onDenied(denial, `${reason}${this.#parts.offset.explain()}`);
    }
    // The first interruption is part of any restart of the server.
    const level = failures > 1 ? 'warn' : 'info';
    this.#parts.log[level]({ reason, failures }, 'synchronisation interrupted');
  }

  #scheduleRedial(withinSeconds: number): void {
    this.#rebalance?.();
    const delayMs = withinSeconds * 1000 * randomFraction(this.#parts.random);
    this.#rebalance = this.#parts.clock.after(delayMs, this.#parts.onRedial);
  }

  #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#parts.clock.after(delayMs, done);
      signal.addEventListener('abort', done);
    });
  }
}
