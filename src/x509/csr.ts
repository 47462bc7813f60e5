import { fail, ok, type Result } from '../base/result.ts';
import { DerCursor, readDer } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { contextConstructed, TAG } from '../der/tags.ts';
import { readBasicConstraints, readExtension } from './extensions.ts';
import { readGeneralNames } from './general-name.ts';
import { readNameDer } from './name.ts';
import { OID } from './oids.ts';
import { readPublicKey } from './public-key.ts';
import { verifySignature } from './signature.ts';
import type { BasicConstraints, CertificateRequest, GeneralName, PublicKey } from './types.ts';

/** Longest request in bytes: an RSA-4096 key, a signature and names fit several times. */
const MAX_CSR_BYTES = 16_384;

/** Most attributes, and most extensions asked for. */
const MAX_ITEMS = 64;

/** Of the extensions that a request asks for, those that are read. */
interface Requested {
  readonly names: readonly GeneralName[];
  /** Values of basic constraints, not read: most requests are for leaves, and none of it is used. */
  readonly constraints: readonly Uint8Array[];
}

const NOTHING: Requested = { names: [], constraints: [] };

/** Subject alternative names and basic constraints among the extensions that a request asks for. */
function readRequested(values: DerCursor): Requested {
  const sequence = values.sequence('extension request');
  let names: readonly GeneralName[] | undefined;
  let constraints = NOTHING.constraints;
  for (let count = 0; !sequence.done; count++) {
    if (count >= MAX_ITEMS) refuse('CERTIFICATE_EXTENSION', 'extension request: too many');
    const extension = readExtension(sequence);
    if (extension.oid === OID.basicConstraints) {
      constraints = [...constraints, extension.value];
      continue;
    }
    if (extension.oid !== OID.subjectAltName) continue;
    if (names !== undefined) {
      refuse('CERTIFICATE_EXTENSION_TWICE', 'extension request: two subject alternative names');
    }
    const cursor = new DerCursor(extension.value);
    names = readGeneralNames(cursor, 'subject alternative name');
    cursor.finish('subject alternative name');
  }
  return { names: names ?? NOTHING.names, constraints };
}

/** Attributes (RFC 2986 §4.1); only the extension request is looked into, and it stands once. */
function readAttributes(info: DerCursor): Requested {
  const attributes = info.enter(contextConstructed(0), 'request attributes');
  let requested: Requested | undefined;
  for (let count = 0; !attributes.done; count++) {
    if (count >= MAX_ITEMS) refuse('CERTIFICATE_EXTENSION', 'request attributes: too many');
    const attribute = attributes.sequence('request attribute');
    const oid = attribute.oid('request attribute');
    const values = attribute.enter(TAG.set, 'request attribute');
    attribute.finish('request attribute');
    if (oid !== OID.extensionRequest) continue;
    if (requested !== undefined) {
      refuse('CERTIFICATE_EXTENSION_TWICE', 'request attributes: two extension requests');
    }
    requested = readRequested(values);
    values.finish('extension request');
  }
  return requested ?? NOTHING;
}

function readInfo(info: DerCursor): {
  readonly subjectDer: Uint8Array;
  readonly publicKey: PublicKey;
  readonly requested: Requested;
} {
  if (info.smallInteger('request version') !== 0) {
    refuse('CERTIFICATE_VERSION', 'certificate request: not of version 1');
  }
  const subjectDer = readNameDer(info, 'subject');
  const publicKey = readPublicKey(info, 'public key');
  const requested = readAttributes(info);
  info.finish('certificate request');
  return { subjectDer, publicKey, requested };
}

function textsOf(names: readonly GeneralName[], kind: 'uri' | 'dns'): string[] {
  const texts: string[] = [];
  for (const name of names) if (name.kind === kind) texts.push(name.text);
  return texts;
}

function readCsr(cursor: DerCursor): CertificateRequest {
  const start = cursor.position;
  const outer = cursor.sequence('certificate request');
  const infoStart = outer.position;
  const { subjectDer, publicKey, requested } = readInfo(outer.sequence('certificate request'));
  const info = outer.since(infoStart);
  const signatureAlgorithm = outer.element('signature algorithm', TAG.sequence);
  const signature = outer.octetsInBitString('signature');
  outer.finish('certificate request');
  return {
    der: cursor.since(start),
    info,
    subjectDer,
    publicKey,
    signatureAlgorithm,
    signature,
    requestedUris: textsOf(requested.names, 'uri'),
    requestedDnsNames: textsOf(requested.names, 'dns'),
    requestedNames: requested.names,
    requestedConstraints: requested.constraints,
  };
}

/**
 * Reads one certificate request (PKCS#10, RFC 2986) of at most 16 KiB. What it answers are views of the
 * bytes, which must not change: a request lives no longer than the call it came with. The signature is
 * not checked here, and nothing that the request asks for is granted by reading it. Errors: DER_*,
 * CERTIFICATE_*, PUBLIC_KEY_*.
 */
export function parseCsr(der: Uint8Array): Result<CertificateRequest> {
  return readDer('certificate request', der, readCsr, MAX_CSR_BYTES);
}

/**
 * What a request says about being for a CA; undefined where it says nothing. Errors: DER_*,
 * CERTIFICATE_EXTENSION, and CERTIFICATE_EXTENSION_TWICE where it says so more than once.
 */
export function requestedBasicConstraints(
  csr: CertificateRequest,
): Result<BasicConstraints | undefined> {
  const [value, ...others] = csr.requestedConstraints;
  if (value === undefined) return ok(undefined);
  if (others.length > 0) {
    return fail('CERTIFICATE_EXTENSION_TWICE', 'extension request: two basic constraints');
  }
  return readDer('basic constraints', value, (cursor) => readBasicConstraints(cursor, false));
}

/**
 * Checks that a request is signed by its own key, which proves that the sender holds it, and answers
 * that key: sign for nothing else. Errors: those of `verifySignature`.
 */
export function verifyCsrSignature(csr: CertificateRequest): Result<PublicKey> {
  const { publicKey, signatureAlgorithm, info, signature } = csr;
  const verified = verifySignature(publicKey, signatureAlgorithm, info, signature);
  return verified.ok ? ok(publicKey) : verified;
}
