import { equalBytes } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { type SignetError, toSignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { IssuedX509, Issuer } from '../../issuance/issuer.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import type { KubeChange } from '../../kube/object-cache.ts';
import { metaOf } from '../../kube/objects.ts';
import { pathOf } from '../../kube/resource.ts';
import type { X509Grant } from '../../policy/grant.ts';
import type { Logger } from '../../runtime/log.ts';
import type { PodEvents } from '../pod-events.ts';
import { LOOK_MS, type Queued, RequestQueue } from '../request-queue.ts';
import { isSameGrant } from '../same-grant.ts';
import { KEEP_MS, NO_SIGNINGS, type Signings, signingBar } from '../signings.ts';
import { createWaitLog } from '../wait-log.ts';
import {
  type Answer,
  deniedAnswer,
  failedAnswer,
  issuedAnswer,
  objectOf,
  pendingAnswer,
  pendingCondition,
} from './answer.ts';
import { clip, isShown } from './condition.ts';
import { type IssuerJudge, type IssuerPlan, judgeRequest } from './judge.ts';
import { FIELD_MANAGER, issuerName, REQUEST_RESOURCES } from './kinds.ts';
import type { IssuerMetrics } from './metrics.ts';
import type { SigningRequest } from './request.ts';

/** What the signer of one cluster stands on. */
export interface IssuerSignerOptions {
  readonly api: KubeApi;
  readonly judge: IssuerJudge;
  readonly issuer: Pick<Issuer, 'issueX509Batch' | 'checkCsr'>;
  /** The bundle of the trust domain in PEM; fails where it is empty. */
  readonly bundlePem: () => Result<string>;
  /** Whether all issuers have been read. */
  readonly isSynced: () => boolean;
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'>;
  readonly events: Pick<PodEvents, 'tell'>;
  readonly retryMs: number;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics: IssuerMetrics;
}

/** Longest wait between two looks at a request, in milliseconds. */
const MAX_LOOK_MS = 30_000;

type IssuePlan = Extract<IssuerPlan, { readonly kind: 'issue' }>;

interface Item extends Queued {
  request: SigningRequest;
  readonly seenMs: number;
  /** Since when it is tried in vain. */
  triedSinceMs: number | undefined;
  tries: number;
  signings: Signings;
  kept: Kept | undefined;
}

/** What an earlier try has signed. */
interface Kept {
  readonly issued: IssuedX509;
  readonly grant: X509Grant;
  readonly csr: Uint8Array;
  readonly atMs: number;
}

/**
 * Answers requests that name our issuers: CertificateRequests of cert-manager (its contract for external
 * issuers) and CertificateSigningRequests of Kubernetes. One server does, by a lease, and each only once
 * it is approved, once and for good. Neither is touched before, nor after.
 */
export class IssuerSigner {
  readonly #options: IssuerSignerOptions;
  /** Requests without an answer, by their kind, namespace and name. */
  readonly #items = new Map<string, Item>();
  readonly #queue: RequestQueue<Item>;
  readonly #release: () => void;
  readonly #warn: (error: SignetError) => void;

  constructor(options: IssuerSignerOptions) {
    const { clock, leader, log, isSynced } = options;
    this.#options = options;
    this.#warn = createWaitLog(clock, log, 'certificate requests wait');
    this.#queue = new RequestQueue({
      clock,
      term: () => (isSynced() ? leader.term : undefined),
      all: () => this.#items.values(),
      work: (items, term) => this.#work(items, term),
      onFault: (thrown) => this.#warn(toSignetError(thrown, 'answering certificate requests')),
    });
    this.#release = leader.onChange((leads) => {
      if (leads) this.lookAgain();
    });
    options.metrics.waiting(options.judge.cluster, () => this.waiting);
  }

  /** Approved requests without an answer. */
  get waiting(): number {
    return [...this.#items.values()].filter(({ state }) => state !== 'done').length;
  }

  /** Hears of a request of a kind. */
  take(change: KubeChange<SigningRequest>): void {
    if (change.kind === 'synced') return;
    const { kind } = change.kind === 'put' ? change.value : change.before;
    const key = `${kind} ${change.key}`;
    const known = this.#items.get(key);
    if (change.kind === 'delete') {
      if (known?.request.uid === change.uid) this.#forget(key, known);
      return;
    }
    if (known !== undefined && known.request.uid === change.uid) {
      this.#update(known, change.value);
      return;
    }
    if (known !== undefined) this.#forget(key, known);
    const path = pathOfStatus(change.value);
    // Nothing could ever be written to it: nothing is signed for it either.
    if (!path.ok) {
      this.#warn(path.error);
      return;
    }
    const nowMs = this.#options.clock.monotonicMs();
    const item: Item = {
      request: change.value,
      seenMs: nowMs,
      triedSinceMs: undefined,
      dueMs: nowMs,
      tries: 0,
      state: 'idle',
      isNews: false,
      signings: NO_SIGNINGS,
      kept: undefined,
    };
    this.#items.set(key, item);
    this.#queue.put(item);
  }

  /** Looks at everything that waits: issuers or rules have changed, or this server leads now. */
  lookAgain(): void {
    for (const item of this.#items.values()) this.#queue.put(item);
  }

  /** Ends it; answers when what was under way has come to its end. */
  async stop(): Promise<void> {
    this.#release();
    await this.#queue.stop();
  }

  #update(item: Item, request: SigningRequest): void {
    const isNews = item.request.approval !== request.approval;
    item.request = request;
    if (isNews) this.#queue.put(item);
  }

  #forget(key: string, item: Item): void {
    this.#items.delete(key);
    this.#queue.drop(item);
  }

  async #work(items: readonly Item[], term: AbortSignal): Promise<void> {
    const issues: (readonly [Item, IssuePlan])[] = [];
    const answers: Promise<void>[] = [];
    for (const item of items) {
      if (item.request.approval === 'denied') {
        const denied = deniedAnswer(item.request, this.#options.clock.nowMs());
        answers.push(this.#write(item, denied, term));
        continue;
      }
      const plan = judgeRequest(item.request, this.#options.judge);
      const bar = plan.kind === 'issue' ? this.#bar(item, plan) : undefined;
      if (bar?.isOver === true) answers.push(this.#fail(item, bar.error, term));
      else if (bar !== undefined) this.#postpone(item, bar.error);
      else if (plan.kind === 'issue') issues.push([item, plan]);
      else answers.push(this.#withoutGrant(item, plan, term));
    }
    const issued = await this.#issue(issues);
    for (const [index, [item, plan]] of issues.entries()) {
      const result = issued[index];
      if (result !== undefined) answers.push(this.#settle(item, plan, result, term));
    }
    await Promise.all(answers);
  }

  /** In the order of what is asked; what an earlier try signed is not signed again. */
  async #issue(
    issues: readonly (readonly [Item, IssuePlan])[],
  ): Promise<readonly (Result<IssuedX509> | undefined)[]> {
    const keptOf = ([item, plan]: readonly [Item, IssuePlan]) => this.#kept(item, plan);
    const fresh = issues.filter((issue) => keptOf(issue) === undefined);
    const requests = fresh.map(([, { grant, csr }]) => ({ grant, csr }));
    const signed = requests.length > 0 ? await this.#options.issuer.issueX509Batch(requests) : [];
    return issues.map((issue) => {
      const index = fresh.indexOf(issue);
      const kept = index < 0 ? keptOf(issue) : undefined;
      return kept === undefined ? signed[index] : ok(kept);
    });
  }

  /** Why nothing is signed for it now, though it may have a certificate. */
  #bar(item: Item, plan: IssuePlan): ReturnType<typeof signingBar> {
    if (this.#kept(item, plan) !== undefined) return undefined;
    return signingBar(item.signings, this.#options.clock.monotonicMs());
  }

  #kept({ kept }: Item, { grant, csr }: IssuePlan): IssuedX509 | undefined {
    const isFresh = kept !== undefined && this.#options.clock.monotonicMs() - kept.atMs < KEEP_MS;
    const isSame = isFresh && isSameGrant(kept.grant, grant) && equalBytes(kept.csr, csr);
    return isSame ? kept.issued : undefined;
  }

  async #withoutGrant(
    item: Item,
    plan: Exclude<IssuerPlan, IssuePlan>,
    term: AbortSignal,
  ): Promise<void> {
    if (plan.kind === 'standby') item.triedSinceMs = undefined;
    if (plan.kind === 'refused') return this.#fail(item, plan.error, term);
    return this.#retry(item, plan.error, term, plan.kind === 'later');
  }

  async #settle(
    item: Item,
    plan: IssuePlan,
    issued: Result<IssuedX509>,
    term: AbortSignal,
  ): Promise<void> {
    const { clock, judge, issuer, bundlePem } = this.#options;
    if (!issued.ok) {
      // Only what is wrong with the request itself is for good.
      const key = issuer.checkCsr(plan.csr);
      return key.ok ? this.#retry(item, issued.error, term) : this.#fail(item, key.error, term);
    }
    if (item.kept?.issued !== issued.value) this.#keep(item, plan, issued.value);
    // A denial that came meanwhile is answered as one.
    if (item.request.approval !== 'approved') return this.#queue.later(item, 0);
    // Issuers are none of the registry, by which grants are judged once more: so they are here.
    const still = judgeRequest(item.request, judge);
    const isStill =
      still.kind === 'issue' &&
      isSameGrant(still.grant, plan.grant) &&
      equalBytes(still.csr, plan.csr);
    const bundle = bundlePem();
    if (!isStill || !bundle.ok) {
      item.kept = undefined;
      const changed = fail('GRANT_OUTDATED', 'what gives the certificate changed meanwhile');
      return this.#retry(item, bundle.ok ? changed.error : bundle.error, term);
    }
    return this.#write(
      item,
      issuedAnswer(item.request, issued.value, bundle.value, clock.nowMs()),
      term,
    );
  }

  #keep(item: Item, { grant, csr }: IssuePlan, issued: IssuedX509): void {
    const atMs = this.#options.clock.monotonicMs();
    item.kept = { issued, grant, csr, atMs };
    item.signings = { times: item.signings.times + 1, atMs, refusal: undefined };
  }

  #fail(item: Item, error: SignetError, term: AbortSignal): Promise<void> {
    return this.#write(item, failedAnswer(item.request, error, this.#options.clock.nowMs()), term);
  }

  /** Leaves a request pending for now, for as long as it may be tried. */
  async #retry(item: Item, error: SignetError, term: AbortSignal, isCounted = true): Promise<void> {
    const { clock, retryMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (isCounted) {
      item.triedSinceMs ??= nowMs;
      if (nowMs - item.triedSinceMs >= retryMs) return this.#fail(item, error, term);
    }
    const { request } = item;
    const isTold =
      request.kind !== 'CertificateRequest' || isShown(pendingCondition(error), request.shown);
    if (!isTold) await this.#write(item, pendingAnswer(request, error, clock.nowMs()), term);
    this.#postpone(item, error);
  }

  /** One write of the status, by who leads; a leader whose term has ended writes nothing. */
  async #write(item: Item, answer: Answer, term: AbortSignal): Promise<void> {
    const { api, leader } = this.#options;
    const { request } = item;
    if (leader.term !== term || item.state !== 'busy') return;
    const path = pathOfStatus(request);
    const { uid, resourceVersion, name, namespace } = request;
    const written = path.ok
      ? await api.request({
          verb: 'patch',
          patch: 'apply',
          path: path.value,
          query: { fieldManager: FIELD_MANAGER, force: 'true' },
          body: {
            ...objectOf(request.kind),
            // Neither another object of this name, nor one that somebody has written to meanwhile.
            metadata: { name, ...within(namespace), uid, resourceVersion },
            status: answer.status,
          },
          signal: term,
        })
      : path;
    // The watch may have told of it before the answer to the call, and the request is forgotten by now.
    if (written.ok && answer.outcome !== 'Pending') return this.#done(item, answer);
    if (item.state !== 'busy') return;
    if (!written.ok) {
      if (answer.outcome === 'Issued') {
        item.signings = { ...item.signings, refusal: written.error };
      }
      return this.#postpone(item, written.error);
    }
    // What comes next is written over what was written now, unless the watch has told of it, or of more.
    const { resourceVersion: next } = metaOf(written.value);
    const isNext = item.request === request && next !== '';
    if (isNext) item.request = { ...request, resourceVersion: next };
  }

  #done(item: Item, { outcome, message }: Answer): void {
    const { judge, metrics, clock, events, log } = this.#options;
    const { kind, name, namespace, uid, issuer } = item.request;
    item.state = 'done';
    item.kept = undefined;
    const seconds = (clock.monotonicMs() - item.seenMs) / 1000;
    metrics.answered(judge.cluster, kind, outcome.toLowerCase(), seconds);
    const isIssued = outcome === 'Issued';
    events.tell({
      object: objectOf(kind),
      pod: { namespace, name, uid },
      type: isIssued ? 'Normal' : 'Warning',
      reason: `Certificate${outcome}`,
      message,
    });
    const request = namespace === '' ? name : `${namespace}/${name}`;
    const facts = { kind, request, issuer: issuerName(issuer), message: clip(message) };
    if (isIssued) log.info(facts, 'certificate request answered');
    else log.warn({ ...facts, outcome }, 'certificate request refused');
  }

  /** Looks at a request again after longer and longer. */
  #postpone(item: Item, error: SignetError): void {
    const { metrics, judge } = this.#options;
    if (item.state !== 'busy') return;
    metrics.postponed(judge.cluster, item.request.kind, error.code);
    if (item.tries === 0) this.#warn(error);
    item.tries += 1;
    const delayMs = LOOK_MS * 2 ** Math.min(item.tries - 1, 10);
    this.#queue.later(item, Math.min(delayMs, MAX_LOOK_MS));
  }
}

function pathOfStatus({ kind, namespace, name }: SigningRequest): Result<string> {
  return pathOf({ ...REQUEST_RESOURCES[kind], ...within(namespace) }, name, 'status');
}

function within(namespace: string): { readonly namespace?: string } {
  return namespace === '' ? {} : { namespace };
}
