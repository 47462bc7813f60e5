import { backOffMs } from '../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { parseCompactJws } from '../../src/spiffe/jws.ts';
import { parseJwtSvidUnverified } from '../../src/spiffe/jwt-svid.ts';
import type { AgentEntry } from './entry.ts';
import { renewalTime } from './x509-svid.ts';

/** Longest token that the server may send, in bytes. */
const MAX_TOKEN_BYTES = 16_384;

/** Delays after failures of background refreshes. */
const RETRY = { firstMs: 1000, maxMs: 30_000 };

/** How long a caller waits for a fresh token while one near its end is held, in milliseconds. */
const PATIENCE_MS = 1000;

/** Asks the server for a JWT-SVID; the answer is the token. */
export type MintJwt = (entryId: string, audience: readonly string[]) => Promise<Result<string>>;

/** What the cache needs. */
export interface JwtCacheParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly mint: MintJwt;
  /** Tokens kept. */
  readonly maxTokens: number;
  /** Requests to the server under way. */
  readonly maxRequests: number;
}

interface Item {
  readonly key: string;
  readonly entry: AgentEntry;
  readonly audience: readonly string[];
  token: string | undefined;
  keyId: string | undefined;
  issuedMs: number;
  notAfterMs: number;
  usedMs: number;
  failures: number;
  minting: Promise<Result<string>> | undefined;
  cancel: Cancel | undefined;
}

/**
 * JWT-SVIDs by entry and set of audiences, the least recently used dropped first. A token in use is
 * refreshed in the background at half its life, so that callers do not wait for the server, and an
 * outage shorter than half a life goes unseen; one that nobody asked for meanwhile is dropped.
 */
export class JwtCache {
  readonly #parts: JwtCacheParts;
  /** In order of last use. */
  readonly #items = new Map<string, Item>();
  #requests = 0;

  constructor(parts: JwtCacheParts) {
    this.#parts = parts;
  }

  /** Tokens held. */
  get size(): number {
    return this.#items.size;
  }

  /**
   * A token of the entry for these audiences (each once). From the cache while it has a quarter of
   * its life left; after that a fresh one, or, where the server does not answer soon, the cached one
   * until it is over. Fails with WORKLOAD_JWT_UNAVAILABLE or WORKLOAD_LIMIT.
   */
  async get(entry: AgentEntry, audience: readonly string[]): Promise<Result<string>> {
    const item = this.#touch(entry, audience);
    const nowMs = this.#parts.clock.nowMs();
    const leftMs = item.notAfterMs - nowMs;
    if (item.token === undefined || leftMs <= 0) return this.#mint(item);
    if (leftMs >= (item.notAfterMs - item.issuedMs) / 4) return ok(item.token);
    const fresh = await this.#soon(this.#mint(item));
    return fresh?.ok === true ? fresh : ok(item.token);
  }

  /** Drops the tokens of entries that are gone or changed. */
  dropEntries(entryIds: ReadonlySet<string>): void {
    this.#dropWhere((item) => entryIds.has(item.entry.id));
  }

  /** Drops the tokens that these keys signed. */
  dropSignedBy(keyIds: ReadonlySet<string>): void {
    this.#dropWhere((item) => item.keyId !== undefined && keyIds.has(item.keyId));
  }

  /** The server can be reached again, or time has jumped: what is due is refreshed. */
  recheck(): void {
    for (const item of this.#items.values()) if (item.failures > 0) this.#refreshIfUsed(item);
  }

  /** Drops every token. */
  clear(): void {
    this.#dropWhere(() => true);
  }

  #touch(entry: AgentEntry, audience: readonly string[]): Item {
    const key = JSON.stringify([entry.id, ...[...audience].sort()]);
    const known = this.#items.get(key);
    // A revision may change what tokens say.
    const item = known?.entry === entry ? known : newItem(key, entry, audience);
    if (known !== undefined && known !== item) known.cancel?.();
    item.usedMs = this.#parts.clock.monotonicMs();
    this.#items.delete(key);
    this.#items.set(key, item);
    if (this.#items.size > this.#parts.maxTokens) {
      for (const [oldest, dropped] of this.#items) {
        dropped.cancel?.();
        this.#items.delete(oldest);
        break;
      }
    }
    return item;
  }

  /** Mints for an item; callers that come meanwhile share the work. */
  #mint(item: Item): Promise<Result<string>> {
    if (item.minting !== undefined) return item.minting;
    if (this.#requests >= this.#parts.maxRequests) {
      return Promise.resolve(fail('WORKLOAD_LIMIT', 'rate limit exceeded for JWT-SVID requests'));
    }
    this.#requests++;
    const work = this.#parts.mint(item.entry.id, item.audience).then((answer) => {
      this.#requests--;
      item.minting = undefined;
      return this.#settle(item, answer);
    });
    item.minting = work;
    return work;
  }

  #settle(item: Item, answer: Result<string>): Result<string> {
    const nowMs = this.#parts.clock.nowMs();
    const token = answer.ok ? readToken(item, answer.value, nowMs) : answer;
    if (!token.ok) {
      item.failures++;
      if (item.token !== undefined && item.notAfterMs > nowMs) {
        this.#wake(item, backOffMs(RETRY, item.failures, this.#parts.random));
      }
      return fail('WORKLOAD_JWT_UNAVAILABLE', `could not fetch JWT-SVID: ${token.error.message}`, {
        cause: token.error,
      });
    }
    item.token = token.value.token;
    item.keyId = token.value.keyId;
    item.issuedMs = nowMs;
    item.notAfterMs = token.value.notAfterMs;
    item.failures = 0;
    this.#wake(item, renewalTime(nowMs, item.notAfterMs, this.#parts.random) - nowMs);
    return ok(item.token);
  }

  #wake(item: Item, delayMs: number): void {
    item.cancel?.();
    // Dropped while its token was on the way: nobody would refresh or drop it again.
    if (this.#items.get(item.key) !== item) return;
    item.cancel = this.#parts.clock.after(delayMs, () => this.#refreshIfUsed(item));
  }

  #refreshIfUsed(item: Item): void {
    const lifeMs = item.notAfterMs - item.issuedMs;
    const idleMs = this.#parts.clock.monotonicMs() - item.usedMs;
    const over = item.notAfterMs <= this.#parts.clock.nowMs();
    if (idleMs > 2 * lifeMs || over) this.#dropWhere((other) => other === item);
    else void this.#mint(item);
  }

  #dropWhere(applies: (item: Item) => boolean): void {
    for (const [key, item] of this.#items) {
      if (!applies(item)) continue;
      item.cancel?.();
      this.#items.delete(key);
    }
  }

  async #soon<T>(work: Promise<T>): Promise<T | undefined> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const cancel = this.#parts.clock.after(PATIENCE_MS, () => resolve(undefined));
    try {
      return await Promise.race([work, late]);
    } finally {
      cancel();
    }
  }
}

function newItem(key: string, entry: AgentEntry, audience: readonly string[]): Item {
  return {
    key,
    entry,
    audience,
    token: undefined,
    keyId: undefined,
    issuedMs: 0,
    notAfterMs: 0,
    usedMs: 0,
    failures: 0,
    minting: undefined,
    cancel: undefined,
  };
}

interface ReadToken {
  readonly token: string;
  readonly keyId: string | undefined;
  readonly notAfterMs: number;
}

/** Clients refuse a token of another subject, without one of their audiences, or that is over. */
function readToken(item: Item, token: string, nowMs: number): Result<ReadToken> {
  const svid = parseJwtSvidUnverified(token);
  if (!svid.ok) return svid;
  const { id, audience, expiresAtSeconds } = svid.value;
  const notAfterMs = expiresAtSeconds * 1000;
  if (id.uri !== item.entry.spiffeId.uri) {
    return fail('AGENT_SERVER_ANSWER', 'the token names another SPIFFE ID');
  }
  if (!item.audience.every((value) => audience.includes(value))) {
    return fail('AGENT_SERVER_ANSWER', 'the token lacks an audience');
  }
  if (notAfterMs <= nowMs) {
    return fail(
      'AGENT_CLOCK_SKEW',
      'the token was over when it came: the clock of this machine is ahead of the server’s',
    );
  }
  const jws = parseCompactJws(token, MAX_TOKEN_BYTES);
  return ok({ token, keyId: jws.ok ? jws.value.keyId : undefined, notAfterMs });
}
