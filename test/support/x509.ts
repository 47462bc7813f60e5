import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { unwrap } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { contextConstructed } from '../../src/der/tags.ts';
import {
  derAscii,
  derBitString,
  derElement,
  derNamedBits,
  derNumber,
  derOid,
  derSequence,
  derSetOf,
  derTime,
  derUnsigned,
} from '../../src/der/writer.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  derExtension,
  KEY_USAGE_BIT,
  type KeyUsageBit,
  subjectKeyIdExtension,
} from '../../src/x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../../src/x509/general-name.ts';
import { subjectKeyId } from '../../src/x509/key-id.ts';
import { derName, type SubjectName } from '../../src/x509/name-writer.ts';
import { OID } from '../../src/x509/oids.ts';
import { parsePublicKey } from '../../src/x509/public-key.ts';
import {
  type SignatureScheme,
  schemeForKeyType,
  signatureAlgorithmDer,
} from '../../src/x509/signature.ts';
import type { Certificate, PublicKey } from '../../src/x509/types.ts';

/** Kinds of key that tests make. */
export type TestKeyType =
  | 'ec-p256'
  | 'ec-p384'
  | 'ec-p521'
  | 'rsa-1024'
  | 'rsa-2048'
  | 'rsa-4096'
  | 'ed25519';

/** A key pair of a test. */
export interface TestKey {
  readonly privateKey: KeyObject;
  readonly publicKey: PublicKey;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
}

/** Any certificate a test may want; what is left out gets a harmless value. */
export interface TestCertificateOptions {
  /** Signs; without it the certificate signs itself. */
  readonly issuer?: TestCertificate;
  readonly key?: TestKey;
  /** Parts, or a whole Name DER. */
  readonly subject?: SubjectName | Uint8Array;
  /** Name DER instead of the issuer's subject. */
  readonly issuerDer?: Uint8Array;
  /** Magnitude, or a whole INTEGER with `serialDer`. */
  readonly serial?: Uint8Array;
  readonly serialDer?: Uint8Array;
  /** 2020-01-01 unless told. */
  readonly notBeforeMs?: number;
  /** 2049-12-31 unless told. */
  readonly notAfterMs?: number;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly emails?: readonly string[];
  readonly ips?: readonly Uint8Array[];
  /** Whole GeneralName elements after the others. */
  readonly otherNames?: readonly Uint8Array[];
  readonly sanCritical?: boolean;
  /** CA or not; `null` leaves Basic Constraints out. */
  readonly ca?: boolean | null;
  readonly pathLength?: number;
  /** `null` leaves Key Usage out. */
  readonly keyUsage?: readonly KeyUsageBit[] | null;
  readonly keyUsageCritical?: boolean;
  /** `null` leaves Extended Key Usage out (as in every CA unless told). */
  readonly extendedKeyUsage?: readonly string[] | null;
  /** `null` leaves the identifier out. */
  readonly subjectKeyId?: Uint8Array | null;
  readonly authorityKeyId?: Uint8Array | null;
  /** Whole Extension elements after the others, see `derExtension`. */
  readonly extraExtensions?: readonly Uint8Array[];
  /** Every extension, instead of all of the above; empty for none. */
  readonly extensions?: readonly Uint8Array[];
  /** Number as written: 2 is version 3. */
  readonly version?: number;
  /** How it is signed; what fits the issuer's key unless told. */
  readonly scheme?: SignatureScheme;
  /** AlgorithmIdentifier outside (and inside, unless `innerAlgorithm`) instead of the scheme's. */
  readonly algorithm?: Uint8Array;
  readonly innerAlgorithm?: Uint8Array;
  /** Instead of the real signature. */
  readonly signature?: Uint8Array;
}

/** A certificate of a test with its key, so that it can sign others. */
export interface TestCertificate {
  readonly der: Uint8Array;
  readonly pem: string;
  readonly key: TestKey;
  readonly subjectDer: Uint8Array;
  readonly keyId: Uint8Array;
  /** Parsed; throws where the certificate was made to be refused. */
  readonly certificate: Certificate;
}

const NOT_BEFORE_MS = Date.UTC(2020, 0, 1);
const NOT_AFTER_MS = Date.UTC(2049, 11, 31, 23, 59, 59);
const CURVE = { 'ec-p256': 'P-256', 'ec-p384': 'P-384', 'ec-p521': 'P-521' } as const;

let nameCounter = 0;

function keyPair(type: TestKeyType): KeyObject {
  if (type === 'ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (type === 'rsa-1024' || type === 'rsa-2048' || type === 'rsa-4096') {
    return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(4)) }).privateKey;
  }
  return generateKeyPairSync('ec', { namedCurve: CURVE[type] }).privateKey;
}

/** A fresh key pair. */
export function makeKey(type: TestKeyType = 'ec-p256'): TestKey {
  return keyFrom(keyPair(type));
}

/** A key pair from a private key, given as KeyObject or PEM. */
export function keyFrom(privateKey: KeyObject | string): TestKey {
  const key = typeof privateKey === 'string' ? createPrivateKey(privateKey) : privateKey;
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return { privateKey: key, publicKey: unwrap(parsePublicKey(spki)), spki };
}

/** Signs as certificates are signed: the scheme that fits the key unless one is given. */
export function signWith(
  key: TestKey,
  message: Uint8Array,
  scheme: SignatureScheme = keyScheme(key),
): Uint8Array {
  if (scheme.kind === 'ed25519') return sign(null, message, key.privateKey);
  const pss = {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
  const options = scheme.kind === 'rsa-pss' ? pss : {};
  return sign(scheme.hash, message, { key: key.privateKey, ...options });
}

function keyScheme(key: TestKey): SignatureScheme {
  const { type } = key.publicKey;
  if (type === 'unknown') throw new TypeError('no scheme for a key of an unknown type');
  return schemeForKeyType(type);
}

/** A Subject Alternative Name extension of any content. */
export function sanExtension(names: readonly Uint8Array[], critical = false): Uint8Array {
  return derExtension(OID.subjectAltName, critical, derSequence(...names));
}

/** GeneralName elements of a test's options. */
function generalNames(options: TestCertificateOptions): Uint8Array[] {
  return [
    ...(options.uris ?? []).map((text) => derAscii(GENERAL_NAME_TAG.uri, text)),
    ...(options.dnsNames ?? []).map((text) => derAscii(GENERAL_NAME_TAG.dns, text)),
    ...(options.emails ?? []).map((text) => derAscii(GENERAL_NAME_TAG.email, text)),
    ...(options.ips ?? []).map((bytes) => derElement(GENERAL_NAME_TAG.ip, bytes)),
    ...(options.otherNames ?? []),
  ];
}

function usageExtensions(options: TestCertificateOptions): Uint8Array[] {
  const isCa = options.ca === true;
  const defaultUsage: KeyUsageBit[] = isCa ? ['keyCertSign', 'crlSign'] : ['digitalSignature'];
  const usage = options.keyUsage === undefined ? defaultUsage : options.keyUsage;
  const defaultEku = isCa ? null : [OID.serverAuth, OID.clientAuth];
  const eku = options.extendedKeyUsage === undefined ? defaultEku : options.extendedKeyUsage;
  const out: Uint8Array[] = [];
  if (usage !== null) {
    const bits = derNamedBits(usage.map((bit) => KEY_USAGE_BIT[bit]));
    out.push(derExtension(OID.keyUsage, options.keyUsageCritical ?? true, bits));
  }
  if (eku !== null) {
    out.push(derExtension(OID.extendedKeyUsage, false, derSequence(...eku.map(derOid))));
  }
  if (options.ca !== null) out.push(basicConstraintsExtension(isCa, options.pathLength));
  return out;
}

function allExtensions(options: TestCertificateOptions, keyId: Uint8Array): Uint8Array[] {
  const out = usageExtensions(options);
  const ski = options.subjectKeyId === undefined ? keyId : options.subjectKeyId;
  const aki = options.authorityKeyId === undefined ? options.issuer?.keyId : options.authorityKeyId;
  if (ski !== null) out.push(subjectKeyIdExtension(ski));
  if (aki !== null && aki !== undefined) out.push(authorityKeyIdExtension(aki));
  const names = generalNames(options);
  if (names.length > 0) out.push(sanExtension(names, options.sanCritical));
  return [...out, ...(options.extraExtensions ?? [])];
}

function subjectOf(options: TestCertificateOptions): Uint8Array {
  const { subject } = options;
  if (subject instanceof Uint8Array) return subject;
  nameCounter += 1;
  return derName(
    subject ?? { country: 'US', organization: 'Test', serialNumber: `${nameCounter}` },
  );
}

/** Makes any certificate: self-signed without `issuer`, a leaf unless `ca` is true. */
export function makeCertificate(options: TestCertificateOptions = {}): TestCertificate {
  const key = options.key ?? makeKey();
  const signer = options.issuer?.key ?? key;
  const scheme = options.scheme ?? keyScheme(signer);
  const algorithm = options.algorithm ?? signatureAlgorithmDer(scheme);
  const subjectDer = subjectOf(options);
  const keyId = subjectKeyId(key.publicKey);
  const extensions = options.extensions ?? allExtensions(options, keyId);
  const version = options.version ?? 2;
  const tbs = derSequence(
    ...(version === 0 ? [] : [derElement(contextConstructed(0), derNumber(version))]),
    options.serialDer ?? derUnsigned(options.serial ?? randomBytes(16)),
    options.innerAlgorithm ?? algorithm,
    options.issuerDer ?? options.issuer?.subjectDer ?? subjectDer,
    derSequence(
      derTime(options.notBeforeMs ?? NOT_BEFORE_MS),
      derTime(options.notAfterMs ?? NOT_AFTER_MS),
    ),
    subjectDer,
    key.spki,
    ...(extensions.length === 0
      ? []
      : [derElement(contextConstructed(3), derSequence(...extensions))]),
  );
  const signature = options.signature ?? signWith(signer, tbs, scheme);
  const der = derSequence(tbs, algorithm, derBitString(signature));
  return {
    der,
    pem: encodePem('CERTIFICATE', der),
    key,
    subjectDer,
    keyId: options.subjectKeyId ?? keyId,
    get certificate() {
      return unwrap(parseCertificate(der));
    },
  };
}

/** A root of a trust domain: self-signed, `spiffe://<trustDomain>` as its URI. */
export function makeRoot(
  trustDomain = 'example.org',
  options: TestCertificateOptions = {},
): TestCertificate {
  return makeCertificate({ ca: true, uris: [`spiffe://${trustDomain}`], ...options });
}

/** An intermediate under an issuer. */
export function makeIntermediate(
  issuer: TestCertificate,
  options: TestCertificateOptions = {},
): TestCertificate {
  return makeCertificate({ ca: true, issuer, ...options });
}

/** A leaf with one URI, in the profile of an X.509-SVID. */
export function makeLeaf(
  issuer: TestCertificate,
  uri = 'spiffe://example.org/workload',
  options: TestCertificateOptions = {},
): TestCertificate {
  return makeCertificate({ issuer, uris: [uri], ...options });
}

/** Any certificate request a test may want. */
export interface TestCsrOptions {
  readonly key?: TestKey;
  /** Signs instead of the request's own key. */
  readonly signer?: TestKey;
  /** SubjectPublicKeyInfo instead of the key's. */
  readonly spki?: Uint8Array;
  /** Parts, or a whole Name DER. */
  readonly subject?: SubjectName | Uint8Array;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly emails?: readonly string[];
  readonly ips?: readonly Uint8Array[];
  /** Whole Extension elements that are asked for beside the names. */
  readonly extraExtensions?: readonly Uint8Array[];
  /** Whole Attribute elements, instead of the extension request. */
  readonly attributes?: readonly Uint8Array[];
  readonly version?: number;
  readonly scheme?: SignatureScheme;
  readonly algorithm?: Uint8Array;
  readonly signature?: Uint8Array;
  /** Elements after the attributes, and after the signature. */
  readonly afterAttributes?: readonly Uint8Array[];
  readonly afterSignature?: readonly Uint8Array[];
}

/** A request attribute that asks for extensions. */
export function extensionRequest(extensions: readonly Uint8Array[]): Uint8Array {
  const values = derSetOf(derSequence(...extensions));
  return derSequence(derOid(OID.extensionRequest), values);
}

/** Makes a certificate request, DER. */
export function makeCsr(options: TestCsrOptions = {}): Uint8Array {
  const key = options.key ?? makeKey();
  const signer = options.signer ?? key;
  const scheme = options.scheme ?? keyScheme(signer);
  const { uris = [], dnsNames = [], emails = [], ips = [] } = options;
  const names = generalNames({ uris, dnsNames, emails, ips });
  const { subject = { country: 'US', organization: 'SPIRE' } } = options;
  const extensions = [
    ...(names.length === 0 ? [] : [sanExtension(names)]),
    ...(options.extraExtensions ?? []),
  ];
  const requested = extensions.length === 0 ? [] : [extensionRequest(extensions)];
  const info = derSequence(
    derNumber(options.version ?? 0),
    subject instanceof Uint8Array ? subject : derName(subject),
    options.spki ?? key.spki,
    derElement(contextConstructed(0), ...(options.attributes ?? requested)),
    ...(options.afterAttributes ?? []),
  );
  return derSequence(
    info,
    options.algorithm ?? signatureAlgorithmDer(scheme),
    derBitString(options.signature ?? signWith(signer, info, scheme)),
    ...(options.afterSignature ?? []),
  );
}

/** A directory GeneralName from parts of a name. */
export function directoryName(subject: SubjectName): Uint8Array {
  return derElement(GENERAL_NAME_TAG.directory, derName(subject));
}

/** Name constraints from GeneralName elements. */
export function nameConstraintsExtension(
  permitted: readonly Uint8Array[],
  excluded: readonly Uint8Array[] = [],
  critical = true,
): Uint8Array {
  const subtrees = (number: number, names: readonly Uint8Array[]): Uint8Array[] =>
    names.length === 0
      ? []
      : [derElement(contextConstructed(number), ...names.map((name) => derSequence(name)))];
  const value = derSequence(...subtrees(0, permitted), ...subtrees(1, excluded));
  return derExtension(OID.nameConstraints, critical, value);
}
