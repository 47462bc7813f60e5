import type { SignetError } from '../../base/errors.ts';
import { fail, type Result } from '../../base/result.ts';
import type { PolicyContext } from '../../policy/context.ts';
import type { X509Grant } from '../../policy/grant.ts';
import { grantIssuerX509 } from '../../policy/issuer-grants.ts';
import type { NamespaceStanding } from '../../rules/kube/derivation.ts';
import type { ClusterFacts } from '../../rules/kube/render.ts';
import type { PodIdentities } from '../pod-identity.ts';
import { findAllowance } from './allowance.ts';
import type { IssuerObject } from './issuer-object.ts';
import { type IssuerRef, issuerName } from './kinds.ts';
import type { SigningRequest } from './request.ts';
import { requesterOf } from './requester.ts';
import type { IssuerSettings } from './settings.ts';
import { readWanted, type Wanted } from './wanted.ts';

/** What a request comes to. */
export type IssuerPlan =
  | { readonly kind: 'issue'; readonly grant: X509Grant; readonly csr: Uint8Array }
  /** Its issuer is not there, or not ready: it waits as long as that takes. */
  | { readonly kind: 'standby'; readonly error: SignetError }
  /** Not now; tried again, for a time. */
  | { readonly kind: 'later'; readonly error: SignetError }
  /** No, and trying again does not help. */
  | { readonly kind: 'refused'; readonly error: SignetError };

/** The namespaces of a cluster. */
export interface NamespaceSource {
  readonly facts: ClusterFacts;
  namespace(name: string): NamespaceStanding | undefined;
}

/** What requests are judged with. */
export interface IssuerJudge {
  readonly cluster: string;
  readonly settings: Pick<IssuerSettings, 'podRequests' | 'controllerAccounts'>;
  /** An issuer that is ready. Fails with ISSUER_UNKNOWN, ISSUER_NOT_READY. */
  readonly issuer: (ref: IssuerRef) => Result<IssuerObject>;
  readonly identities: Pick<PodIdentities, 'resolve'>;
  readonly namespaces: NamespaceSource;
  readonly policy: PolicyContext;
}

/** Judges an approved request as things stand now; signs nothing. */
export function judgeRequest(request: SigningRequest, judge: IssuerJudge): IssuerPlan {
  const issuer = judge.issuer(request.issuer);
  if (!issuer.ok) return { kind: 'standby', error: issuer.error };
  const wanted = readWanted(request, judge.namespaces.facts.trustDomain);
  if (!wanted.ok) return refused(wanted.error);
  const requester = requesterOf(request, judge.settings);
  if (!requester.ok) return refused(requester.error);
  if (requester.value.kind === 'namespace') {
    return forNamespace(issuer.value, requester.value.namespace, wanted.value, request, judge);
  }
  const { claim } = requester.value;
  const { spiffeId, dnsNames, maxLifeSeconds, csr } = wanted.value;
  const verdict = judge.identities.resolve(claim, {
    spiffeId: spiffeId.uri,
    dnsNames,
    maxLifeSeconds,
    requestedBy: requestedBy(request, claim.namespace, judge),
  });
  if (verdict.kind === 'granted') return { kind: 'issue', grant: verdict.grant, csr };
  return verdict.kind === 'refused' ? refused(verdict.error) : later(verdict.error);
}

/** By the word of the issuer alone, since no pod made it. */
function forNamespace(
  { ref, allowances }: IssuerObject,
  namespace: string,
  wanted: Wanted,
  request: SigningRequest,
  judge: IssuerJudge,
): IssuerPlan {
  const { facts: cluster } = judge.namespaces;
  const standing = judge.namespaces.namespace(namespace);
  if (standing === undefined) {
    return later(fail('ISSUER_REQUESTER', `namespace ${namespace} is not known`).error);
  }
  // An issuer that cannot be read is not ready.
  const allowance = allowances.ok
    ? findAllowance(ref, allowances.value, wanted, { namespace, standing, cluster })
    : allowances;
  if (!allowance.ok) return refused(allowance.error);
  const { spiffeId, dnsNames, maxLifeSeconds, csr } = wanted;
  const grant = grantIssuerX509(
    {
      ...{ spiffeId, dnsNames, maxLifeSeconds },
      ttlSeconds: allowance.value.ttlSeconds,
      requestedBy: requestedBy(request, namespace, judge),
    },
    judge.policy,
  );
  if (grant.ok) return { kind: 'issue', grant: grant.value, csr };
  return grant.error.code === 'REGISTRY_STALE' ? later(grant.error) : refused(grant.error);
}

/** As the ledger has it. */
function requestedBy(
  { kind, issuer }: SigningRequest,
  namespace: string,
  { cluster }: IssuerJudge,
): string {
  const what = kind === 'CertificateRequest' ? 'certificate-request' : 'signing-request';
  return `${what}:${cluster}/${namespace}:${issuerName(issuer)}`;
}

function refused(error: SignetError): IssuerPlan {
  return { kind: 'refused', error };
}

function later(error: SignetError): IssuerPlan {
  return { kind: 'later', error };
}
