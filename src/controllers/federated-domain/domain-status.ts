import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import { type KubeObject, objectsAt } from '../../kube/objects.ts';
import { pathOf } from '../../kube/resource.ts';
import type { FederationView } from '../../registry/federation.ts';
import { type Condition, readyCondition } from '../issuer/condition.ts';
import { timeOf } from '../pod-certificate/answer.ts';
import type { PodEvents } from '../pod-events.ts';
import { FEDERATED_DOMAINS } from '../rule-kinds.ts';
import type { CONDITIONS } from './domain-object.ts';
import type { DomainStanding } from './plan.ts';

/** How fetching from a bundle endpoint stands. */
export interface DomainFetch {
  /** Unix milliseconds of the last one that succeeded, since the process started. */
  readonly fetchedAtMs: number | undefined;
  /** Of the last one, where it failed. */
  readonly error: SignetError | undefined;
}

/** What writing the status of the objects of one cluster needs. */
export interface DomainStatusOptions {
  readonly api: Pick<KubeApi, 'request'>;
  /** The objects, as they stand. */
  readonly standings: () => readonly DomainStanding[];
  /** Calls back when they may stand otherwise. */
  readonly onChange: (listener: () => void) => () => void;
  readonly federation: Pick<FederationView, 'bundle'>;
  /** By the bare name of a trust domain. */
  readonly fetchOf: (trustDomain: string) => DomainFetch | undefined;
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'>;
  readonly events: Pick<PodEvents, 'tell'>;
  readonly clock: Clock;
  readonly onFault: (error: SignetError) => void;
}

/** Between two looks at how fetching goes, in milliseconds. */
const LOOK_MS = 5_000;
/** How old the time of the last fetch may become in a status: fetching alone is no news. */
const TIME_MS = 600_000;

const KIND = {
  apiVersion: `${FEDERATED_DOMAINS.group}/${FEDERATED_DOMAINS.version}`,
  kind: 'ClusterFederatedTrustDomain',
};

type Conditions = ReadonlyMap<(typeof CONDITIONS)[number], Condition>;

interface Written {
  readonly text: string;
  readonly conditions: string;
  readonly atMs: number;
}

/**
 * Writes into the status of ClusterFederatedTrustDomains whether they are in force and how fetching goes:
 * one server does, by a lease. Where the definition of the cluster has no fields for it, as SPIRE's own has
 * none, events tell the same.
 */
export class DomainStatus {
  readonly #options: DomainStatusOptions;
  /** By the UID of the object. */
  readonly #written = new Map<string, Written>();
  readonly #closers: readonly (() => void)[];
  readonly #stopped = new AbortController();
  #writing: Promise<void> | undefined;
  #isWoken = false;
  #cancel: Cancel = () => {};

  constructor(options: DomainStatusOptions) {
    this.#options = options;
    const look = (): void => this.look();
    this.#closers = [options.onChange(look), options.leader.onChange(look)];
    this.look();
  }

  /** Looks how they stand now; who leads writes what changed. */
  look(): void {
    if (this.#stopped.signal.aborted) return;
    this.#cancel();
    this.#cancel = this.#options.clock.after(LOOK_MS, () => this.look());
    this.#isWoken = true;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const close of this.#closers) close();
    this.#cancel();
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#isWoken) {
      this.#isWoken = false;
      const standings = this.#options.standings();
      for (const standing of standings) {
        const { term } = this.#options.leader;
        if (term === undefined || this.#stopped.signal.aborted) return;
        const failure = await this.#write(standing, term);
        if (failure === undefined) continue;
        this.#options.onFault(failure);
        // One object that is refused keeps no other waiting; what else goes wrong is about all of them.
        if (failure.code !== 'KUBE_REFUSED') return;
      }
      const uids = new Set(standings.map(({ object }) => object.uid));
      for (const uid of this.#written.keys()) if (!uids.has(uid)) this.#written.delete(uid);
    }
  }

  async #write(standing: DomainStanding, term: AbortSignal): Promise<SignetError | undefined> {
    const { object } = standing;
    const { api, clock } = this.#options;
    const conditions = this.#conditionsOf(standing);
    const facts = this.#factsOf(standing);
    const said = JSON.stringify([...conditions]);
    const text = JSON.stringify([object.generation, said, facts.bundleSequence]);
    const last = this.#written.get(object.uid);
    const nowMs = clock.monotonicMs();
    const isOld = last !== undefined && nowMs - last.atMs >= TIME_MS && 'lastFetchTime' in facts;
    if (last?.text === text && !isOld) return undefined;
    const path = pathOf(FEDERATED_DOMAINS, object.name, 'status');
    if (!path.ok) return path.error;
    const answer = await api.request({
      verb: 'patch',
      path: path.value,
      patch: 'merge',
      body: {
        metadata: { uid: object.uid },
        status: { ...facts, conditions: this.#shownAs(standing, conditions) },
      },
      signal: AbortSignal.any([this.#stopped.signal, term]),
    });
    // Gone meanwhile, or another object bears its name.
    const isGone = !answer.ok && ['KUBE_NOT_FOUND', 'KUBE_CONFLICT'].includes(answer.error.code);
    if (!answer.ok && !isGone) {
      return this.#stopped.signal.aborted || term.aborted ? undefined : answer.error;
    }
    if (answer.ok && last?.conditions !== said) this.#tell(standing, conditions, answer.value);
    this.#written.set(object.uid, { text, conditions: said, atMs: nowMs });
    return undefined;
  }

  #shownAs({ object }: DomainStanding, conditions: Conditions): readonly object[] {
    const nowMs = this.#options.clock.nowMs();
    return [...conditions].map(([type, condition]) => ({
      ...readyCondition(condition, object.shown.get(type), nowMs, type),
      observedGeneration: object.generation,
    }));
  }

  #conditionsOf({ object, problem }: DomainStanding): Conditions {
    if (problem !== undefined || !object.stated.ok) {
      const error = problem ?? (object.stated.ok ? undefined : object.stated.error);
      const reason = object.stated.ok ? 'Claimed' : 'Invalid';
      return new Map([['Ready', refused(reason, error)]]);
    }
    const conditions = new Map<(typeof CONDITIONS)[number], Condition>();
    conditions.set('Ready', { status: 'True', reason: 'InForce', message: '' });
    const fetch = this.#options.fetchOf(object.stated.value.trustDomain.name);
    if (fetch?.error !== undefined) {
      conditions.set('BundleFetched', refused('Failed', fetch.error));
    } else if (fetch?.fetchedAtMs !== undefined) {
      conditions.set('BundleFetched', { status: 'True', reason: 'Fetched', message: '' });
    }
    return conditions;
  }

  /** Null takes a field out of the status. */
  #factsOf({ object: { stated }, problem }: DomainStanding) {
    if (problem !== undefined || !stated.ok) return { bundleSequence: null, lastFetchTime: null };
    const { name } = stated.value.trustDomain;
    const held = this.#options.federation.bundle(name)?.bundle;
    const fetchedAtMs = this.#options.fetchOf(name)?.fetchedAtMs;
    return {
      bundleSequence: held === undefined ? null : String(held.sequence),
      ...(fetchedAtMs === undefined
        ? {}
        : { lastFetchTime: timeOf(Math.floor(fetchedAtMs / 1000)) }),
    };
  }

  /** By events, where the status has no place for conditions. */
  #tell({ object }: DomainStanding, conditions: Conditions, answer: KubeObject): void {
    if (objectsAt(answer, 'status', 'conditions').length > 0) return;
    for (const [type, { status, reason, message }] of conditions) {
      this.#options.events.tell({
        object: KIND,
        pod: { namespace: '', name: object.name, uid: object.uid },
        type: status === 'True' ? 'Normal' : 'Warning',
        reason: `${type}${reason}`,
        message: message === '' ? 'as the object says' : message,
      });
    }
  }
}

function refused(reason: string, error: SignetError | undefined): Condition {
  const message = error === undefined ? '' : `${error.message} (${error.code}). ${error.action}`;
  return { status: 'False', reason, message };
}
