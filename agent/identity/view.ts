import { Encoded } from '../../src/rpc/service.ts';
import type { AgentEntry } from './entry.ts';
import {
  encodeJwtBundles,
  encodeX509Bundles,
  encodeX509Response,
  type ServedX509,
} from './responses.ts';
import type { TrustBundle } from './trust-bundle.ts';
import type { X509Svid } from './x509-svid.ts';

/** What a view is made from; its owner tells it when any of it changed. */
export interface ViewSource {
  /** Entries served to a process with these selectors, in serving order. */
  match(selectors: ReadonlySet<string>): readonly AgentEntry[];
  svid(entryId: string): X509Svid | undefined;
  isPending(entryId: string): boolean;
  /** Wants an entry's SVID until the answer is called. */
  demand(entryId: string): () => void;
  /** The own bundle first, then those of the trust domains named that are held. */
  bundles(federatesWith: ReadonlySet<string>): readonly TrustBundle[];
  /** The CRL of the own trust domain, where the server gives one. */
  crl(): Uint8Array | undefined;
}

/** What a stream has to do now: send this, wait for a change, or end since nothing is served. */
export type ViewAnswer =
  | { readonly kind: 'send'; readonly message: Encoded }
  | { readonly kind: 'wait' }
  | { readonly kind: 'none' };

const WAIT: ViewAnswer = { kind: 'wait' };
const NONE: ViewAnswer = { kind: 'none' };

/** Which message of a view. */
export type ViewTopic = 'x509' | 'x509Bundles' | 'jwtBundles';

/** A message, made when first asked for after a change. */
interface Made {
  answer: ViewAnswer;
  stale: boolean;
}

/**
 * What all processes with one set of selectors are served. Each message is encoded once, whoever
 * asks; one that comes out as it was stays the same object, so that streams can tell by identity
 * that there is nothing to send (WLAPI-5).
 */
export class View {
  readonly key: string;
  readonly selectors: ReadonlySet<string>;
  readonly #source: ViewSource;
  #entries: readonly AgentEntry[] = [];
  #entryIds: ReadonlySet<string> = new Set();
  readonly #made: Record<ViewTopic, Made> = {
    x509: { answer: WAIT, stale: true },
    x509Bundles: { answer: WAIT, stale: true },
    jwtBundles: { answer: WAIT, stale: true },
  };
  readonly #listeners = new Set<() => void>();
  #x509Listeners = 0;
  #demands: (() => void)[] = [];

  constructor(key: string, selectors: readonly string[], source: ViewSource) {
    this.key = key;
    this.selectors = new Set(selectors);
    this.#source = source;
    this.rematch();
  }

  /** Identities of the process, in serving order; the first is its default. */
  get entries(): readonly AgentEntry[] {
    return this.#entries;
  }

  /** Streams that follow this view. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Whether an entry's SVID is shown here. */
  shows(entryId: string): boolean {
    return this.#entryIds.has(entryId);
  }

  /** The message of a topic as it stands now. */
  answer(topic: ViewTopic): ViewAnswer {
    const made = this.#made[topic];
    if (!made.stale) return made.answer;
    made.stale = false;
    made.answer = sameOr(made.answer, this.#make(topic, made.answer));
    return made.answer;
  }

  /** Calls `listener` after each change until the answer is called. */
  subscribe(topic: ViewTopic, listener: () => void): () => void {
    this.#listeners.add(listener);
    if (topic === 'x509') this.#countX509(1);
    let subscribed = true;
    return () => {
      if (!subscribed) return;
      subscribed = false;
      this.#listeners.delete(listener);
      if (topic === 'x509') this.#countX509(-1);
    };
  }

  /** The entries changed. */
  rematch(): void {
    this.#entries = this.#source.match(this.selectors);
    this.#entryIds = new Set(this.#entries.map(({ id }) => id));
    if (this.#x509Listeners > 0) this.#renewDemands();
    this.spoil();
  }

  /** SVIDs or bundles changed. */
  spoil(): void {
    for (const made of Object.values(this.#made)) made.stale = true;
  }

  /** Tells every stream to look again. */
  notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #countX509(change: 1 | -1): void {
    this.#x509Listeners += change;
    if (this.#x509Listeners === 1 && change === 1) this.#renewDemands();
    if (this.#x509Listeners === 0) this.#renewDemands();
  }

  #renewDemands(): void {
    const old = this.#demands;
    this.#demands =
      this.#x509Listeners === 0
        ? []
        : this.#entries
            .filter(({ prefetch }) => !prefetch)
            .map(({ id }) => this.#source.demand(id));
    for (const release of old) release();
  }

  #make(topic: ViewTopic, last: ViewAnswer): ViewAnswer {
    const bundles = this.#source.bundles(this.#federation());
    const own = bundles[0];
    if (own === undefined) return WAIT;
    if (topic === 'x509Bundles') return send(encodeX509Bundles(bundles, this.#source.crl()));
    if (topic === 'jwtBundles') return send(encodeJwtBundles(bundles));
    if (this.#entries.length === 0) return NONE;
    const served = this.#served();
    const incomplete = this.#entries.some(({ id }) => this.#source.isPending(id));
    // The first message names the default identity, so it waits for all; later ones add what comes.
    if (served.length === 0 || (incomplete && last.kind !== 'send')) return WAIT;
    const federated = bundles.slice(1);
    return send(encodeX509Response(served, { own, federated, crl: this.#source.crl() }));
  }

  #served(): readonly ServedX509[] {
    const served: ServedX509[] = [];
    for (const entry of this.#entries) {
      const svid = this.#source.svid(entry.id);
      if (svid !== undefined) served.push({ entry, svid });
    }
    return served;
  }

  #federation(): ReadonlySet<string> {
    return new Set(
      this.#entries.flatMap(({ federatesWith }) => federatesWith.map(({ name }) => name)),
    );
  }
}

function send(bytes: Buffer): ViewAnswer {
  return { kind: 'send', message: new Encoded(bytes) };
}

function sameOr(last: ViewAnswer, next: ViewAnswer): ViewAnswer {
  if (last.kind !== 'send' || next.kind !== 'send') return next;
  return last.message.bytes.equals(next.message.bytes) ? last : next;
}
