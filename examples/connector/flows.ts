import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { SegmentTable } from './match.ts';
import { type Authorities, verifiedId } from './spiffe.ts';
import type { Segment } from './wire.ts';

/** All that is known when a flow is judged. */
export interface View {
  readonly table: SegmentTable;
  readonly authorities: Authorities;
  /** Serial numbers, hex. */
  readonly revoked: ReadonlySet<string>;
  /** `closed`: revoked, expired, or too long without the server. */
  readonly standing: 'open' | 'draining' | 'closed';
}

/** What somebody asks for, and who. */
export interface Wish {
  /** Leaf first. */
  readonly chain: readonly X509Certificate[];
  readonly host: string;
  readonly port: number;
  /** When it came: a client's SVID may end while its flow goes on. Unix milliseconds. */
  readonly cameAtMs: number;
}

/** Why a flow is not let through; the peer reads it in the answer. */
export type Reason =
  | 'connector-closed'
  | 'connector-draining'
  | 'client-unknown'
  | 'client-revoked'
  | 'client-not-allowed'
  | 'no-segment'
  | 'segment-draining'
  | 'udp-not-forwarded';

/** The segment that lets a flow through, or why none does. */
export type Verdict =
  | { readonly segment: Segment; readonly client: string }
  | { readonly reason: Reason };

/** Judges one flow. Deny by default: there is one way through, at the end. */
export function judge(view: View, { chain, host, port, cameAtMs }: Wish): Verdict {
  if (view.standing === 'closed') return { reason: 'connector-closed' };
  const client = verifiedId(chain, view.authorities, cameAtMs);
  if (client === undefined) return { reason: 'client-unknown' };
  if (chain.some(({ serialNumber }) => view.revoked.has(serialNumber))) {
    return { reason: 'client-revoked' };
  }
  if (view.standing === 'draining') return { reason: 'connector-draining' };
  const { reason, segment } = view.table.match(host, port, 'PROTOCOL_TCP', client);
  if (reason === 'draining') return { reason: 'segment-draining' };
  if (reason === 'client-not-allowed') return { reason };
  if (segment !== undefined) return { segment, client };
  const udp = view.table.match(host, port, 'PROTOCOL_UDP', client);
  return { reason: udp.reason === 'allowed' ? 'udp-not-forwarded' : 'no-segment' };
}

/** Reasons that only keep new flows out. */
const LETS_FINISH: ReadonlySet<Reason> = new Set(['connector-draining', 'segment-draining']);

interface OpenFlow {
  readonly wish: Wish;
  readonly segment: Segment;
  readonly ends: readonly Duplex[];
}

/** The flows that are open. Whatever changes, each of them is judged again as if it came now. */
export class Flows {
  readonly #open = new Set<OpenFlow>();
  readonly #onEmpty: () => void;

  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Keeps a flow until one of its ends closes; the other is closed then too. */
  add(flow: OpenFlow): void {
    this.#open.add(flow);
    for (const end of flow.ends) end.once('close', () => this.#end(flow));
  }

  /** Closes the flows that would not be let through now; answers with how many. */
  judgeAgain(view: View): number {
    const ended = [...this.#open].filter(({ wish, segment }) => {
      const verdict = judge(view, wish);
      if ('reason' in verdict) return !LETS_FINISH.has(verdict.reason);
      // The target is to be reached in another way than this flow has reached it.
      const { upstreamTls, upstreamId } = verdict.segment;
      return upstreamTls !== segment.upstreamTls || upstreamId !== segment.upstreamId;
    });
    for (const flow of ended) this.#end(flow);
    return ended.length;
  }

  closeAll(): void {
    for (const flow of [...this.#open]) this.#end(flow);
  }

  #end(flow: OpenFlow): void {
    if (!this.#open.delete(flow)) return;
    for (const end of flow.ends) end.destroy();
    if (this.#open.size === 0) this.#onEmpty();
  }
}
