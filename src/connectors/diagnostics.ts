import type { Clock } from '../base/clock.ts';
import type { Event } from '../gen/signet/connector/v1/connector.ts';

/** Connectors whose diagnostics are kept; those that were asked first are forgotten. */
export const MAX_DIAGNOSED = 256;

/** Events that are kept of one answer. */
export const MAX_DIAGNOSTICS_PARTS = 16;

/** Characters that are kept of one answer. */
export const MAX_DIAGNOSTICS_TEXT = 64 * 1024;

/** Something that a connector told when it was asked. */
export interface DiagnosticsPart {
  /** May have several lines; without other controls. */
  readonly text: string;
  readonly warning: boolean;
}

/** What a connector told when it was asked last. */
export interface Diagnostics {
  /** Unix milliseconds. */
  readonly askedAtMs: number;
  /** Unix milliseconds of its last word; 0 while that is to come. */
  readonly answeredAtMs: number;
  readonly parts: readonly DiagnosticsPart[];
  /** Whether it told more than is kept. */
  readonly isCut: boolean;
  /** Why it does not tell, in its own words; undefined where it does. */
  readonly refusal: string | undefined;
}

interface Asked extends Diagnostics {
  answeredAtMs: number;
  readonly parts: DiagnosticsPart[];
  isCut: boolean;
  refusal: string | undefined;
  /** Of the command; undefined until that was sent. */
  nonce: Buffer | undefined;
  room: number;
}

/**
 * What connectors told when operators asked them. Only what was asked for is kept, and of that no more than
 * {@link MAX_DIAGNOSED} × {@link MAX_DIAGNOSTICS_TEXT} characters: a connector cannot fill the memory.
 */
export class DiagnosticsTable {
  readonly #clock: Clock;
  readonly #asked = new Map<string, Asked>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined where it was not asked, or where that is forgotten. */
  of(id: string): Diagnostics | undefined {
    return this.#asked.get(id);
  }

  /** Notes that a connector is asked; what it told before goes. */
  asked(id: string): void {
    this.#asked.delete(id);
    this.#asked.set(id, {
      askedAtMs: this.#clock.nowMs(),
      answeredAtMs: 0,
      parts: [],
      isCut: false,
      refusal: undefined,
      nonce: undefined,
      room: MAX_DIAGNOSTICS_TEXT,
    });
    for (const eldest of this.#asked.keys()) {
      if (this.#asked.size <= MAX_DIAGNOSED) break;
      this.#asked.delete(eldest);
    }
  }

  /** Notes the nonce of the command, by which the answer is known. */
  sent(id: string, nonce: Buffer): void {
    const asked = this.#asked.get(id);
    if (asked !== undefined) asked.nonce = nonce;
  }

  /** Takes an event where it answers what was asked; false where it does not. */
  take(id: string, { commandNonce, message, warning, more }: Event): boolean {
    const asked = this.#waiting(id, commandNonce);
    if (asked === undefined) return false;
    const text = kept(message, asked.room);
    const isFull = asked.parts.length >= MAX_DIAGNOSTICS_PARTS;
    if (isFull || text.length < message.length) asked.isCut = true;
    if (!isFull) {
      asked.parts.push({ text, warning });
      asked.room -= text.length;
    }
    if (!more) asked.answeredAtMs = this.#clock.nowMs();
    return true;
  }

  /** Notes that the connector will not tell, where it was this that it was asked. */
  refused(id: string, nonce: Buffer, why: string): void {
    const asked = this.#waiting(id, nonce);
    if (asked === undefined) return;
    asked.refusal = why;
    asked.answeredAtMs = this.#clock.nowMs();
  }

  #waiting(id: string, nonce: Buffer): Asked | undefined {
    const asked = this.#asked.get(id);
    const isMeant = asked?.nonce?.equals(nonce) === true && asked.answeredAtMs === 0;
    return isMeant ? asked : undefined;
  }
}

/** A copy: a piece of a text would keep the whole of it in memory. */
function kept(text: string, room: number): string {
  const copy = Buffer.from(text.slice(0, room)).toString();
  return copy.replace(/[^\P{Cc}\n\t]/gu, ' ');
}
