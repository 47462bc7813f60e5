import { type KeyObject, sign } from 'node:crypto';
import {
  derBitString,
  derElement,
  derNumber,
  derOid,
  derSequence,
  derSetOf,
} from '../der/writer.ts';
import { subjectAltNameExtension } from './extension-writer.ts';
import { OID } from './oids.ts';
import { type SignatureScheme, signatureAlgorithmDer } from './signature.ts';

/** `[0]`, constructed: the attributes of a request (RFC 2986 §4.1). */
const ATTRIBUTES = 0xa0;

const EXTENSION_REQUEST = derOid(OID.extensionRequest);
const EMPTY_NAME = derSequence();
const VERSION_1 = derNumber(0);

/** What a certificate request asks for; the subject is empty, since none of it would be used. */
export interface CsrFields {
  /** SubjectPublicKeyInfo DER of the key that signs. */
  readonly spki: Uint8Array;
  /** Undefined asks for no names at all. */
  readonly uri: string | undefined;
  readonly dnsNames: readonly string[];
}

/** Makes a certificate request (PKCS#10, RFC 2986), signed by its own key. */
export function buildCsr(
  { spki, uri, dnsNames }: CsrFields,
  privateKey: KeyObject,
  scheme: SignatureScheme,
): Uint8Array {
  const attributes = uri === undefined ? [] : [nameRequest(uri, dnsNames)];
  const info = derSequence(VERSION_1, EMPTY_NAME, spki, derElement(ATTRIBUTES, ...attributes));
  return assembleCsr(info, signatureAlgorithmDer(scheme), sign(scheme.hash, info, privateKey));
}

/** What a request for a CA certificate asks for. */
export interface CaRequestFields {
  /** SubjectPublicKeyInfo DER of the key that will sign the request. */
  readonly spki: Uint8Array;
  /** Name DER. */
  readonly subjectDer: Uint8Array;
  /** `spiffe://trust-domain`, no path. */
  readonly uri: string;
}

/** The part of a request for a CA certificate that is signed; see {@link assembleCsr}. */
export function caRequestInfo({ spki, subjectDer, uri }: CaRequestFields): Uint8Array {
  return derSequence(VERSION_1, subjectDer, spki, derElement(ATTRIBUTES, nameRequest(uri, [])));
}

/** A request from its signed part (RFC 2986 §4.2). */
export function assembleCsr(
  info: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return derSequence(info, signatureAlgorithm, derBitString(signature));
}

function nameRequest(uri: string, dnsNames: readonly string[]): Uint8Array {
  const extensions = derSequence(subjectAltNameExtension(uri, dnsNames));
  return derSequence(EXTENSION_REQUEST, derSetOf(extensions));
}
