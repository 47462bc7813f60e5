import { isDeepStrictEqual } from 'node:util';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { inParallel } from '../../base/in-parallel.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import { isKubeObject, type KubeObject } from '../../kube/objects.ts';
import { type KubeResource, pathOf } from '../../kube/resource.ts';
import { isShown, readyCondition } from '../issuer/condition.ts';
import type { PodEvents } from '../pod-events.ts';
import { CONNECTOR_GROUPS, CONNECTOR_SEGMENTS, type ConnectorObject } from './connector-object.ts';
import type { ConnectorStandings } from './connector-objects.ts';
import {
  type ConnectorFigures,
  groupStatusOf,
  segmentStatusOf,
  type WantedStatus,
} from './status-of.ts';

/** What writing the status of the objects of one cluster needs. */
export interface ConnectorStatusOptions {
  readonly api: Pick<KubeApi, 'request'>;
  /** The objects, as they stand. */
  readonly standings: () => ConnectorStandings;
  /** Calls back when they may stand otherwise. */
  readonly onChange: (listener: () => void) => () => void;
  readonly figures: ConnectorFigures;
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'>;
  readonly events: Pick<PodEvents, 'tell'>;
  readonly clock: Clock;
  readonly onFault: (error: SignetError) => void;
}

/** Between two looks at what heartbeats changed, in milliseconds. */
const LOOK_MS = 5_000;
/** Between two writes of an object of which only figures changed, in milliseconds. */
const CALM_MS = 30_000;
/** Calls at a time. */
const MAX_CALLS = 4;

interface Written {
  readonly text: string;
  /** Of it, what is not to wait: conditions, and connectors by their state. */
  readonly urgent: string;
  readonly conditions: string;
  readonly atMs: number;
}

interface Writing {
  readonly resource: KubeResource;
  readonly kind: string;
  readonly object: ConnectorObject<unknown>;
  readonly wanted: WantedStatus;
}

/**
 * Writes into the status of ConnectorGroups and ConnectorSegments how they stand: one server does, by a lease,
 * and only what changed. While nothing changes nothing is looked at; figures alone are written twice a minute
 * at most.
 */
export class ConnectorStatus {
  readonly #options: ConnectorStatusOptions;
  /** By the UID of the object. */
  readonly #written = new Map<string, Written>();
  readonly #closers: readonly (() => void)[];
  readonly #stopped = new AbortController();
  #writing: Promise<void> | undefined;
  #isWoken = false;
  #waiting: { readonly cancel: Cancel; readonly untilMs: number } | undefined;

  constructor(options: ConnectorStatusOptions) {
    this.#options = options;
    const look = (): void => this.#look();
    this.#closers = [
      options.onChange(look),
      options.leader.onChange(look),
      options.figures.onChange(() => this.#lookLater(LOOK_MS)),
    ];
    this.#look();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const close of this.#closers) close();
    this.#waiting?.cancel();
    await this.#writing;
  }

  /** Many changes come together, as heartbeats do: they are looked at once. */
  #lookLater(afterMs: number): void {
    if (this.#stopped.signal.aborted) return;
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + afterMs;
    if (this.#waiting !== undefined && this.#waiting.untilMs <= untilMs) return;
    this.#waiting?.cancel();
    const cancel = clock.after(afterMs, () => {
      this.#waiting = undefined;
      this.#look();
    });
    this.#waiting = { cancel, untilMs };
  }

  #look(): void {
    if (this.#stopped.signal.aborted) return;
    this.#isWoken = true;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#isWoken) {
      this.#isWoken = false;
      const { term } = this.#options.leader;
      if (term === undefined) return;
      const all = [...this.#all()];
      const uids = new Set(all.map(({ object }) => object.uid));
      for (const uid of this.#written.keys()) if (!uids.has(uid)) this.#written.delete(uid);
      const due = all.filter((one) => this.#isDue(one));
      let isOver = false;
      await inParallel(due, MAX_CALLS, async (one) => {
        if (isOver || term.aborted || this.#stopped.signal.aborted) return;
        const failure = await this.#write(one, term);
        if (failure === undefined) return;
        this.#options.onFault(failure);
        // One object that is refused keeps no other waiting; what else goes wrong is about all of them.
        isOver = failure.code !== 'KUBE_REFUSED';
        this.#lookLater(LOOK_MS);
      });
    }
  }

  *#all(): Iterable<Writing> {
    const { groups, segments } = this.#options.standings();
    const figures = this.#options.figures.now();
    for (const standing of groups) {
      const { object } = standing;
      const wanted = groupStatusOf(standing, figures.group(object.name));
      yield { resource: CONNECTOR_GROUPS, kind: 'ConnectorGroup', object, wanted };
    }
    for (const standing of segments) {
      const { object } = standing;
      const wanted = segmentStatusOf(standing, figures.segment(standing.id));
      yield { resource: CONNECTOR_SEGMENTS, kind: 'ConnectorSegment', object, wanted };
    }
  }

  #isDue(one: Writing): boolean {
    const { object, wanted } = one;
    const { text, urgent, conditions } = textsOf(one);
    const last = this.#written.get(object.uid);
    const nowMs = this.#options.clock.monotonicMs();
    if (last === undefined) {
      if (!isAsShown(object, wanted)) return true;
      // As another server left it, before this one led.
      this.#written.set(object.uid, { text, urgent, conditions, atMs: nowMs });
      return false;
    }
    if (last.text === text) return false;
    if (last.urgent !== urgent || nowMs - last.atMs >= CALM_MS) return true;
    this.#lookLater(CALM_MS - (nowMs - last.atMs));
    return false;
  }

  async #write(one: Writing, term: AbortSignal): Promise<SignetError | undefined> {
    const { resource, object, wanted } = one;
    const { api, clock } = this.#options;
    const path = pathOf({ ...resource, namespace: object.namespace }, object.name, 'status');
    if (!path.ok) return path.error;
    const nowMs = clock.nowMs();
    const conditions = [...wanted.conditions].map(([type, condition]) => ({
      ...readyCondition(condition, object.shown.get(type), nowMs, type),
      observedGeneration: object.generation,
    }));
    const answer = await api.request({
      verb: 'patch',
      path: path.value,
      patch: 'merge',
      body: { metadata: { uid: object.uid }, status: { ...wanted.facts, conditions } },
      signal: AbortSignal.any([this.#stopped.signal, term]),
    });
    // Gone meanwhile, or another object bears its name.
    const isGone = !answer.ok && ['KUBE_NOT_FOUND', 'KUBE_CONFLICT'].includes(answer.error.code);
    if (!answer.ok && !isGone) {
      return this.#stopped.signal.aborted || term.aborted ? undefined : answer.error;
    }
    const said = textsOf(one);
    if (answer.ok && this.#written.get(object.uid)?.conditions !== said.conditions) this.#tell(one);
    this.#written.set(object.uid, { ...said, atMs: clock.monotonicMs() });
    return undefined;
  }

  /** What somebody has to do something about, as an event. */
  #tell({ kind, object, wanted: { conditions } }: Writing): void {
    for (const [type, bad] of [
      ['Accepted', 'False'],
      ['Conflict', 'True'],
    ] as const) {
      const condition = conditions.get(type);
      if (condition?.status !== bad || isShown(condition, object.shown.get(type))) continue;
      this.#options.events.tell({
        object: { apiVersion: 'signet.dev/v1alpha1', kind },
        pod: { namespace: object.namespace, name: object.name, uid: object.uid },
        type: 'Warning',
        reason: type === 'Accepted' ? `Not${type}` : type,
        message: condition.message,
      });
    }
  }
}

function textsOf({ object, wanted }: Writing): Omit<Written, 'atMs'> {
  const facts = shownFacts(wanted.facts);
  const conditions = JSON.stringify([object.generation, ...wanted.conditions]);
  const urgent = JSON.stringify([conditions, facts.connectors]);
  return { text: JSON.stringify([urgent, facts]), urgent, conditions };
}

/** Whether an object says already what it is to say. */
function isAsShown(
  { shown, generation, facts }: ConnectorObject<unknown>,
  wanted: WantedStatus,
): boolean {
  const isSaid = [...wanted.conditions].every(([type, condition]) => {
    const one = shown.get(type);
    return isShown(condition, one) && one?.generation === generation;
  });
  const wantedFacts = shownFacts(wanted.facts);
  return (
    isSaid &&
    Object.keys(wanted.facts).every((key) => isDeepStrictEqual(facts[key], wantedFacts[key]))
  );
}

/** As the API server shows what a merge leaves: without what is null. */
function shownFacts(facts: KubeObject): KubeObject {
  const kept = Object.entries(facts).filter(([, value]) => value !== null);
  return Object.fromEntries(
    kept.map(([key, value]) => [key, isKubeObject(value) ? shownFacts(value) : value]),
  );
}
