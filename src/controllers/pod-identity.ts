import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { textAt } from '../kube/objects.ts';
import type { PolicyContext } from '../policy/context.ts';
import type { X509Grant } from '../policy/grant.ts';
import { grantPodX509 } from '../policy/pod-grants.ts';
import type { DerivedEntry, DerivedSource } from '../rules/derived.ts';
import type { PodEntries } from '../rules/kube/derivation.ts';
import { type KubeNode, type KubePod, podKey } from '../rules/kube/objects.ts';
import { ruleName } from '../rules/kube/pod-rule.ts';
import { partsOf } from '../rules/kube/render.ts';
import type { ServiceNames } from './service-names.ts';

/** What a request, or a TokenReview, says of the pod that it is for; what is absent is not compared. */
export interface PodClaim {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly nodeName?: string | undefined;
  readonly nodeUid?: string | undefined;
  readonly serviceAccountName?: string | undefined;
  readonly serviceAccountUid?: string | undefined;
}

/** What is wished for the pod. */
export interface PodWish {
  /** One of the pod's SPIFFE IDs; needed where it has several. */
  readonly spiffeId?: string | undefined;
  /** Some of its DNS names; all of them unless given. */
  readonly dnsNames?: readonly string[] | undefined;
  /** Whether its DNS names are those of the services that select it, in place of the entry's. */
  readonly ofServices?: boolean | undefined;
  /** Who asks, as the ledger has it: `pod-certificate:<cluster>`. */
  readonly requestedBy: string;
  /** Most seconds between the two dates. */
  readonly maxLifeSeconds?: number | undefined;
  /** Unix seconds before which it may not start. */
  readonly notBeforeSeconds?: number | undefined;
}

/** What may be done for a pod. */
export type PodVerdict =
  | {
      readonly kind: 'granted';
      readonly grant: X509Grant;
      readonly source: DerivedSource;
      readonly pod: KubePod;
    }
  /** Nothing can be said yet; whoever asked waits, however long it takes. */
  | { readonly kind: 'wait'; readonly error: SignetError }
  /** Not as things stand, which may change by itself; worth a while of waiting. */
  | { readonly kind: 'hold'; readonly error: SignetError }
  /** No, and waiting does not help. */
  | { readonly kind: 'refused'; readonly error: SignetError };

/** What may not be done for a pod. */
export type PodRefusal = Exclude<PodVerdict, { readonly kind: 'granted' }>;

/** Who is meant by a claim. */
export type PodFound = { readonly kind: 'found'; readonly pod: KubePod } | PodRefusal;

/** The pods of a cluster with what rules give them. */
export interface PodSource {
  readonly isReady: boolean;
  entriesOf(pod: string): PodEntries | undefined;
  podsOn(node: string): Iterable<KubePod>;
  node(name: string): KubeNode | undefined;
  onSettled(listener: () => void): () => void;
}

/** The UIDs of service accounts, by `namespace/name`. */
export interface ServiceAccountUids {
  readonly synced: boolean;
  get(key: string): string | undefined;
}

/** What identities of pods are resolved with. */
export interface PodIdentityParts {
  readonly pods: PodSource;
  readonly serviceAccounts: ServiceAccountUids;
  /** Undefined where nothing asks for names of services. */
  readonly services?: ServiceNames | undefined;
  readonly policy: PolicyContext;
  /** Whether a pod's node has to be attested where no demand of zones says so. */
  readonly requireAttestedNode: boolean;
}

/** Refusals that may end by themselves: caches lag, and rules, agents and entries come and go. */
const PASSING: ReadonlySet<string> = new Set([
  'POD_UNKNOWN',
  'POD_NO_IDENTITY',
  'POD_CHOICE',
  'POD_DNS_NAMES',
  'POD_NO_SERVICE',
  'POD_NODE_NOT_ATTESTED',
  'ENTRY_NOT_AUTHORIZED',
]);

/** Refusals that say nothing of the pod. */
const BLIND: ReadonlySet<string> = new Set([
  'POD_RULES_PENDING',
  'ENTRIES_PENDING',
  'REGISTRY_STALE',
]);

/**
 * Resolves pods that objects of Kubernetes name: pod, node, agent, identity, each as this server sees
 * them, never as the object says. Judges by caches alone.
 */
export class PodIdentities {
  readonly #parts: PodIdentityParts;

  constructor(parts: PodIdentityParts) {
    this.#parts = parts;
  }

  /** Calls back when rules have settled after a change. Returns what ends it. */
  onSettled(listener: () => void): () => void {
    return this.#parts.pods.onSettled(listener);
  }

  /** Whether the pod is what is claimed of it, and may have what is wished. */
  resolve(claim: PodClaim, wish: PodWish): PodVerdict {
    const found = this.#find(claim, wish);
    if (!found.ok) return verdictOf(found.error);
    const { pod, chosen } = found.value;
    const { source } = chosen;
    const services = this.#servicesOf(pod, wish);
    if (!services.ok) return verdictOf(services.error);
    const grant = grantPodX509(
      {
        ...wish,
        serviceNames: services.value,
        pod: { uid: pod.uid, rule: ruleName(source.rule) },
        entryId: chosen.entry.id,
        requireAttestedNode: this.#parts.requireAttestedNode,
      },
      this.#parts.policy,
    );
    return grant.ok ? { kind: 'granted', grant: grant.value, source, pod } : verdictOf(grant.error);
  }

  #servicesOf(pod: KubePod, { ofServices }: PodWish): Result<readonly string[] | undefined> {
    if (ofServices !== true) return ok(undefined);
    const { services } = this.#parts;
    if (services?.synced !== true) {
      return fail('POD_RULES_PENDING', 'services of the cluster are still being read');
    }
    const names = services.namesOf(pod);
    if (names.length > 0) return ok(names);
    return fail('POD_NO_SERVICE', `no service selects pod ${podKey(pod)}`);
  }

  /** The pod alone, if it is what is claimed of it, whatever it may have. */
  who(claim: PodClaim): PodFound {
    const known = this.#known(claim);
    return known.ok ? { kind: 'found', pod: known.value.pod } : verdictOf(known.error);
  }

  /** The pods on a node that have a service account. */
  podsOn(node: string, namespace: string, serviceAccount: string): readonly KubePod[] {
    return [...this.#parts.pods.podsOn(node)].filter(
      (pod) => pod.namespace === namespace && accountOf(pod) === serviceAccount,
    );
  }

  #find(
    claim: PodClaim,
    wish: PodWish,
  ): Result<{ readonly pod: KubePod; readonly chosen: DerivedEntry }> {
    const known = this.#known(claim);
    if (!known.ok) return known;
    const { pod, entries } = known.value;
    const chosen = choose(entries, wish);
    return chosen.ok ? ok({ pod, chosen: chosen.value }) : chosen;
  }

  #known(claim: PodClaim): Result<PodEntries> {
    const { pods, serviceAccounts } = this.#parts;
    if (!pods.isReady || (claim.serviceAccountUid !== undefined && !serviceAccounts.synced)) {
      return fail('POD_RULES_PENDING', 'pods and rules of the cluster are still being read');
    }
    const known = pods.entriesOf(podKey(claim));
    if (known === undefined) return fail('POD_UNKNOWN', `there is no pod ${podKey(claim)}`);
    const same = this.#compare(claim, known.pod);
    return same.ok ? ok(known) : same;
  }

  /** Forged requests fail here: whoever may create them may write anything into them. */
  #compare(claim: PodClaim, pod: KubePod): Result<void> {
    const { pods, serviceAccounts } = this.#parts;
    const key = podKey(pod);
    // The cache may be behind: a pod of the same name came after, or was not bound to its node yet.
    if (claim.uid !== pod.uid) return fail('POD_UNKNOWN', `pod ${key} has another UID`);
    if (pod.nodeName === '') return fail('POD_UNKNOWN', `pod ${key} is not scheduled yet`);
    const { nodeName = pod.nodeName } = claim;
    if (nodeName !== pod.nodeName) return fail('POD_MISMATCH', `pod ${key} is on another node`);
    const node = pods.node(pod.nodeName);
    if (claim.nodeUid !== undefined && node?.uid !== claim.nodeUid) {
      return fail('POD_UNKNOWN', `node ${pod.nodeName} of pod ${key} has another UID`);
    }
    const account = accountOf(pod);
    const { serviceAccountName = account } = claim;
    if (serviceAccountName !== account) {
      return fail('POD_MISMATCH', `pod ${key} has another service account`);
    }
    if (claim.serviceAccountUid === undefined) return ok(undefined);
    const uid = serviceAccounts.get(`${pod.namespace}/${account}`);
    return uid === claim.serviceAccountUid
      ? ok(undefined)
      : fail('POD_UNKNOWN', `service account ${account} of pod ${key} has another UID`);
  }
}

/** What was left out of a pod's spec, admission has filled in. */
function accountOf({ json }: KubePod): string {
  return textAt(partsOf(json).spec, 'serviceAccountName') ?? '';
}

/** The entry that is meant; the first by its ID where several are of one SPIFFE ID. */
function choose(entries: readonly DerivedEntry[], { spiffeId }: PodWish): Result<DerivedEntry> {
  const own = entries
    .filter(({ entry }) => !entry.storeSvid)
    .sort((a, b) => (a.entry.id < b.entry.id ? -1 : 1));
  const fitting = own.filter(
    ({ entry }) => (spiffeId ?? entry.spiffeId.uri) === entry.spiffeId.uri,
  );
  const [first] = fitting;
  if (own.length === 0) return fail('POD_NO_IDENTITY', 'no rule gives the pod an identity');
  if (first === undefined) {
    const has = own.map(({ entry, source }) => `${entry.spiffeId.uri} by ${ruleName(source.rule)}`);
    return fail('POD_CHOICE', `the pod has not that SPIFFE ID, but ${has.join(', ')}`);
  }
  const ids = new Set(fitting.map(({ entry }) => entry.spiffeId.uri));
  if (ids.size === 1) return ok(first);
  return fail('POD_CHOICE', `the pod has several identities: ${[...ids].sort().join(', ')}`);
}

function verdictOf(error: SignetError): PodRefusal {
  if (BLIND.has(error.code)) return { kind: 'wait', error };
  return { kind: PASSING.has(error.code) ? 'hold' : 'refused', error };
}
