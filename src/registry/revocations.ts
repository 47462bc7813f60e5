import { MultiMap } from '../base/multi-map.ts';
import type { Revocation } from '../rules/revocation.ts';

/**
 * The X.509-SVIDs that were taken back, by serial and by the agent that holds them. What has ended is
 * let go, so that it costs by what is revoked and alive, not by what ever was.
 */
export class Revocations {
  readonly #bySerial = new Map<string, Revocation>();
  readonly #byAgent = new MultiMap<Revocation>();
  readonly #listeners = new Set<() => void>();

  /** Revocations held. */
  get size(): number {
    return this.#bySerial.size;
  }

  /** All of them, in the order in which they came. */
  all(): Iterable<Revocation> {
    return this.#bySerial.values();
  }

  /** The revocation of a serial number (decimal). */
  get(serial: string): Revocation | undefined {
    return this.#bySerial.get(serial);
  }

  /** Those of SVIDs that were issued through an agent, its own included. */
  ofAgent(agentUri: string): Iterable<Revocation> {
    return this.#byAgent.get(agentUri);
  }

  /** Takes one in; answers the agent that has to hear of it, where there is one. */
  add(revocation: Revocation): string | undefined {
    // It never changes: the feed may tell of it again after the state was read.
    if (this.#bySerial.has(revocation.serial)) return undefined;
    this.#bySerial.set(revocation.serial, revocation);
    const agentUri = revocation.agentId?.uri;
    if (agentUri !== undefined) this.#byAgent.add(agentUri, revocation);
    return agentUri;
  }

  /** Lets go of what had ended by a moment (Unix seconds). Answers whether anything went. */
  dropEnded(endedBySeconds: number): boolean {
    let dropped = false;
    for (const revocation of this.#bySerial.values()) {
      if (revocation.notAfterSeconds > endedBySeconds) continue;
      this.#bySerial.delete(revocation.serial);
      const agentUri = revocation.agentId?.uri;
      if (agentUri !== undefined) this.#byAgent.remove(agentUri, revocation);
      dropped = true;
    }
    return dropped;
  }

  /** Forgets everything: the whole state is read again. */
  clear(): void {
    this.#bySerial.clear();
    this.#byAgent.clear();
  }

  /** Calls `listener` after revocations came or went. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells the listeners, once for all that came together. */
  notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
