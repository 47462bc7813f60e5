import { utf8 } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { type SignetError, toSignetError } from '../../base/errors.ts';
import type { Result } from '../../base/result.ts';
import type { KeyProof } from '../../issuance/csr-key.ts';
import type { IssuedX509, Issuer } from '../../issuance/issuer.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import type { KubeChange } from '../../kube/object-cache.ts';
import { type KubeResource, pathOf } from '../../kube/resource.ts';
import type { X509Grant } from '../../policy/grant.ts';
import type { Logger } from '../../runtime/log.ts';
import type { PodEvents } from '../pod-events.ts';
import { LOOK_MS, type Queued, RequestQueue } from '../request-queue.ts';
import { isSameGrant } from '../same-grant.ts';
import { KEEP_MS, NO_SIGNINGS, type Signings, signingBar } from '../signings.ts';
import { createWaitLog } from '../wait-log.ts';
import { isKeyRefusal, issuedAnswer, type PodCertificateAnswer, refusedAnswer } from './answer.ts';
import { judgePodCertificate, type PodCertificateJudge, type PodCertificatePlan } from './judge.ts';
import type { PodCertificateMetrics } from './metrics.ts';
import type { PodCertificateRequest, PodKeyProof } from './request.ts';

/** What the signer of one cluster stands on. */
export interface PodCertificateSignerOptions {
  readonly api: KubeApi;
  readonly judge: PodCertificateJudge;
  readonly issuer: Pick<Issuer, 'issueX509Batch' | 'issueX509ByProof' | 'checkCsr' | 'checkProof'>;
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'>;
  readonly events: Pick<PodEvents, 'tell'>;
  /** Where requests stand in the API; undefined while that is not known. */
  readonly resource: () => KubeResource | undefined;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics: PodCertificateMetrics;
}

/** Longest wait between two looks at a request, in milliseconds. */
const MAX_LOOK_MS = 30_000;

interface Kept {
  readonly answer: PodCertificateAnswer;
  readonly grant: X509Grant;
  readonly atMs: number;
}

interface Item extends Queued {
  request: PodCertificateRequest;
  readonly seenMs: number;
  /** Since when it waits for what may come by itself. */
  heldSinceMs: number | undefined;
  tries: number;
  signings: Signings;
  /** An answer that could not be written; the API server takes a notBefore of five minutes ago. */
  kept: Kept | undefined;
}

type IssuePlan = Extract<PodCertificatePlan, { readonly kind: 'issue' }>;

/**
 * Answers PodCertificateRequests (KEP-4317): one server does, by a lease, once for each request and for
 * good. What may still come true is waited for; what cannot be answered stays pending, and the kubelet
 * waits with it.
 */
export class PodCertificateSigner {
  readonly #options: PodCertificateSignerOptions;
  /** Requests without an answer, by `namespace/name`. */
  readonly #items = new Map<string, Item>();
  readonly #queue: RequestQueue<Item>;
  readonly #release: () => void;
  readonly #tell: (error: SignetError) => void;

  constructor(options: PodCertificateSignerOptions) {
    const { clock, leader, log } = options;
    this.#options = options;
    this.#tell = createWaitLog(clock, log, 'pod certificates wait');
    this.#queue = new RequestQueue({
      clock,
      term: () => leader.term,
      all: () => this.#items.values(),
      work: (items, term) => this.#work(items, term),
      onFault: (thrown) => this.#tell(toSignetError(thrown, 'answering pod certificates')),
    });
    this.#release = leader.onChange((leads) => {
      if (leads) this.lookAgain();
    });
    options.metrics.waiting(options.judge.cluster, () => this.waiting);
  }

  /** Requests without an answer. */
  get waiting(): number {
    return [...this.#items.values()].filter(({ state }) => state !== 'done').length;
  }

  /** Hears of a request. */
  take(change: KubeChange<PodCertificateRequest>): void {
    if (change.kind === 'synced') return;
    const known = this.#items.get(change.key);
    if (change.kind === 'delete') {
      if (known?.request.uid === change.uid) this.#forget(change.key, known);
      return;
    }
    if (known !== undefined && known.request.uid === change.uid) {
      known.request = change.value;
      return;
    }
    if (known !== undefined) this.#forget(change.key, known);
    const nowMs = this.#options.clock.monotonicMs();
    const item: Item = {
      request: change.value,
      seenMs: nowMs,
      heldSinceMs: undefined,
      dueMs: nowMs,
      tries: 0,
      state: 'idle',
      isNews: false,
      signings: NO_SIGNINGS,
      kept: undefined,
    };
    this.#items.set(change.key, item);
    this.#queue.put(item);
  }

  /** Looks at everything that waits: rules have changed, or this server leads now. */
  lookAgain(): void {
    for (const item of this.#items.values()) if (item.state === 'idle') this.#queue.put(item);
  }

  /** Ends it; answers when what was under way has come to its end. */
  async stop(): Promise<void> {
    this.#release();
    await this.#queue.stop();
  }

  #forget(key: string, item: Item): void {
    this.#items.delete(key);
    this.#queue.drop(item);
  }

  async #work(items: readonly Item[], term: AbortSignal): Promise<void> {
    const issues: (readonly [Item, IssuePlan])[] = [];
    const answers: Promise<void>[] = [];
    for (const item of items) {
      const plan = judgePodCertificate(item.request, this.#options.judge);
      const bar = plan.kind === 'issue' ? this.#bar(item, plan) : undefined;
      if (bar?.isOver === true) answers.push(this.#fail(item, bar.error, term));
      else if (bar !== undefined) this.#postpone(item, bar.error);
      else if (plan.kind === 'issue') issues.push([item, plan]);
      else answers.push(this.#withoutGrant(item, plan, term));
    }
    const kept = issues.filter(([item, plan]) => this.#isKept(item, plan));
    const fresh = issues.filter((issue) => !kept.includes(issue));
    for (const [item] of kept)
      if (item.kept) answers.push(this.#write(item, item.kept.answer, term));
    const issued = await this.#issue(fresh);
    for (const [index, [item, plan]] of fresh.entries()) {
      const result = issued[index];
      if (result !== undefined) answers.push(this.#settle(item, plan, result, term));
    }
    await Promise.all(answers);
  }

  /** In the order of what is asked; undefined where there is no outcome. */
  async #issue(
    issues: readonly (readonly [Item, IssuePlan])[],
  ): Promise<readonly (Result<IssuedX509> | undefined)[]> {
    const { issuer } = this.#options;
    const batch = issues.flatMap(([, { grant, proof }]) =>
      proof.kind === 'csr' ? [{ grant, csr: proof.der }] : [],
    );
    const together = batch.length > 0 ? await issuer.issueX509Batch(batch) : [];
    const next = together.values();
    return Promise.all(
      issues.map(([item, { grant, proof }]) => {
        if (proof.kind === 'csr') return next.next().value;
        return issuer.issueX509ByProof(grant, proofOf(proof, item.request));
      }),
    );
  }

  /** Whether the answer of an earlier try is still right, so that nothing need be signed again. */
  #isKept({ kept }: Item, { grant }: IssuePlan): boolean {
    if (kept === undefined) return false;
    const isFresh = this.#options.clock.monotonicMs() - kept.atMs < KEEP_MS;
    return isFresh && isSameGrant(kept.grant, grant);
  }

  /** Why nothing is signed for it now, though it may have a certificate. */
  #bar(item: Item, plan: IssuePlan): ReturnType<typeof signingBar> {
    if (this.#isKept(item, plan)) return undefined;
    return signingBar(item.signings, this.#options.clock.monotonicMs());
  }

  #fail(item: Item, error: SignetError, term: AbortSignal): Promise<void> {
    return this.#write(item, refusedAnswer('Failed', error, this.#options.clock.nowMs()), term);
  }

  async #withoutGrant(
    item: Item,
    plan: Exclude<PodCertificatePlan, IssuePlan>,
    term: AbortSignal,
  ): Promise<void> {
    const { clock, graceMs } = this.#options;
    const { error } = plan;
    const nowMs = clock.monotonicMs();
    if (plan.kind === 'hold') item.heldSinceMs ??= nowMs;
    const isOver = item.heldSinceMs !== undefined && nowMs - item.heldSinceMs >= graceMs;
    if (plan.kind === 'refused' || (plan.kind === 'hold' && isOver)) {
      return this.#write(item, refusedAnswer('Denied', error, clock.nowMs()), term);
    }
    this.#postpone(item, error, LOOK_MS);
  }

  async #settle(
    item: Item,
    { grant, proof }: IssuePlan,
    issued: Result<IssuedX509>,
    term: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options;
    if (issued.ok) {
      const answer = issuedAnswer(issued.value, clock.nowMs());
      const atMs = clock.monotonicMs();
      item.kept = { answer, grant, atMs };
      item.signings = { times: item.signings.times + 1, atMs, refusal: undefined };
      return this.#write(item, answer, term);
    }
    // Only what is wrong with the request itself is for good.
    const key = this.#check(item, proof);
    if (!key.ok) {
      const outcome = isKeyRefusal(key.error.code) ? 'Denied' : 'Failed';
      return this.#write(item, refusedAnswer(outcome, key.error, clock.nowMs()), term);
    }
    this.#postpone(item, issued.error);
  }

  #check({ request }: Item, proof: PodKeyProof): Result<unknown> {
    const { issuer } = this.#options;
    return proof.kind === 'csr'
      ? issuer.checkCsr(proof.der)
      : issuer.checkProof(proofOf(proof, request));
  }

  /** One update of the status, by who leads; a leader whose term has ended writes nothing. */
  async #write(item: Item, answer: PodCertificateAnswer, term: AbortSignal): Promise<void> {
    const { api, leader, resource, metrics, judge, clock } = this.#options;
    const { name, namespace, uid, resourceVersion } = item.request;
    const kind = resource();
    if (leader.term !== term || kind === undefined || item.state !== 'busy') return;
    const path = pathOf({ ...kind, namespace }, name, 'status');
    const written = path.ok
      ? await api.request({
          verb: 'patch',
          path: path.value,
          // Neither another object of this name, nor one that somebody has written to meanwhile.
          body: { metadata: { uid, resourceVersion }, status: answer.status },
          signal: term,
        })
      : path;
    if (!written.ok) {
      if (item.state !== 'busy') return;
      if (answer.outcome === 'Issued') {
        item.signings = { ...item.signings, refusal: written.error };
      }
      // The watch tells what became of it; where it is still without an answer it is looked at again.
      const isStale = ['KUBE_CONFLICT', 'KUBE_NOT_FOUND'].includes(written.error.code);
      return this.#postpone(item, written.error, isStale ? LOOK_MS : undefined);
    }
    // The watch may have told of it before the answer to the call: the request is forgotten then.
    item.state = 'done';
    item.kept = undefined;
    const seconds = (clock.monotonicMs() - item.seenMs) / 1000;
    metrics.answered(judge.cluster, answer.outcome.toLowerCase(), seconds);
    this.#publish(item.request, answer);
  }

  #publish({ claim, name, namespace }: PodCertificateRequest, answer: PodCertificateAnswer): void {
    const { outcome, message, reason } = answer;
    const isIssued = outcome === 'Issued';
    const { events, log } = this.#options;
    const { uid } = claim;
    events.tell({
      pod: { namespace, name: claim.name, uid },
      type: isIssued ? 'Normal' : 'Warning',
      reason: `PodCertificate${outcome}`,
      message: isIssued ? message : `${reason}: ${message}`,
    });
    const facts = {
      request: `${namespace}/${name}`,
      pod: claim.name,
      podUid: uid,
      reason,
      message,
    };
    if (isIssued) log.info(facts, 'pod certificate issued');
    else log.warn({ ...facts, outcome }, 'pod certificate refused');
  }

  /** Leaves a request pending for now: after longer and longer, unless told. */
  #postpone(item: Item, error: SignetError, delayMs?: number): void {
    const { metrics, judge } = this.#options;
    metrics.postponed(judge.cluster, error.code);
    this.#tell(error);
    item.tries += 1;
    this.#queue.later(
      item,
      delayMs ?? Math.min(LOOK_MS * 2 ** Math.min(item.tries, 10), MAX_LOOK_MS),
    );
  }
}

/** Over the pod's UID: by the time that it is looked at, the request's is known to be that. */
function proofOf(
  { spki, signature }: Extract<PodKeyProof, { readonly kind: 'pod-uid' }>,
  { claim }: PodCertificateRequest,
): KeyProof {
  return { spki, signature, message: utf8(claim.uid) };
}
