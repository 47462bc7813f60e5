import { fail, ok, type Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import { type ReviewedToken, reviewToken } from '../../kube/token-review.ts';
import type { X509Grant } from '../../policy/grant.ts';
import { type KubePod, podKey } from '../../rules/kube/objects.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { PodClaim, PodIdentities, PodRefusal, PodVerdict } from '../pod-identity.ts';
import type { IstioSettings } from './settings.ts';

/** What a mesh client asks for. */
export interface MeshAsk {
  /** Its service account token, nothing checked. */
  readonly token: string;
  readonly spiffeId: SpiffeId;
  /** Whether it is for a workload beside the client, on its node. */
  readonly impersonates: boolean;
  /** Most seconds between the two dates; no such bound unless given. */
  readonly maxLifeSeconds: number | undefined;
}

/** Leave to have a certificate signed, and who asked for whom. */
export interface MeshLeave {
  readonly grant: X509Grant;
  /** For the audit. */
  readonly facts: Readonly<Record<string, string>>;
}

/** What mesh clients of one cluster are judged with. */
export interface MeshCallersParts {
  readonly name: string;
  readonly api: KubeApi;
  readonly identities: Pick<PodIdentities, 'resolve' | 'who' | 'podsOn'>;
  readonly settings: IstioSettings;
}

/** Tokens of one cluster that are looked at by its API server at a time. */
const MAX_REVIEWS = 64;

/** What Istio calls workloads: spiffe://<trust domain>/ns/<namespace>/sa/<service account>. */
const ISTIO_PATH = /^\/ns\/([^/]+)\/sa\/([^/]+)$/;

/** A client that its API server knows, with the pod that its token is bound to. */
interface MeshCaller {
  readonly claim: PodClaim;
  /** `namespace/name` of its service account. */
  readonly account: string;
  readonly credentialId: string | undefined;
}

/**
 * Judges what the mesh clients of one cluster ask for: each is who the API server says that its token is,
 * and may have what the rules give its pod, through the agent of the pod's node.
 */
export class MeshCallers {
  readonly #parts: MeshCallersParts;
  #reviews = 0;

  constructor(parts: MeshCallersParts) {
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.name;
  }

  /** What clients call the cluster. */
  get clusterIds(): readonly string[] {
    return [this.#parts.name, ...this.#parts.settings.clusterIds];
  }

  /**
   * Whether a client may have what it asks for. Fails with ISTIO_*, POD_*, and what policy refuses with;
   * what may come true by itself travels as Unavailable, which is what Istio's clients try again.
   */
  async authorize(ask: MeshAsk, signal: AbortSignal): Promise<Result<MeshLeave>> {
    const caller = await this.#callerOf(ask.token, signal);
    if (!caller.ok) return caller;
    return ask.impersonates
      ? this.#forOther(caller.value, ask)
      : this.#forItself(caller.value, ask);
  }

  async #callerOf(token: string, signal: AbortSignal): Promise<Result<MeshCaller>> {
    const { name, api, settings } = this.#parts;
    if (this.#reviews >= MAX_REVIEWS) {
      return fail('ISTIO_BUSY', `${MAX_REVIEWS} tokens of cluster ${name} are being looked at`);
    }
    this.#reviews += 1;
    const reviewed = await reviewToken(api, token, settings.audiences, signal).finally(() => {
      this.#reviews -= 1;
    });
    if (reviewed.ok) return this.#bound(reviewed.value);
    const { code, message } = reviewed.error;
    if (code === 'KUBE_TOKEN') return fail('ISTIO_TOKEN', `cluster ${name}: ${message}`);
    return fail('ISTIO_API', `cluster ${name}: ${message}`, { cause: reviewed.error });
  }

  #bound(token: ReviewedToken): Result<MeshCaller> {
    const { serviceAccount, podName, podUid, nodeName, nodeUid, uid, credentialId } = token;
    const { name } = this.#parts;
    if (serviceAccount === undefined) {
      return fail('ISTIO_TOKEN', `cluster ${name}: the token is of no service account`);
    }
    if (podName === undefined || podUid === undefined || nodeName === undefined) {
      return fail('ISTIO_TOKEN_UNBOUND', `cluster ${name}: the token names no pod, or no node`);
    }
    const { namespace, name: serviceAccountName } = serviceAccount;
    const claim = {
      namespace,
      name: podName,
      uid: podUid,
      nodeName,
      nodeUid,
      serviceAccountName,
      serviceAccountUid: uid,
    };
    return ok({ claim, account: `${namespace}/${serviceAccountName}`, credentialId });
  }

  #forItself(caller: MeshCaller, ask: MeshAsk): Result<MeshLeave> {
    const verdict = this.#resolve(caller.claim, ask);
    if (verdict.kind !== 'granted') return told(verdict);
    return ok({ grant: verdict.grant, facts: this.#facts(caller, verdict.pod) });
  }

  /**
   * For a pod on the node of the client, which has to be one of the node proxies that configuration
   * trusts, and to run there now; which pod is all the same, as long as it has that service account and
   * that identity.
   */
  #forOther(caller: MeshCaller, ask: MeshAsk): Result<MeshLeave> {
    const { settings, identities } = this.#parts;
    if (!settings.trustedNodeAccounts.includes(caller.account)) {
      return fail('ISTIO_IMPERSONATION', `${caller.account} may not ask for other workloads`);
    }
    const own = identities.who(caller.claim);
    if (own.kind !== 'found') return told(own);
    const { uri, path } = ask.spiffeId;
    const [, namespace = '', account = ''] = ISTIO_PATH.exec(path) ?? [];
    const { nodeName } = own.pod;
    let refused: PodRefusal | undefined;
    for (const pod of identities.podsOn(nodeName, namespace, account)) {
      const claim = { namespace, name: pod.name, uid: pod.uid, nodeName };
      const verdict = this.#resolve(claim, ask);
      if (verdict.kind === 'granted') {
        return ok({ grant: verdict.grant, facts: this.#facts(caller, verdict.pod) });
      }
      refused ??= verdict;
    }
    if (refused !== undefined) return told(refused);
    // The proxy may see a pod before we do.
    const absent = `no pod with the service account of ${uri} is on node ${nodeName}`;
    return told({ kind: 'hold', error: fail('ISTIO_IMPERSONATION', absent).error });
  }

  #resolve(claim: PodClaim, { spiffeId, impersonates, maxLifeSeconds }: MeshAsk): PodVerdict {
    return this.#parts.identities.resolve(claim, {
      spiffeId: spiffeId.uri,
      // What was not asked for is not given.
      dnsNames: [],
      requestedBy: `${impersonates ? 'istio-node' : 'istio'}:${this.#parts.name}`,
      maxLifeSeconds,
    });
  }

  #facts({ claim, credentialId }: MeshCaller, pod: KubePod): Readonly<Record<string, string>> {
    return {
      cluster: this.#parts.name,
      pod: podKey(pod),
      podUid: pod.uid,
      ...(claim.uid === pod.uid ? {} : { callerPod: podKey(claim), callerPodUid: claim.uid }),
      ...(credentialId === undefined ? {} : { credentialId }),
    };
  }
}

/**
 * The refusal as mesh clients have to hear it: they try Unavailable again and nothing else of ours, and
 * caches lag behind.
 */
function told({ kind, error }: PodRefusal): Result<never> {
  const { code, message, details } = error;
  const options = kind === 'refused' ? {} : { status: 'Unavailable' as const };
  // What rules give a pod is known: another identity does not come by waiting.
  if (code === 'POD_CHOICE') return fail('ISTIO_IDENTITY', message);
  return fail(code, message, { details, ...options });
}
