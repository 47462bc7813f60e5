import { createHash } from 'node:crypto';
import type { SignetError } from '../base/errors.ts';
import type { Certificate } from '../x509/types.ts';

/** An X.509 authority as it stands in a copy. */
export interface X509Authority {
  readonly certificate: Certificate;
  /** SHA-256 of the DER, hex: what an authority is told apart by. */
  readonly fingerprint: string;
  /** SHA-256 of the key, hex: the same for an authority that was issued anew. */
  readonly keyFingerprint: string;
  readonly tainted: boolean;
}

/** A JWT authority as it stands in a copy. */
export interface JwtAuthority {
  readonly keyId: string;
  /** SHA-256 of the key id and the SubjectPublicKeyInfo, hex. */
  readonly fingerprint: string;
  readonly keyType: string;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** Unix milliseconds; undefined where nobody says. */
  readonly expiresAtMs: number | undefined;
  readonly tainted: boolean;
}

/** Forms that a bundle is written in; what a form cannot hold is not missed in it. */
export type BundleForm = 'pem' | 'spiffe' | 'jwks';

/** What one text holds. */
export interface BundleContent {
  readonly form: BundleForm;
  readonly x509: readonly X509Authority[];
  readonly jwt: readonly JwtAuthority[];
  /** Undefined where the form has none, or the text says none. */
  readonly sequence: bigint | undefined;
  readonly refreshHintSeconds: number | undefined;
  /** Keys of a document that were not understood. */
  readonly ignored: number;
}

/** Kinds of places that hold copies, by the words that refer to them; `cluster` where it does not answer. */
export type SourceKind =
  | 'cm'
  | 'ctb'
  | 'secret'
  | 'endpoint'
  | 'server'
  | 'file'
  | 'pod'
  | 'federation'
  | 'cluster';

/** Where a copy stands. */
export interface CopyPlace {
  /** Context of the kubeconfig; empty where the copy is in no cluster. */
  readonly context: string;
  readonly source: SourceKind;
  /** Empty for what is in no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** Key of its data; undefined where there is none to say. */
  readonly key: string | undefined;
}

/** A copy of a bundle. */
export interface BundleCopy {
  readonly place: CopyPlace;
  /** Whose bundle it is; undefined where nothing says so. */
  readonly trustDomain: string | undefined;
  readonly content: BundleContent;
  /** What the object says of the sequence, or the content. */
  readonly sequence: bigint | undefined;
  /** Whether Signet published it. */
  readonly isPublished: boolean;
  /** Why it could not be read; the content is empty then. */
  readonly problem: SignetError | undefined;
}

/** A bundle that says nothing. */
export const NO_CONTENT: BundleContent = {
  form: 'pem',
  x509: [],
  jwt: [],
  sequence: undefined,
  refreshHintSeconds: undefined,
  ignored: 0,
};

/** SHA-256, lower-case hex. */
export function sha256Hex(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** An authority of a certificate. */
export function x509AuthorityOf(certificate: Certificate, tainted: boolean): X509Authority {
  const fingerprint = sha256Hex(certificate.der);
  return {
    certificate,
    fingerprint,
    keyFingerprint: sha256Hex(certificate.publicKey.spki),
    tainted,
  };
}

/** How a place is referred to, such as `cm/shop/trust:bundle.crt`; `withKey` where it needs its key. */
export function refOf({ source, namespace, name, key }: CopyPlace, withKey = false): string {
  if (source === 'endpoint' || source === 'server') return name;
  const path = [source, ...(namespace === '' ? [] : [namespace]), name].join('/');
  return withKey && key !== undefined ? `${path}:${key}` : path;
}

/** `namespace/name`, or the name alone. */
export function placeText({ namespace, name }: CopyPlace): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/** The earliest end of the authorities of a copy, in Unix milliseconds; undefined where none ends. */
export function minExpiryMs({ content }: BundleCopy): number | undefined {
  const ends = [
    ...content.x509.map(({ certificate }) => certificate.notAfterMs),
    ...content.jwt.flatMap(({ expiresAtMs }) => (expiresAtMs === undefined ? [] : [expiresAtMs])),
  ];
  return ends.length === 0 ? undefined : Math.min(...ends);
}
