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
import { type ShownCondition, shownCondition } from './condition.ts';
import { ISSUER_GROUP, ISSUER_RESOURCES, type IssuerRef, type RequestKind } from './kinds.ts';

/** Who made a request, as the object says. */
export interface Maker {
  readonly username: string;
  /** UID of the service account, where it is one. */
  readonly uid: string;
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
  /** The certificate request: PEM in base64. */
  readonly request: string;
  readonly isCa: boolean;
  readonly usages: readonly string[];
  /** How long the certificate is wanted to live; undefined where nothing is said, NaN for what is none. */
  readonly lifeSeconds: number | undefined;
  readonly maker: Maker;
  /** Its condition Ready as the cluster has it. */
  readonly shown: ShownCondition | undefined;
}

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
  const issuer = issuerOfSigner(textAt(object, 'spec', 'signerName') ?? '');
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
  const extra = Object.keys(objectAt(object, 'spec', 'extra') ?? {}).map(
    (key) => [key, textsAt(object, 'spec', 'extra', key)] as const,
  );
  return {
    ...{ name, namespace, uid, resourceVersion },
    request: textAt(object, 'spec', 'request') ?? '',
    usages: textsAt(object, 'spec', 'usages'),
    maker: {
      username: textAt(object, 'spec', 'username') ?? '',
      uid: textAt(object, 'spec', 'uid') ?? '',
      extra: new Map(extra),
    },
  };
}

function issuerOf(object: KubeObject): IssuerRef | undefined {
  const said = (field: string): string => textAt(object, 'spec', 'issuerRef', field) ?? '';
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
