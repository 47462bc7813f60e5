import {
  booleanAt,
  type KubeObject,
  metaOf,
  numberAt,
  objectAt,
  objectsAt,
  textAt,
  textsAt,
} from '../../kube/objects.ts';
import { parseGoDuration } from '../../rules/kube/go-duration.ts';
import { type ShownCondition, shortText, shownCondition } from './condition.ts';
import { ISSUER_GROUP, ISSUER_RESOURCES, type IssuerRef, type RequestKind } from './kinds.ts';

/** Who made a request, as the object says. */
export interface Maker {
  readonly username: string;
  /** UID of the service account, where it is one. */
  readonly uid: string;
  /** What it says of a pod alone. */
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

/** A request that is approved, or denied, and not answered. */
export interface SigningRequest {
  readonly kind: RequestKind;
  readonly name: string;
  /** Empty for those of the cluster. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly issuer: IssuerRef;
  readonly approval: 'approved' | 'denied';
  /** The certificate request: PEM in base64; undefined where it is longer than any that is read. */
  readonly request: string | undefined;
  readonly isCa: boolean;
  readonly usages: readonly string[];
  /** How long the certificate is wanted to live; undefined where nothing is said, NaN for what is none. */
  readonly lifeSeconds: number | undefined;
  readonly maker: Maker;
  /** Its condition Ready as the cluster has it. */
  readonly shown: ShownCondition | undefined;
}

/** Longest text of a request, in characters of base64: PEM of 16 KiB with room around it. */
const MAX_TEXT = 40_960;

/** More usages than there are. */
const MAX_USAGES = 64;

/** What the API server says of a user that is a pod. */
export const POD_NAME = 'authentication.kubernetes.io/pod-name';
/** UID of that pod. */
export const POD_UID = 'authentication.kubernetes.io/pod-uid';
/** Node of that pod. */
export const NODE_NAME = 'authentication.kubernetes.io/node-name';
const WHOSE_POD = [POD_NAME, POD_UID, NODE_NAME];

/** Reasons of Ready=False after which cert-manager takes no answer. */
const TERMINAL: ReadonlySet<string> = new Set(['Failed', 'Denied']);

/**
 * Reads a CertificateRequest of cert-manager. Undefined where it is for others, neither approved nor
 * denied, or answered for good: nothing is done about those.
 */
export function certificateRequestFrom(object: KubeObject): SigningRequest | undefined {
  const issuer = issuerOf(object);
  const approval = approvalOf(object);
  const shown = shownCondition(object, 'Ready');
  if (issuer === undefined || approval === undefined) return undefined;
  const isAnswered =
    shown?.status === 'True' || (shown?.status === 'False' && TERMINAL.has(shown.reason));
  if (isAnswered || isTrue(object, 'InvalidRequest')) return undefined;
  const duration = textAt(object, 'spec', 'duration');
  return {
    kind: 'CertificateRequest',
    ...wholeMeta(object),
    issuer,
    approval,
    isCa: booleanAt(object, 'spec', 'isCA') ?? false,
    lifeSeconds: duration === undefined ? undefined : (parseGoDuration(duration) ?? Number.NaN),
    shown,
  };
}

/** As {@link certificateRequestFrom}, a CertificateSigningRequest of Kubernetes; denied ones are answered. */
export function signingRequestFrom(object: KubeObject): SigningRequest | undefined {
  const issuer = issuerOfSigner(shortText(textAt(object, 'spec', 'signerName')));
  const isAnswered =
    (textAt(object, 'status', 'certificate') ?? '') !== '' || isTrue(object, 'Failed');
  if (issuer === undefined || isAnswered || approvalOf(object) !== 'approved') return undefined;
  return {
    kind: 'CertificateSigningRequest',
    ...wholeMeta(object),
    issuer,
    approval: 'approved',
    // It has no such field; who wants a CA asks for the usage.
    isCa: false,
    lifeSeconds: numberAt(object, 'spec', 'expirationSeconds'),
    shown: undefined,
  };
}

function wholeMeta(object: KubeObject) {
  const { name, namespace, uid, resourceVersion } = metaOf(object);
  const request = textAt(object, 'spec', 'request') ?? '';
  const said = objectAt(object, 'spec', 'extra') ?? {};
  const extra = WHOSE_POD.filter((key) => Object.hasOwn(said, key)).map((key) => {
    // Of several nobody is believed, as of none.
    const texts = textsAt(said, key);
    return [key, texts.length > 1 ? [] : texts.map(shortText)] as const;
  });
  const usages = new Set(textsAt(object, 'spec', 'usages'));
  return {
    ...{ name, namespace, uid, resourceVersion },
    request: request.length > MAX_TEXT ? undefined : request,
    // Among more there is one that nobody has.
    usages: [...usages].slice(0, MAX_USAGES).map((usage) => shortText(usage)),
    maker: {
      username: shortText(textAt(object, 'spec', 'username')),
      uid: shortText(textAt(object, 'spec', 'uid')),
      extra: new Map(extra),
    },
  };
}

function issuerOf(object: KubeObject): IssuerRef | undefined {
  const said = (field: string): string => shortText(textAt(object, 'spec', 'issuerRef', field));
  if (said('group') !== ISSUER_GROUP) return undefined;
  const kind = said('kind');
  const name = said('name');
  if (kind === 'SignetIssuer') return { kind, namespace: metaOf(object).namespace, name };
  return kind === 'SignetClusterIssuer' ? { kind, namespace: '', name } : undefined;
}

/** `<plural>.<group>/[<namespace>.]<name>`: a namespace has no dots, a name may. */
function issuerOfSigner(signerName: string): IssuerRef | undefined {
  const [domain, path = ''] = signerName.split('/');
  if (domain === `${ISSUER_RESOURCES.SignetClusterIssuer.plural}.${ISSUER_GROUP}`) {
    return { kind: 'SignetClusterIssuer', namespace: '', name: path };
  }
  if (domain !== `${ISSUER_RESOURCES.SignetIssuer.plural}.${ISSUER_GROUP}`) return undefined;
  const dot = path.indexOf('.');
  if (dot < 1) return undefined;
  return { kind: 'SignetIssuer', namespace: path.slice(0, dot), name: path.slice(dot + 1) };
}

/** A denial counts, whatever else stands beside it. */
function approvalOf(object: KubeObject): 'approved' | 'denied' | undefined {
  if (isTrue(object, 'Denied')) return 'denied';
  return isTrue(object, 'Approved') ? 'approved' : undefined;
}

/** Any of the type: nothing keeps a request without cert-manager's schema from having two. */
function isTrue(object: KubeObject, type: string): boolean {
  return objectsAt(object, 'status', 'conditions').some(
    (condition) => textAt(condition, 'type') === type && textAt(condition, 'status') === 'True',
  );
}
