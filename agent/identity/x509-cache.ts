import { backOffMs } from '../../src/base/back-off.ts';
import type { Cancel } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { randomFraction } from '../../src/base/random.ts';
import type { Result } from '../../src/base/result.ts';
import type { AgentEntry } from './entry.ts';
import type { EntryChange } from './entry-set.ts';
import { MintQueue } from './mint-queue.ts';
import { mintX509Svids, type X509MintParts } from './x509-mint.ts';
import type { X509Svid } from './x509-svid.ts';

/** Delays after failures. */
const RETRY = { firstMs: 500, maxMs: 60_000 };

/** Over how long renewals are spread when many are due at once. */
const SPREAD_MS = 5000;

/** Serial numbers of revoked SVIDs that are remembered: more than are ever under way at once. */
const MAX_REVOKED = 20_000;

/** When an SVID is asked for again that a tainted authority signed once more, in milliseconds. */
const TAINTED_RETRY_MS = 5000;

/** Shortest time from an SVID to its renewal, whatever its life. */
const SHORTEST_RENEWAL_MS = 1000;

/** What the cache needs. */
export interface X509CacheParts extends X509MintParts {
  /** The SVIDs of these entries came, went, or are known not to come now. */
  readonly onChange: (entryIds: readonly string[]) => void;
  readonly onFailure: (entry: AgentEntry, error: SignetError) => void;
  /**
   * An SVID is held from now on, of an entry that had none for so long since it was wanted: since the
   * entry came, where it is minted before anybody asks. Undefined where it renews one.
   */
  readonly onMinted?: (entry: AgentEntry, svid: X509Svid, missedMs: number | undefined) => void;
}

/**
 * One entry's SVID. Idle: nobody wants it. Waiting: a timer will queue it. Queued: in the next call.
 * Minting: in a call. From each of the last three it may hold an earlier SVID.
 */
interface Slot {
  entry: AgentEntry;
  state: 'idle' | 'waiting' | 'queued' | 'minting';
  held: X509Svid | undefined;
  /** Open streams that want it, where it is minted on demand. */
  demand: number;
  /** Failures in a row. */
  failures: number;
  /** Since when it is wanted and not held, in monotonic milliseconds. */
  missingSinceMs: number | undefined;
  cancel: Cancel | undefined;
}

/**
 * The X.509-SVIDs of all entries, minted before anybody asks (or on demand where the entry says so),
 * in memory only, renewed at half-life by a timer each.
 */
export class X509Cache {
  readonly #parts: X509CacheParts;
  readonly #slots = new Map<string, Slot>();
  readonly #queue: MintQueue<Slot>;
  #revoked = new Set<string>();
  #paused = false;
  #tainted: ReadonlySet<string> = new Set();

  constructor(parts: X509CacheParts) {
    this.#parts = parts;
    this.#queue = new MintQueue<Slot>({
      take: (slot) => {
        if (slot.state !== 'queued') return false;
        slot.state = 'minting';
        return true;
      },
      run: (slots) => this.#mint(slots),
    });
  }

  /** SVIDs held. */
  get size(): number {
    let held = 0;
    for (const slot of this.#slots.values()) if (slot.held !== undefined) held++;
    return held;
  }

  /** The longest that a held SVID is past its time of renewal, in milliseconds. */
  get lagMs(): number {
    const nowMs = this.#parts.clock.nowMs();
    let lag = 0;
    for (const { held } of this.#slots.values()) {
      if (held !== undefined) lag = Math.max(lag, nowMs - held.renewAtMs);
    }
    return lag;
  }

  /** The SVID of an entry. */
  get(entryId: string): X509Svid | undefined {
    return this.#slots.get(entryId)?.held;
  }

  /** Whether an SVID is about to come: none is held and the first attempt is under way. */
  isPending(entryId: string): boolean {
    const slot = this.#slots.get(entryId);
    if (slot === undefined || slot.held !== undefined || slot.failures > 0) return false;
    return slot.state !== 'idle';
  }

  /** Follows a change of the entries; new and changed ones are minted at once. */
  apply(change: EntryChange): void {
    for (const id of change.removedIds) this.#remove(id);
    for (const entry of change.upserted) {
      if (entry.storeSvid) this.#remove(entry.id);
      else this.#upsert(entry);
    }
  }

  /** Wants an entry's SVID until the answer is called; matters where it is minted on demand. */
  demand(entryId: string): () => void {
    const slot = this.#slots.get(entryId);
    if (slot === undefined) return () => {};
    slot.demand++;
    if (slot.state === 'idle') this.#ask(slot);
    let wanted = true;
    return () => {
      if (wanted) slot.demand--;
      wanted = false;
    };
  }

  /** Renews at once what any of these authorities signed (key identifiers in hex). */
  renewSignedBy(keyIds: ReadonlySet<string>): void {
    this.#tainted = this.#tainted.union(keyIds);
    this.#renewWhere((svid) => this.#isTainted(svid));
  }

  /**
   * Replaces at once the SVIDs with these serial numbers (decimal). They are given to nobody any more:
   * streams that have one keep it until the next comes, those that open meanwhile wait for that.
   */
  replaceRevoked(serials: ReadonlySet<string>): void {
    // One that was signed before may come in after its revocation.
    this.#revoked = new Set([...this.#revoked, ...serials].slice(-MAX_REVOKED));
    for (const slot of this.#slots.values()) {
      if (slot.held === undefined || !serials.has(slot.held.serial)) continue;
      slot.held = undefined;
      slot.failures = 0;
      if (isWanted(slot)) this.#ask(slot);
      else if (slot.state === 'waiting') this.#idle(slot);
    }
  }

  /**
   * The server can be reached again, or time has jumped: what is missing is asked for at once, what
   * is due soon after, what is over is dropped.
   */
  recheck(): void {
    const nowMs = this.#parts.clock.nowMs();
    const dropped: string[] = [];
    for (const [id, slot] of this.#slots) {
      if (this.#dropIfOver(slot, nowMs)) dropped.push(id);
      if (slot.state !== 'waiting') continue;
      if (slot.held === undefined) this.#ask(slot);
      else if (slot.held.renewAtMs <= nowMs) {
        this.#wait(slot, SPREAD_MS * randomFraction(this.#parts.random));
      }
    }
    if (dropped.length > 0) this.#parts.onChange(dropped);
  }

  /** Forgets every SVID and mints none until {@link resume}: the node is in quarantine. */
  pause(): void {
    this.#paused = true;
    this.#queue.pause();
    for (const slot of this.#slots.values()) {
      slot.held = undefined;
      slot.cancel?.();
    }
  }

  /** Ends {@link pause}: mints everything anew. */
  resume(): void {
    this.#paused = false;
    for (const slot of this.#slots.values()) {
      slot.failures = 0;
      if (slot.state === 'waiting') slot.state = 'idle';
      if (slot.state === 'idle' && isWanted(slot)) this.#ask(slot);
    }
    this.#queue.resume();
  }

  /** Ends all timers and forgets every key. */
  close(): void {
    this.#queue.pause();
    for (const id of [...this.#slots.keys()]) this.#remove(id);
  }

  #upsert(entry: AgentEntry): void {
    const known = this.#slots.get(entry.id);
    const slot: Slot = known ?? {
      entry,
      state: 'idle',
      held: undefined,
      demand: 0,
      failures: 0,
      missingSinceMs: undefined,
      cancel: undefined,
    };
    if (known === undefined) this.#slots.set(entry.id, slot);
    // An SVID of another ID is not this entry's any more; one with other DNS names still serves.
    if (slot.held?.spiffeId.uri !== entry.spiffeId.uri) slot.held = undefined;
    slot.entry = entry;
    slot.failures = 0;
    if (isWanted(slot)) this.#ask(slot);
    else slot.held = undefined;
  }

  #remove(id: string): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) return;
    slot.cancel?.();
    slot.held = undefined;
    slot.state = 'idle';
    this.#slots.delete(id);
  }

  #isTainted({ authorityKeyIds }: X509Svid): boolean {
    return authorityKeyIds.some((keyId) => this.#tainted.has(keyId));
  }

  #renewWhere(applies: (svid: X509Svid) => boolean): void {
    for (const slot of this.#slots.values()) {
      if (slot.held !== undefined && applies(slot.held)) this.#ask(slot);
    }
  }

  #ask(slot: Slot): void {
    slot.cancel?.();
    slot.cancel = undefined;
    if (slot.state === 'queued') return;
    // In a call already: what comes back may be of an older revision, so it is asked for again.
    slot.state = 'queued';
    if (slot.held === undefined) slot.missingSinceMs ??= this.#parts.clock.monotonicMs();
    this.#queue.push(slot, slot.held === undefined ? 'first' : 'renewal');
  }

  async #mint(slots: readonly Slot[]): Promise<void> {
    const entries = slots.map(({ entry }) => entry);
    const answers = await mintX509Svids(this.#parts, entries);
    const changed: string[] = [];
    for (const [index, slot] of slots.entries()) {
      const entry = entries[index];
      const answer = answers[index];
      if (entry === undefined || answer === undefined) continue;
      if (this.#settle(slot, entry, answer)) changed.push(entry.id);
    }
    if (changed.length > 0) this.#parts.onChange(changed);
  }

  /** Takes the answer for a slot. Answers whether those who wait for it have to look again. */
  #settle(slot: Slot, entry: AgentEntry, svid: Result<X509Svid>): boolean {
    const current = this.#slots.get(entry.id);
    // Gone, changed or asked for again meanwhile: the answer is of no use.
    if (current !== slot || slot.entry !== entry || slot.state !== 'minting' || this.#paused) {
      if (current === slot && slot.state === 'minting') slot.state = 'idle';
      return false;
    }
    const nowMs = this.#parts.clock.nowMs();
    if (svid.ok && this.#revoked.has(svid.value.serial)) {
      this.#ask(slot);
      return false;
    }
    if (svid.ok) {
      slot.held = svid.value;
      slot.failures = 0;
      this.#minted(slot, svid.value);
      const dueMs = Math.max(svid.value.renewAtMs - nowMs, SHORTEST_RENEWAL_MS);
      // A server may need a moment to go over to another authority.
      this.#wait(slot, this.#isTainted(svid.value) ? TAINTED_RETRY_MS : dueMs);
      return true;
    }
    this.#parts.onFailure(entry, svid.error);
    slot.failures++;
    const dropped = this.#dropIfOver(slot, nowMs);
    const retryMs = backOffMs(RETRY, slot.failures, this.#parts.random);
    const untilOverMs = slot.held === undefined ? retryMs : slot.held.notAfterMs - nowMs;
    this.#wait(slot, Math.min(retryMs, untilOverMs));
    return dropped || slot.failures === 1;
  }

  #minted(slot: Slot, svid: X509Svid): void {
    const { missingSinceMs } = slot;
    slot.missingSinceMs = undefined;
    const { onMinted, clock } = this.#parts;
    const missedMs =
      missingSinceMs === undefined ? undefined : clock.monotonicMs() - missingSinceMs;
    onMinted?.(slot.entry, svid, missedMs);
  }

  #wait(slot: Slot, delayMs: number): void {
    slot.cancel?.();
    slot.state = 'waiting';
    slot.cancel = this.#parts.clock.after(delayMs, () => {
      const { id } = slot.entry;
      if (this.#dropIfOver(slot, this.#parts.clock.nowMs())) this.#parts.onChange([id]);
      if (isWanted(slot)) {
        this.#ask(slot);
        return;
      }
      this.#idle(slot);
    });
  }

  #idle(slot: Slot): void {
    slot.cancel?.();
    slot.cancel = undefined;
    slot.state = 'idle';
    slot.held = undefined;
    slot.missingSinceMs = undefined;
  }

  #dropIfOver(slot: Slot, nowMs: number): boolean {
    if (slot.held === undefined || slot.held.notAfterMs > nowMs) return false;
    slot.held = undefined;
    return true;
  }
}

function isWanted(slot: Slot): boolean {
  return slot.entry.prefetch || slot.demand > 0;
}
