import { createHash } from 'node:crypto';
import { type SegmentUpdate, ServerMessage } from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import { Encoded } from '../rpc/service.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { ServedView } from '../rules/connector/served-index.ts';
import { SegmentSum, segmentFacts } from './segment-sum.ts';
import { toWireSegment } from './wire-segments.ts';

/** Most bytes of one message with segments, that of its frame left out. */
export const MAX_CHUNK_BYTES = 1024 * 1024;

/** Versions from which a change is still known. */
const MAX_HISTORY = 64;

/** Changes of so many segments are sent as such, however few segments there are. */
const SMALL_CHANGE = 64;

/** One version of what a group serves, to be looked at while it is the current one. */
export interface SegmentVersion {
  /**
   * `<greatest revision>-<hash>`: the same for the same segments on every server, also after a restart, so
   * that a connector that has them is sent nothing.
   */
  readonly version: string;
  /** By ID, in no order. */
  readonly served: ReadonlyMap<string, ConnectorSegment>;
}

/** What brings a connector to a version: encoded once, sent to all that need the same. */
export interface SegmentMessages {
  readonly version: string;
  readonly nonce: Buffer;
  readonly chunks: readonly Encoded[];
}

/** Where a feed reads. */
export type SegmentSource = Pick<ConnectorView, 'servedOf'>;

/** The segments of one group, in versions, and the changes between them. */
export class SegmentFeed {
  readonly #group: string;
  readonly #view: SegmentSource;
  /** What it was read from last, and how far. */
  #source: ServedView<ConnectorSegment>;
  #position = 0;
  readonly #served = new Map<string, ConnectorSegment>();
  readonly #sum = new SegmentSum();
  #current: SegmentVersion;
  /** What changed with each of the last versions, against the one before it. */
  #history: { readonly version: string; readonly changed: ReadonlySet<string> }[];
  /** Messages to the current version, by the version that they are from; empty is the full set. */
  readonly #messages = new Map<string, SegmentMessages>();

  constructor(group: string, view: SegmentSource) {
    this.#group = group;
    this.#view = view;
    this.#source = view.servedOf(group);
    this.#take(this.#source.served.keys());
    this.#current = { version: this.#sum.version(this.#served.values()), served: this.#served };
    this.#history = [{ version: this.#current.version, changed: new Set() }];
  }

  get current(): SegmentVersion {
    return this.#current;
  }

  /** Reads what changed of the group's segments. Answers whether there is another version now. */
  refresh(): boolean {
    const { version: before } = this.#current;
    const source = this.#view.servedOf(this.#group);
    const since = source === this.#source ? source.changedSince(this.#position) : undefined;
    this.#source = source;
    const changed = this.#take(since ?? new Set([...this.#served.keys(), ...source.served.keys()]));
    const version = this.#sum.version(this.#served.values());
    if (version === before) return false;
    this.#current = { version, served: this.#served };
    this.#messages.clear();
    this.#history.push({ version, changed });
    if (this.#history.length > MAX_HISTORY) this.#history = this.#history.slice(-MAX_HISTORY);
    return true;
  }

  /** Takes over how segments are served now; answers those that connectors have to be told of. */
  #take(ids: Iterable<string>): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const id of ids) {
      const before = this.#served.get(id);
      const now = this.#source.served.get(id);
      if (now === before) continue;
      if (now === undefined) this.#served.delete(id);
      else this.#served.set(id, now);
      if (this.#sum.replace(before, now)) changed.add(id);
    }
    this.#position = this.#source.position;
    return changed;
  }

  /**
   * What brings a connector that has accepted `from` to the current version: a change where that is known
   * and short, else the full set. Empty has nothing yet.
   */
  messagesFrom(from: string): SegmentMessages {
    const changed = from === '' ? undefined : this.#changedSince(from);
    const { served } = this.#current;
    const isShort =
      changed !== undefined && (changed.size <= SMALL_CHANGE || changed.size * 2 <= served.size);
    return isShort ? this.#kept(from, changed) : this.#kept('', undefined);
  }

  #changedSince(from: string): ReadonlySet<string> | undefined {
    const at = this.#history.findLastIndex(({ version }) => version === from);
    if (at === -1) return undefined;
    const changed = new Set<string>();
    for (const step of this.#history.slice(at + 1)) {
      for (const id of step.changed) changed.add(id);
    }
    return changed;
  }

  #kept(base: string, changed: ReadonlySet<string> | undefined): SegmentMessages {
    const known = this.#messages.get(base);
    if (known !== undefined) return known;
    const { version, served } = this.#current;
    const nonce = createHash('sha256').update(`${version}\0${base}`).digest().subarray(0, 8);
    const ids = [...(changed ?? served.keys())].sort();
    const chunks = [...chunksOf(ids, served)].map(({ segments, removedIds }, at, all) => {
      const last = at === all.length - 1;
      const full = changed === undefined;
      return encode({ full, segments, removedIds, version, nonce, last, baseVersion: base });
    });
    const messages = { version, nonce, chunks };
    this.#messages.set(base, messages);
    return messages;
  }
}

interface Chunk {
  readonly segments: ReturnType<typeof toWireSegment>[];
  readonly removedIds: string[];
}

/** Segments with these IDs, or that they are gone, in portions; there is always one. */
function* chunksOf(
  ids: Iterable<string>,
  served: ReadonlyMap<string, ConnectorSegment>,
): Iterable<Chunk> {
  let chunk: Chunk = { segments: [], removedIds: [] };
  let bytes = 0;
  for (const id of ids) {
    const segment = served.get(id);
    // Each with its tag and length.
    const size = (segment === undefined ? id.length : segmentFacts(segment).bytes) + 6;
    if (bytes > 0 && bytes + size > MAX_CHUNK_BYTES - 1024) {
      yield chunk;
      chunk = { segments: [], removedIds: [] };
      bytes = 0;
    }
    if (segment === undefined) chunk.removedIds.push(id);
    else chunk.segments.push(toWireSegment(segment));
    bytes += size;
  }
  yield chunk;
}

function encode(value: SegmentUpdate): Encoded {
  return new Encoded(
    Buffer.from(ServerMessage.encode({ kind: { $case: 'segments', value } }).finish()),
  );
}
