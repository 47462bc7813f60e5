import type { ErrorCode, SignetError } from '../../base/errors.ts';
import { type Condition, clip } from '../issuer/condition.ts';
import { timeOf } from '../pod-certificate/answer.ts';
import type { ConditionType } from './connector-object.ts';
import type { GroupStanding } from './group-plan.ts';
import type { SegmentStanding } from './segment-plan.ts';

/** How a group stands, in numbers. */
export interface GroupFigures {
  /** By the name of the state. */
  readonly connectors: ReadonlyMap<string, number>;
  /** Of those that accepted the newest segments. */
  readonly upToDate: number;
  readonly segments: number;
  /** Segments that fewer than two healthy connectors serve. */
  readonly thinSegments: number;
  readonly activeFlows: number;
  /** Unix seconds; 0 where there is none. */
  readonly oldestCertificateExpiresAtSeconds: number;
  readonly lastError: string;
}

/** How a segment is served. */
export interface SegmentFigures {
  readonly groups: readonly string[];
  readonly conflicts: readonly {
    readonly group: string;
    /** The one that stands. */
    readonly segmentId: string;
    readonly detail: string;
  }[];
  readonly healthyConnectors: number;
}

/** How groups and segments stand at one moment. */
export interface FiguresNow {
  group(name: string): GroupFigures | undefined;
  segment(id: string): SegmentFigures | undefined;
}

/** How groups and segments stand, from the sessions of their connectors. */
export interface ConnectorFigures {
  now(): FiguresNow;
  /** Calls back when any may stand otherwise. Returns what ends it. */
  onChange(listener: () => void): () => void;
}

/** What the status of an object is to say; null takes a field out. */
export interface WantedStatus {
  readonly conditions: ReadonlyMap<ConditionType, Condition>;
  readonly facts: Readonly<Record<string, unknown>>;
}

const REASONS: Readonly<Partial<Record<ErrorCode, string>>> = {
  CONNECTOR_GROUP_NOT_ALLOWED: 'NotAllowed',
  CONNECTOR_GROUP_CLAIMED: 'Claimed',
  CONNECTOR_SEGMENT_CLAIMED: 'Claimed',
  CONNECTOR_SEGMENT_GROUP: 'NoGroup',
  CONNECTOR_SEGMENT_NOT_PERMITTED: 'NotPermitted',
  CONNECTOR_SERVICE_UNKNOWN: 'NoService',
};

const yes = (reason: string, message = ''): Condition => ({ status: 'True', reason, message });
const no = (reason: string, message = ''): Condition => ({ status: 'False', reason, message });
const NO_CONFLICT = no('NoConflict');

/** What the status of a ConnectorGroup says. */
export function groupStatusOf(
  { object, problem }: GroupStanding,
  figures: GroupFigures | undefined,
): WantedStatus {
  const accepted = acceptedOf(problem);
  const conflict = accepted.reason === 'Claimed' ? yes('Claimed', accepted.message) : NO_CONFLICT;
  const held = problem === undefined ? figures : undefined;
  const active = held?.connectors.get('active') ?? 0;
  const wanted = Math.max(1, object.stated.ok ? object.stated.value.minInstances : 1);
  const count = `${active} of ${wanted} connectors are active`;
  const ready = active >= wanted ? yes('Active') : no('TooFewConnectors', count);
  return {
    conditions: new Map([
      ['Accepted', accepted],
      ['Conflict', conflict],
      ['Ready', problem === undefined ? ready : no('NotAccepted')],
    ]),
    facts: {
      connectors: held === undefined ? null : countsOf(held.connectors, object.facts),
      active: held === undefined ? null : active,
      upToDate: held?.upToDate ?? null,
      segments: held?.segments ?? null,
      thinSegments: held?.thinSegments ?? null,
      activeFlows: held?.activeFlows ?? null,
      oldestCertificateExpiresAt: timeOrNull(held?.oldestCertificateExpiresAtSeconds),
      lastError: held === undefined || held.lastError === '' ? null : clip(held.lastError),
    },
  };
}

/** What the status of a ConnectorSegment says. */
export function segmentStatusOf(
  { problem, isWritten, hosts }: SegmentStanding,
  figures: SegmentFigures | undefined,
): WantedStatus {
  const accepted = acceptedOf(problem);
  const held = isWritten ? figures : undefined;
  return {
    conditions: new Map([
      ['Accepted', accepted],
      ['Conflict', conflictOf(accepted, held)],
      ['Ready', isWritten ? servedOf(held) : no('NotAccepted')],
    ]),
    facts: {
      groups: held?.groups ?? null,
      hosts: isWritten ? hosts : null,
      healthyConnectors: held?.healthyConnectors ?? null,
    },
  };
}

function acceptedOf(problem: SignetError | undefined): Condition {
  if (problem === undefined) return yes('Accepted');
  const { code, message, action } = problem;
  return no(REASONS[code] ?? 'Invalid', `${message} (${code}). ${action}`);
}

function conflictOf(accepted: Condition, held: SegmentFigures | undefined): Condition {
  if (accepted.reason === 'Claimed') return yes('Claimed', accepted.message);
  const [first, ...others] = held?.conflicts ?? [];
  if (first === undefined) return NO_CONFLICT;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  const what = `group ${first.group}: ${first.segmentId} came first and has ${first.detail}${more}`;
  return yes('SegmentConflict', what);
}

function servedOf(held: SegmentFigures | undefined): Condition {
  if (held === undefined || held.groups.length === 0) return no('NotServed');
  if (held.healthyConnectors === 0) return no('NoConnector', 'no healthy connector serves it');
  return yes('Served');
}

/** States that none is in any more are taken out: a merge would keep them. */
function countsOf(
  counts: ReadonlyMap<string, number>,
  facts: Readonly<Record<string, unknown>>,
): Readonly<Record<string, number | null>> {
  const shown = Object.keys(Object(facts.connectors));
  return {
    ...Object.fromEntries(shown.map((state) => [state, null])),
    ...Object.fromEntries([...counts].filter(([, count]) => count > 0)),
  };
}

function timeOrNull(seconds: number | undefined): string | null {
  return seconds === undefined || seconds === 0 ? null : timeOf(seconds);
}
