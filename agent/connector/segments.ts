import { fail, ok, type Result } from '../../src/base/result.ts';
import {
  HealthCheckKind,
  Protocol,
  type Segment,
  SegmentUpdate,
  UpstreamTls,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { StateFile } from '../state-file.ts';
import { toBase64 } from './own-svid.ts';
import { printable } from './printable.ts';
import type { StoredSegments } from './state.ts';

/** Most segments that are held, and most names in one update. */
const MAX_SEGMENTS = 100_000;

/** Most bytes of all segments, encoded: what is larger could not be read again at the next start. */
const MAX_SET_BYTES = 64 * 1024 * 1024;

/** A version goes into a header, a variable and logs: no spaces, quotes or control characters. */
const VERSION = /^[!#-~]{1,128}$/;

/** What the segments file and the local socket show; `schema` grows when the form changes. */
export const SEGMENTS_SCHEMA = 'signet.connector.segments/1';

/** Chunks of a version that has not come whole. */
interface Pending {
  readonly version: string;
  readonly full: boolean;
  readonly nonce: Buffer;
  readonly segments: Segment[];
  readonly removedIds: string[];
  /** What came so far, encoded. */
  bytes: number;
}

/**
 * The segments that the connector may reach: what was accepted last, kept over restarts. Nothing before the
 * first version: deny by default.
 */
export class SegmentSet {
  readonly #file: StateFile<StoredSegments>;
  #byId: ReadonlyMap<string, Segment>;
  #version: string;
  #pending: Pending | undefined;
  /** An update that was refused before its last chunk: the rest of it is passed over. */
  #refused: SegmentUpdate | undefined;

  private constructor(file: StateFile<StoredSegments>, byId: ReadonlyMap<string, Segment>) {
    this.#file = file;
    this.#byId = byId;
    this.#version = file.current.version;
  }

  /** Goes on with what is stored. Fails with COMPANION_STATE_CORRUPT. */
  static restore(file: StateFile<StoredSegments>): Result<SegmentSet> {
    try {
      const { segments } = SegmentUpdate.decode(Buffer.from(file.current.update, 'base64'));
      return ok(new SegmentSet(file, new Map(segments.map((one) => [one.id, one]))));
    } catch (cause) {
      return fail('COMPANION_STATE_CORRUPT', 'the stored segments cannot be read', { cause });
    }
  }

  /** Of what was accepted last; empty before. */
  get version(): string {
    return this.#version;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** In the order of their ids. */
  list(): readonly Segment[] {
    return [...this.#byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /**
   * Takes a chunk. Answers true once its version is complete, durable and in use; false while more is to
   * come, and for the rest of an update that was refused. Fails with COMPANION_SEGMENTS, or as writing does:
   * what was accepted before stays.
   */
  async take(update: SegmentUpdate): Promise<Result<boolean>> {
    if (this.#refused !== undefined && isSame(this.#refused, update)) {
      if (update.last) this.#refused = undefined;
      return ok(false);
    }
    this.#refused = undefined;
    const pending = this.#collect(update);
    if (!pending.ok) {
      if (!update.last) this.#refused = { ...update, segments: [], removedIds: [] };
      return this.#giveUp(pending);
    }
    if (!update.last) return ok(false);
    const next = apply(pending.value, this.#byId);
    if (!next.ok) return this.#giveUp(next);
    this.#pending = undefined;
    const saved = await this.#save(update.version, next.value);
    if (!saved.ok) return saved;
    this.#byId = next.value;
    this.#version = update.version;
    return ok(true);
  }

  /** Forgets chunks of a version that broke off with its session. */
  reset(): void {
    this.#pending = undefined;
    this.#refused = undefined;
  }

  /** Forgets everything: the connector may reach nothing any more. */
  async wipe(): Promise<Result<void>> {
    this.#pending = undefined;
    this.#byId = new Map();
    this.#version = '';
    return this.#file.wipe();
  }

  #giveUp<F extends Result<never>>(failed: F): F {
    this.#pending = undefined;
    return failed;
  }

  #collect(update: SegmentUpdate): Result<Pending> {
    const { version, full, nonce } = update;
    if (!VERSION.test(version)) return refuse('their version is empty, too long or not printable');
    if (this.#pending === undefined || !isSame(this.#pending, update)) {
      this.#pending = { version, full, nonce, segments: [], removedIds: [], bytes: 0 };
    }
    const pending = this.#pending;
    if (!full && update.baseVersion !== this.#version) {
      const base = printable(update.baseVersion, 128);
      return refuse(`a change from version ${base} came, ${this.#version} is held`);
    }
    pending.bytes += SegmentUpdate.encode(update).finish().length;
    if (pending.bytes > MAX_SET_BYTES) return tooLarge();
    for (const segment of update.segments) {
      const problem = problemOf(segment);
      if (problem !== undefined) return refuse(`${printable(segment.id, 200)}: ${problem}`);
      pending.segments.push(segment);
    }
    for (const id of update.removedIds) pending.removedIds.push(id);
    const most = Math.max(pending.segments.length, pending.removedIds.length);
    return most <= MAX_SEGMENTS ? ok(pending) : refuse(`more than ${MAX_SEGMENTS}`);
  }

  async #save(version: string, byId: ReadonlyMap<string, Segment>): Promise<Result<void>> {
    const segments = [...byId.values()];
    const whole = {
      full: true,
      segments,
      removedIds: [],
      version,
      nonce: Buffer.alloc(0),
      last: true,
      baseVersion: '',
    };
    const bytes = SegmentUpdate.encode(whole).finish();
    if (bytes.length > MAX_SET_BYTES) return tooLarge();
    return this.#file.save({ version, update: toBase64(bytes) });
  }
}

function isSame(
  a: Pick<SegmentUpdate, 'version' | 'full' | 'nonce'>,
  { version, full, nonce }: SegmentUpdate,
): boolean {
  return a.version === version && a.full === full && a.nonce.equals(nonce);
}

function apply(
  { full, segments, removedIds }: Pending,
  held: ReadonlyMap<string, Segment>,
): Result<ReadonlyMap<string, Segment>> {
  const next = new Map(full ? [] : held);
  for (const id of removedIds) next.delete(id);
  for (const segment of segments) next.set(segment.id, segment);
  return next.size <= MAX_SEGMENTS ? ok(next) : refuse(`more than ${MAX_SEGMENTS}`);
}

/** What the connector could not go by; undefined when nothing. */
function problemOf({ id, hosts, ports, protocol, upstreamTls, healthCheck }: Segment) {
  if (id === '') return 'it has no id';
  if (id !== printable(id)) return 'its id is too long or not printable';
  if (hosts.length === 0 || hosts.includes('')) return 'it has no hosts';
  if (!PROTOCOLS.has(protocol)) return 'its protocol is not known here';
  if (!UPSTREAMS.has(upstreamTls)) return 'its upstream TLS is not known here';
  if (!CHECKS.has(healthCheck)) return 'its health check is not known here';
  const wrong = ports.find(({ first, last }) => first < 1 || last > 65_535 || first > last);
  if (wrong !== undefined || ports.length === 0) return 'its ports make no range';
  return undefined;
}

const PROTOCOLS: ReadonlyMap<Protocol, string> = new Map([
  [Protocol.PROTOCOL_TCP, 'tcp'],
  [Protocol.PROTOCOL_UDP, 'udp'],
]);

const UPSTREAMS: ReadonlyMap<UpstreamTls, string> = new Map([
  [UpstreamTls.UPSTREAM_TLS_NONE, 'none'],
  [UpstreamTls.UPSTREAM_TLS_SVID, 'svid'],
]);

const CHECKS: ReadonlyMap<HealthCheckKind, string> = new Map([
  [HealthCheckKind.HEALTH_CHECK_KIND_NONE, 'none'],
  [HealthCheckKind.HEALTH_CHECK_KIND_ON_ACCESS, 'on-access'],
  [HealthCheckKind.HEALTH_CHECK_KIND_TCP, 'tcp'],
  [HealthCheckKind.HEALTH_CHECK_KIND_HTTP, 'http'],
  [HealthCheckKind.HEALTH_CHECK_KIND_GRPC, 'grpc'],
]);

/** The document that the segments file and the local socket show. */
export function segmentsDocument(set: SegmentSet, group: string): Buffer {
  const segments = set.list().map((segment) => ({
    id: segment.id,
    hosts: segment.hosts,
    protocol: PROTOCOLS.get(segment.protocol),
    ports: segment.ports.map(({ first, last }) => ({ first, last })),
    clients: segment.clients,
    upstreamTls: UPSTREAMS.get(segment.upstreamTls),
    upstreamId: segment.upstreamId,
    healthCheck: {
      kind: CHECKS.get(segment.healthCheck),
      intervalSeconds: segment.healthCheckIntervalSeconds,
      path: segment.healthCheckPath,
    },
    draining: segment.draining,
    priority: segment.priority,
    weight: segment.weight,
    labels: segment.labels,
  }));
  const document = { schema: SEGMENTS_SCHEMA, group, version: set.version, segments };
  return Buffer.from(`${JSON.stringify(document)}\n`);
}

function tooLarge(): Result<never> {
  return refuse(`more than ${MAX_SET_BYTES} bytes`);
}

function refuse(problem: string): Result<never> {
  return fail('COMPANION_SEGMENTS', `segments: ${problem}`);
}
