import { formatHostPattern, parseHostPattern } from './host.ts';
import type { MatchableSegment } from './match.ts';
import type { PortRange } from './segment.ts';

/** A claim of a segment that overlaps one that was asked about, with nothing to choose by. */
export interface Overlap<S> {
  readonly other: S;
  /** What both claim, in words. */
  readonly detail: string;
}

/** Ports of one range that a segment claims, of each of its hosts. */
interface PortClaim<S> extends PortRange {
  readonly segment: S;
}

/** Most claims have a cell of their own. */
type Cell<S> = PortClaim<S> | PortClaim<S>[];

/**
 * What is claimed of one host, found without looking at every other claim: ranges of one width that overlap
 * begin less than that width apart, so they lie in the same or in neighbouring cells of that width.
 */
class PortClaims<S extends MatchableSegment> {
  /** By width, then by cell. */
  readonly #widths = new Map<number, Map<number, Cell<S>>>();

  get isEmpty(): boolean {
    return this.#widths.size === 0;
  }

  add(claim: PortClaim<S>): void {
    const { width, cell } = cellOf(claim);
    const cells = this.#widths.get(width) ?? new Map<number, Cell<S>>();
    this.#widths.set(width, cells);
    const there = cells.get(cell);
    if (there === undefined) cells.set(cell, claim);
    else if (Array.isArray(there)) there.push(claim);
    else cells.set(cell, [there, claim]);
  }

  remove(segment: S): void {
    for (const range of segment.ports) {
      const { width, cell } = cellOf(range);
      const cells = this.#widths.get(width);
      const left = claimsIn(cells?.get(cell)).filter((claim) => claim.segment !== segment);
      const [first, ...others] = left;
      if (first === undefined) cells?.delete(cell);
      else cells?.set(cell, others.length === 0 ? first : left);
      if (cells?.size === 0) this.#widths.delete(width);
    }
  }

  /** Claims that a range overlaps. */
  overlapping(range: PortRange): readonly PortClaim<S>[] {
    const { width, cell } = cellOf(range);
    const cells = this.#widths.get(width);
    if (cells === undefined) return [];
    const found: PortClaim<S>[] = [];
    for (const near of [cell - 1, cell, cell + 1]) {
      const there = cells.get(near);
      if (there === undefined) continue;
      for (const claim of claimsIn(there)) if (overlap(claim, range)) found.push(claim);
    }
    return found;
  }
}

/**
 * Which segment claims what: a host, and ports of it, with one protocol and priority. Asked about another
 * segment it looks at the hosts and ports of that one alone, however many there are.
 */
export class Claims<S extends MatchableSegment> {
  /** By protocol and priority, then by host; a segment stands for its ports where no other has the host. */
  readonly #byKind = new Map<string, Map<string, S | PortClaims<S>>>();

  add(segment: S): void {
    const kind = kindOf(segment);
    const hosts = this.#byKind.get(kind) ?? new Map<string, S | PortClaims<S>>();
    this.#byKind.set(kind, hosts);
    const claims = claimsOf(segment);
    for (const host of hostsOf(segment)) {
      const there = hosts.get(host);
      if (there === undefined) {
        hosts.set(host, segment);
        continue;
      }
      const ports = there instanceof PortClaims ? there : portsOf(there);
      for (const claim of claims) ports.add(claim);
      hosts.set(host, ports);
    }
  }

  /** @param segment The very one that was added. */
  remove(segment: S): void {
    const kind = kindOf(segment);
    const hosts = this.#byKind.get(kind);
    for (const host of hostsOf(segment)) {
      const there = hosts?.get(host);
      if (there instanceof PortClaims) there.remove(segment);
      if (there === segment || (there instanceof PortClaims && there.isEmpty)) hosts?.delete(host);
    }
    if (hosts?.size === 0) this.#byKind.delete(kind);
  }

  /**
   * Segments that nothing tells from `segment` for some flow: in the order of its hosts, then of its port
   * ranges; one may come several times.
   */
  *overlapping(segment: MatchableSegment): Iterable<Overlap<S>> {
    const claimed = this.#byKind.get(kindOf(segment));
    if (claimed === undefined) return;
    for (const host of hostsOf(segment)) {
      const there = claimed.get(host);
      if (there === undefined) continue;
      for (const range of segment.ports) {
        for (const claim of overlapsAt(there, range)) {
          yield {
            other: claim.segment,
            get detail() {
              return detailOf(segment, host, range, claim);
            },
          };
        }
      }
    }
  }
}

/** The lower ones first, whatever came in which order. */
function overlapsAt<S extends MatchableSegment>(
  there: S | PortClaims<S>,
  range: PortRange,
): readonly PortClaim<S>[] {
  const found =
    there instanceof PortClaims
      ? there.overlapping(range)
      : claimsOf(there).filter(
          (claim) => widthOf(claim) === widthOf(range) && overlap(claim, range),
        );
  return found.length < 2 ? found : [...found].sort((a, b) => a.first - b.first);
}

function portsOf<S extends MatchableSegment>(segment: S): PortClaims<S> {
  const ports = new PortClaims<S>();
  for (const claim of claimsOf(segment)) ports.add(claim);
  return ports;
}

function claimsOf<S extends MatchableSegment>(segment: S): readonly PortClaim<S>[] {
  return segment.ports.map(({ first, last }) => ({ first, last, segment }));
}

function claimsIn<S>(cell: Cell<S> | undefined): readonly PortClaim<S>[] {
  if (cell === undefined) return [];
  return Array.isArray(cell) ? cell : [cell];
}

function kindOf({ protocol, priority }: MatchableSegment): string {
  return `${protocol} ${priority}`;
}

function cellOf(range: PortRange): { readonly width: number; readonly cell: number } {
  const width = widthOf(range);
  return { width, cell: Math.floor(range.first / width) };
}

function widthOf({ first, last }: PortRange): number {
  return last - first + 1;
}

function overlap(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function detailOf(
  { protocol, priority }: MatchableSegment,
  host: string,
  range: PortRange,
  claim: PortRange,
): string {
  const first = Math.max(claim.first, range.first);
  const last = Math.min(claim.last, range.last);
  const ports = first === last ? `port ${first}` : `ports ${first}-${last}`;
  return `${host}, ${protocol} ${ports}, with priority ${priority}`;
}

/** Worked out once for each segment: those of the registry are asked for again at every write. */
const canonical = new WeakMap<MatchableSegment, readonly string[]>();

/** The hosts as they are compared; what was checked is written so already, and then costs nothing to keep. */
function hostsOf(segment: MatchableSegment): readonly string[] {
  const before = canonical.get(segment);
  if (before !== undefined) return before;
  const hosts = segment.hosts.flatMap((text) => {
    const pattern = parseHostPattern(text);
    return pattern === undefined ? [] : [formatHostPattern(pattern)];
  });
  const isSame =
    hosts.length === segment.hosts.length && hosts.every((host, at) => host === segment.hosts[at]);
  const kept = isSame ? segment.hosts : hosts;
  canonical.set(segment, kept);
  return kept;
}
