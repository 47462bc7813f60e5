import { fail, ok, type Result } from '../../base/result.ts';
import type { PodClaim } from '../pod-identity.ts';
import { type Maker, NODE_NAME, POD_NAME, POD_UID, type SigningRequest } from './request.ts';
import type { IssuerSettings } from './settings.ts';

/** For whom a request is. */
export type Requester =
  /** For the pod that made it. */
  | { readonly kind: 'pod'; readonly claim: PodClaim }
  /** For whom the issuer says, in a namespace: no pod made it. */
  | { readonly kind: 'namespace'; readonly namespace: string };

const ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/**
 * For whom a request is, by who made it and never by what it asks for. The API server writes that into
 * CertificateSigningRequests itself; into CertificateRequests cert-manager's webhook does, which is why
 * pods are believed there only where configuration says so. Fails with ISSUER_REQUESTER.
 */
export function requesterOf(
  { kind, namespace, issuer, maker }: SigningRequest,
  settings: Pick<IssuerSettings, 'podRequests' | 'controllerAccounts'>,
): Result<Requester> {
  const isOwn = kind === 'CertificateSigningRequest';
  const [, ownNamespace, account] = ACCOUNT.exec(maker.username) ?? [];
  const isAccount = ownNamespace !== undefined && account !== undefined;
  const isController =
    !isOwn && isAccount && settings.controllerAccounts.includes(`${ownNamespace}/${account}`);
  const isPod = maker.extra.has(POD_NAME) || maker.extra.has(POD_UID);
  const within = isOwn ? ownNamespace : namespace;
  if (within === undefined) return refused(`${quote(maker.username)} is of no namespace`);
  if (issuer.namespace !== '' && issuer.namespace !== within) {
    return refused(`namespace ${within} has no say over issuers of ${issuer.namespace}`);
  }
  if (!isPod || isController) return ok({ kind: 'namespace', namespace: within });
  if (!isOwn && !settings.podRequests) {
    return refused('a pod made it, and podRequests of the cluster is off');
  }
  if (!isAccount)
    return refused(`${quote(maker.username)} is no service account, but says its pod`);
  if (ownNamespace !== within) {
    return refused(`a pod of namespace ${ownNamespace} made it in namespace ${within}`);
  }
  return podOf(maker, ownNamespace, account);
}

function podOf(
  { uid: serviceAccountUid, extra }: Maker,
  namespace: string,
  serviceAccountName: string,
): Result<Requester> {
  const name = only(extra.get(POD_NAME));
  const uid = only(extra.get(POD_UID));
  if (name === undefined || uid === undefined) return refused('it does not name one pod and UID');
  const nodes = extra.get(NODE_NAME);
  const nodeName = only(nodes);
  if (nodes !== undefined && nodeName === undefined) return refused('it does not name one node');
  return ok({
    kind: 'pod',
    claim: {
      ...{ namespace, name, uid, nodeName, serviceAccountName },
      serviceAccountUid: serviceAccountUid === '' ? undefined : serviceAccountUid,
    },
  });
}

function only(values: readonly string[] = []): string | undefined {
  const [value] = values;
  return values.length === 1 && value !== '' ? value : undefined;
}

function refused(why: string): Result<never> {
  return fail('ISSUER_REQUESTER', why);
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
