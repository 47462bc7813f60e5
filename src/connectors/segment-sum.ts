import { createHash } from 'node:crypto';
import { toHex } from '../base/bytes.ts';
import { Segment } from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import { toWireSegment } from './wire-segments.ts';

/** What a segment costs and is known by. */
export interface SegmentFacts {
  /** SHA-256 of its wire form, as a number. */
  readonly digest: bigint;
  readonly bytes: number;
}

const DIGEST_BITS = 256;

const factsOf = new WeakMap<ConnectorSegment, SegmentFacts>();

/** Worked out once for each segment that the registry holds. */
export function segmentFacts(segment: ConnectorSegment): SegmentFacts {
  const known = factsOf.get(segment);
  if (known !== undefined) return known;
  const bytes = Segment.encode(toWireSegment(segment)).finish();
  const digest = BigInt(`0x${toHex(createHash('sha256').update(bytes).digest())}`);
  const facts = { digest, bytes: bytes.length };
  factsOf.set(segment, facts);
  return facts;
}

/**
 * What a set of segments is known by, kept up one by one: a sum of hashes is the same in whatever order they
 * come.
 */
export class SegmentSum {
  #sum = 0n;
  /** Undefined where the greatest revision went, until it is asked for. */
  #greatest: bigint | undefined = 0n;

  /** One segment in place of another, either may be none; answers whether they differ for connectors. */
  replace(before: ConnectorSegment | undefined, now: ConnectorSegment | undefined): boolean {
    const gone = before === undefined ? 0n : segmentFacts(before).digest;
    const come = now === undefined ? 0n : segmentFacts(now).digest;
    this.#sum = BigInt.asUintN(DIGEST_BITS, this.#sum + come - gone);
    const greatest = this.#greatest;
    if (greatest !== undefined) {
      if (now !== undefined && now.revision >= greatest) this.#greatest = now.revision;
      else if (before?.revision === greatest) this.#greatest = undefined;
    }
    return gone !== come;
  }

  /**
   * `<greatest revision>-<hash>`.
   * @param all All that are in it.
   */
  version(all: Iterable<ConnectorSegment>): string {
    this.#greatest ??= greatestOf(all);
    const hash = createHash('sha256').update(this.#sum.toString(16)).digest('hex');
    return `${this.#greatest}-${hash.slice(0, 16)}`;
  }
}

function greatestOf(all: Iterable<ConnectorSegment>): bigint {
  let greatest = 0n;
  for (const { revision } of all) if (revision > greatest) greatest = revision;
  return greatest;
}
