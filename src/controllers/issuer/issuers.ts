import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import { pathOf } from '../../kube/resource.ts';
import { type KubeWatch, watchKube } from '../../kube/watch.ts';
import type { Logger } from '../../runtime/log.ts';
import type { ClassFilter } from '../rule-kinds.ts';
import { type Condition, clip, isShown, readyCondition } from './condition.ts';
import { type IssuerObject, issuerFrom } from './issuer-object.ts';
import {
  FIELD_MANAGER,
  ISSUER_GROUP,
  ISSUER_RESOURCES,
  type IssuerKind,
  type IssuerRef,
  issuerName,
} from './kinds.ts';

/** What the issuers of a cluster stand on. */
export interface IssuersOptions {
  readonly api: KubeApi;
  readonly filter: ClassFilter;
  /** Whether pods and rules have been read. */
  readonly isReady: () => boolean;
  /** Whether there is an authority that signs. */
  readonly canSign: () => Result<unknown>;
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: KubeMetrics | undefined;
}

/** Between two looks at how issuers stand, and two writes of one status, in milliseconds. */
const LOOK_MS = 5_000;
const KINDS = ['SignetIssuer', 'SignetClusterIssuer'] as const;

interface Written {
  readonly text: string;
  readonly atMs: number;
}

/**
 * The SignetIssuers and SignetClusterIssuers of a cluster. Who leads writes into their condition Ready
 * whether requests are answered, and what is wrong where they are not.
 */
export class Issuers {
  readonly #options: IssuersOptions;
  readonly #watches: Readonly<Record<IssuerKind, KubeWatch<IssuerObject>>>;
  readonly #listeners = new Set<() => void>();
  readonly #written = new Map<string, Written>();
  readonly #stopped = new AbortController();
  readonly #release: () => void;
  /** How each stood at the last look. */
  #stood = new Map<string, string>();
  #writing: Promise<void> | undefined;
  /** What all of them stood on at the last look. */
  #ground: string | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #isWoken = false;
  #cancel: Cancel = () => {};

  constructor(options: IssuersOptions) {
    this.#options = options;
    this.#watches = {
      SignetIssuer: this.#watch('SignetIssuer'),
      SignetClusterIssuer: this.#watch('SignetClusterIssuer'),
    };
    this.#release = options.leader.onChange(() => this.look());
    this.look();
  }

  /** Whether all of them have been read. */
  get isSynced(): boolean {
    return KINDS.every((kind) => this.#watches[kind].synced);
  }

  /** An issuer that is ready. Fails with ISSUER_UNKNOWN, ISSUER_NOT_READY. */
  find(ref: IssuerRef): Result<IssuerObject> {
    const { namespace, name } = ref;
    const key = namespace === '' ? name : `${namespace}/${name}`;
    const issuer = this.#watches[ref.kind].get(key);
    if (issuer === undefined) return fail('ISSUER_UNKNOWN', `there is no ${issuerName(ref)}`);
    const { status, reason, message } = conditionOf(issuer, this.#common());
    if (status === 'True') return ok(issuer);
    return fail('ISSUER_NOT_READY', `${issuerName(ref)} is ${reason}: ${message}`);
  }

  /** How many are ready, or not. */
  count(ready: boolean): number {
    const wanted = ready ? 'True' : 'False';
    const common = this.#common();
    return [...this.#all()].filter((one) => conditionOf(one, common).status === wanted).length;
  }

  /** Calls back when an issuer has come, gone or changed, or stands otherwise. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks soon how they stand; what changed is told, and written by who leads. */
  look(): void {
    if (this.#stopped.signal.aborted) return;
    // Thousands may change at once, as when they are listed.
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.#look();
    });
  }

  /** As {@link Issuers.look}, where what all of them stand on is not as it was. */
  glance(): void {
    if (JSON.stringify(this.#common()) !== this.#ground) this.look();
  }

  #look(): void {
    this.#cancel();
    this.#cancel = this.#options.clock.after(LOOK_MS, () => this.look());
    const common = this.#common();
    this.#ground = JSON.stringify(common);
    const before = this.#stood;
    this.#stood = new Map([...this.#all()].map((one) => [one.uid, textOf(one, common)]));
    for (const uid of this.#written.keys()) if (!this.#stood.has(uid)) this.#written.delete(uid);
    const isSame =
      before.size === this.#stood.size &&
      [...this.#stood].every(([uid, text]) => before.get(uid) === text);
    if (!isSame) for (const listener of this.#listeners) listener();
    this.#isWoken = true;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#release();
    this.#cancel();
    clearImmediate(this.#immediate);
    await Promise.all(KINDS.map((kind) => this.#watches[kind].stop()));
    await this.#writing;
  }

  #watch(kind: IssuerKind): KubeWatch<IssuerObject> {
    const { api, filter, clock, random, log, metrics } = this.#options;
    const watch = watchKube<IssuerObject>({
      api,
      resource: ISSUER_RESOURCES[kind],
      project: (object) => issuerFrom(kind, object, filter),
      ...{ clock, random, log, metrics },
    });
    watch.onChange((change) => {
      if (change.kind === 'synced') for (const listener of this.#listeners) listener();
      this.look();
    });
    return watch;
  }

  *#all(): Generator<IssuerObject> {
    for (const kind of KINDS) for (const [, issuer] of this.#watches[kind].entries()) yield issuer;
  }

  /** How those stand that can be read, in the words that cert-manager's own library has for it. */
  #common(): Condition {
    if (!this.#options.isReady()) {
      const early = fail('POD_RULES_PENDING', 'pods and rules of the cluster are still being read');
      return notReady('Initializing', early.error);
    }
    const signs = this.#options.canSign();
    if (!signs.ok) return notReady('Pending', signs.error);
    return { status: 'True', reason: 'Checked', message: 'requests are answered' };
  }

  async #writeAll(): Promise<void> {
    while (this.#isWoken) {
      this.#isWoken = false;
      let common = this.#common();
      for (const issuer of this.#all()) {
        const { term } = this.#options.leader;
        if (term === undefined || this.#stopped.signal.aborted) return;
        const isWritten = await this.#write(issuer, common, term);
        if (isWritten) common = this.#common();
      }
    }
  }

  /** Answers whether there was anything to write. */
  async #write(issuer: IssuerObject, common: Condition, term: AbortSignal): Promise<boolean> {
    const { api, clock, log } = this.#options;
    const { ref, uid, generation, shown } = issuer;
    const condition = conditionOf(issuer, common);
    const text = textOf(issuer, common);
    const isCurrent = isShown(condition, shown) && shown?.generation === generation;
    const last = this.#written.get(uid);
    const nowMs = clock.monotonicMs();
    // The watch tells of what was written a moment later.
    const isWritten = last?.text === text && nowMs - last.atMs < LOOK_MS;
    if (isCurrent || isWritten) return false;
    this.#written.set(uid, { text, atMs: nowMs });
    const resource = ISSUER_RESOURCES[ref.kind];
    const within = ref.namespace === '' ? {} : { namespace: ref.namespace };
    const path = pathOf({ ...resource, ...within }, ref.name, 'status');
    if (!path.ok) return false;
    const ready = readyCondition(condition, shown, clock.nowMs());
    const written = await api.request({
      verb: 'patch',
      patch: 'apply',
      path: path.value,
      query: { fieldManager: FIELD_MANAGER, force: 'true' },
      body: {
        apiVersion: `${ISSUER_GROUP}/${resource.version}`,
        kind: ref.kind,
        metadata: { name: ref.name, ...within, uid },
        status: { conditions: [{ ...ready, observedGeneration: generation }] },
      },
      signal: AbortSignal.any([term, this.#stopped.signal]),
    });
    const facts = { issuer: issuerName(ref), reason: condition.reason };
    if (written.ok)
      log.info({ ...facts, ready: condition.status }, 'an issuer is told how it stands');
    else if (!['KUBE_NOT_FOUND', 'KUBE_CONFLICT'].includes(written.error.code)) {
      const { code, message, action } = written.error;
      log.warn({ issuer: issuerName(ref), code, reason: message, action }, 'status is not written');
    }
    return true;
  }
}

function conditionOf({ allowances }: IssuerObject, common: Condition): Condition {
  return allowances.ok ? common : notReady('Failed', allowances.error);
}

function notReady(reason: string, { message, code, action }: SignetError): Condition {
  return { status: 'False', reason, message: clip(`${message} (${code}). ${action}`) };
}

function textOf(issuer: IssuerObject, common: Condition): string {
  return JSON.stringify([issuer.generation, conditionOf(issuer, common)]);
}
