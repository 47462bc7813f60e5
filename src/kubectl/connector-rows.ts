import { ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { Input } from '../cli/spec.ts';
import { durationFlag } from './flags.ts';

/** How soon the end of a connector's certificate is a finding: they are renewed at half of an hour. */
const WITHIN_MS = 600_000;

/** A connector group, from an object of a cluster or from the server. */
export interface GroupFacts {
  /** Empty where the server said it. */
  readonly context: string;
  readonly namespace: string;
  readonly name: string;
  readonly minInstances: number;
  /** Connectors by their state. */
  readonly connectors: Readonly<Record<string, number>>;
  /** Unix milliseconds of the certificate that ends first; undefined where there is none. */
  readonly certificateEndMs: number | undefined;
  readonly segments: number;
  readonly thinSegments: number;
  readonly activeFlows: number;
  readonly upToDate: number;
  readonly lastError: string;
  /** What keeps it from being in force; empty where nothing does. */
  readonly refusal: string;
}

/** A segment of connectors. */
export interface SegmentFacts {
  readonly context: string;
  readonly namespace: string;
  readonly name: string;
  readonly groups: readonly string[];
  readonly healthyConnectors: number;
  /** With which it claims the same, or why it is not in force; empty where nothing is wrong. */
  readonly conflict: string;
  readonly refusal: string;
}

/** One connector; only the server knows of them. */
export interface InstanceFacts {
  readonly id: string;
  readonly group: string;
  readonly state: string;
  readonly reason: string;
  /** Unix milliseconds; undefined where none was signed yet. */
  readonly certificateEndMs: number | undefined;
  /** Unix milliseconds; undefined where it was never heard. */
  readonly heardMs: number | undefined;
}

/** What was found out about connectors. */
export interface ConnectorFacts {
  readonly groups: readonly GroupFacts[];
  readonly segments: readonly SegmentFacts[];
  readonly instances: readonly InstanceFacts[];
}

/** How a group stands; all but Ok are findings. */
export function groupState(group: GroupFacts, nowMs: number, withinMs: number): string {
  const { connectors, certificateEndMs } = group;
  const count = (state: string): number => connectors[state] ?? 0;
  if (group.refusal !== '') return 'Refused';
  if (count('expired') > 0) return 'Expired';
  if (count('lost') > 0) return 'Lost';
  if (count('active') < group.minInstances) return 'TooFew';
  if (certificateEndMs !== undefined && certificateEndMs - nowMs < withinMs) return 'Expiring';
  if (count('degraded') > 0) return 'Degraded';
  return group.thinSegments > 0 ? 'Thin' : 'Ok';
}

/** How a segment stands. */
export function segmentState(segment: SegmentFacts): string {
  if (segment.refusal !== '') return 'Refused';
  if (segment.conflict !== '') return 'Conflict';
  if (segment.groups.length === 0) return 'NoGroup';
  return segment.healthyConnectors < 2 ? 'Thin' : 'Ok';
}

/** How a connector stands; a certificate that is about to end is told of one that is well otherwise. */
export function instanceState(instance: InstanceFacts, nowMs: number, withinMs: number): string {
  const { state, certificateEndMs } = instance;
  const named = state.replace(/^[a-z]/, (letter) => letter.toUpperCase());
  const ends = certificateEndMs !== undefined && certificateEndMs - nowMs < withinMs;
  return ends && ['active', 'enrolled', 'degraded'].includes(state) ? 'Expiring' : named;
}

/** Milliseconds of `--within`. */
export function connectorWithin(input: Input): Result<number> {
  const within = durationFlag(input, 'within', WITHIN_MS);
  if (!within.ok) return within;
  return within.value <= 366 * 86_400_000
    ? ok(within.value)
    : flagError('within', 'must be at most 366d');
}
