import type { KubeResource } from '../../kube/resource.ts';

/** Group of the issuers, as requests name it. */
export const ISSUER_GROUP = 'signet.dev';

/** Kinds of issuers. */
export type IssuerKind = 'SignetIssuer' | 'SignetClusterIssuer';

/** The kinds of issuers, by where the API server has them. */
export const ISSUER_RESOURCES: Readonly<Record<IssuerKind, KubeResource>> = {
  SignetIssuer: { group: ISSUER_GROUP, version: 'v1alpha1', plural: 'signetissuers' },
  SignetClusterIssuer: { group: ISSUER_GROUP, version: 'v1alpha1', plural: 'signetclusterissuers' },
};

/** Kinds of requests. */
export type RequestKind = 'CertificateRequest' | 'CertificateSigningRequest';

/** The kinds of requests, by where the API server has them. */
export const REQUEST_RESOURCES: Readonly<Record<RequestKind, KubeResource>> = {
  CertificateRequest: { group: 'cert-manager.io', version: 'v1', plural: 'certificaterequests' },
  CertificateSigningRequest: {
    group: 'certificates.k8s.io',
    version: 'v1',
    plural: 'certificatesigningrequests',
  },
};

/** Who an issuer is. */
export interface IssuerRef {
  readonly kind: IssuerKind;
  /** Empty for those of the cluster. */
  readonly namespace: string;
  readonly name: string;
}

/** An issuer in one word: `SignetIssuer/shop/ca`, `SignetClusterIssuer/edge`. */
export function issuerName({ kind, namespace, name }: IssuerRef): string {
  return namespace === '' ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

/** As which server-side apply knows us. */
export const FIELD_MANAGER = 'signet-issuer';
