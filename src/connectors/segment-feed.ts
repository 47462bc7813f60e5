import { createHash } from 'node:crypto';
import {
  Segment,
  type SegmentUpdate,
  ServerMessage,
} from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import { Encoded } from '../rpc/service.ts';
import { type SegmentConflict, servedSegments } from '../rules/connector/conflicts.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import { toWireSegment } from './wire-segments.ts';

/** Most bytes of one message with segments, that of its frame left out. */
export const MAX_CHUNK_BYTES = 1024 * 1024;

/** Versions from which a change is still known. */
const MAX_HISTORY = 64;

/** Changes of so many segments are sent as such, however few segments there are. */
const SMALL_CHANGE = 64;

/** One version of what a group serves. */
export interface SegmentVersion {
  /**
   * `<greatest revision>-<hash>`: the same for the same segments on every server, also after a restart, so
   * that a connector that has them is sent nothing.
   */
  readonly version: string;
  readonly served: ReadonlyMap<string, ConnectorSegment>;
  readonly conflicts: readonly SegmentConflict[];
}

/** What brings a connector to a version: encoded once, sent to all that need the same. */
export interface SegmentMessages {
  readonly version: string;
  readonly nonce: Buffer;
  readonly chunks: readonly Encoded[];
}

/** What a segment costs and is known by; worked out once for each that the registry holds. */
interface SegmentFacts {
  readonly digest: Buffer;
  readonly bytes: number;
}

const factsOfSegments = new WeakMap<ConnectorSegment, SegmentFacts>();

/** The segments of one group, in versions, and the changes between them. */
export class SegmentFeed {
  readonly #group: string;
  readonly #view: Pick<ConnectorView, 'segmentsOf'>;
  #current: SegmentVersion;
  /** What changed with each of the last versions, against the one before it. */
  #history: { readonly version: string; readonly changed: ReadonlySet<string> }[];
  /** Messages to the current version, by the version that they are from; empty is the full set. */
  readonly #messages = new Map<string, SegmentMessages>();

  constructor(group: string, view: Pick<ConnectorView, 'segmentsOf'>) {
    this.#group = group;
    this.#view = view;
    this.#current = this.#read();
    this.#history = [{ version: this.#current.version, changed: new Set() }];
  }

  get current(): SegmentVersion {
    return this.#current;
  }

  /** Reads the group's segments anew. Answers whether there is another version now. */
  refresh(): boolean {
    const before = this.#current;
    const now = this.#read();
    // What is not served for a conflict makes no version, and is told all the same.
    this.#current = now;
    if (now.version === before.version) return false;
    this.#messages.clear();
    this.#history.push({ version: now.version, changed: changesOf(before, now) });
    if (this.#history.length > MAX_HISTORY) this.#history = this.#history.slice(-MAX_HISTORY);
    return true;
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

  #read(): SegmentVersion {
    const { served, conflicts } = servedSegments(this.#view.segmentsOf(this.#group));
    const ordered = [...served].sort((a, b) => (a.id < b.id ? -1 : 1));
    const hash = createHash('sha256');
    let revision = 0n;
    for (const segment of ordered) {
      hash.update(factsOf(segment).digest);
      if (segment.revision > revision) revision = segment.revision;
    }
    const version = `${revision}-${hash.digest('hex').slice(0, 16)}`;
    return { version, served: new Map(ordered.map((one) => [one.id, one])), conflicts };
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
    const ids = changed ?? served.keys();
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

function changesOf(before: SegmentVersion, now: SegmentVersion): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const [id, segment] of now.served) {
    const old = before.served.get(id);
    if (old === segment) continue;
    if (old === undefined || !factsOf(old).digest.equals(factsOf(segment).digest)) changed.add(id);
  }
  for (const id of before.served.keys()) if (!now.served.has(id)) changed.add(id);
  return changed;
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
    const size = (segment === undefined ? id.length : factsOf(segment).bytes) + 6;
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

function factsOf(segment: ConnectorSegment): SegmentFacts {
  const known = factsOfSegments.get(segment);
  if (known !== undefined) return known;
  const bytes = Segment.encode(toWireSegment(segment)).finish();
  const facts = { digest: createHash('sha256').update(bytes).digest(), bytes: bytes.length };
  factsOfSegments.set(segment, facts);
  return facts;
}

function encode(value: SegmentUpdate): Encoded {
  return new Encoded(
    Buffer.from(ServerMessage.encode({ kind: { $case: 'segments', value } }).finish()),
  );
}
