import { contextConstructed, contextPrimitive, TAG } from '../../src/der/tags.ts';
import { derElement, derNumber, derSequence, derTime, derUnsigned } from '../../src/der/writer.ts';
import { buildCrlTbs, type RevokedCertificate } from '../../src/x509/crl-writer.ts';
import { authorityKeyIdExtension, derExtension } from '../../src/x509/extension-writer.ts';
import { OID } from '../../src/x509/oids.ts';
import { schemeForKeyType, signatureAlgorithmDer } from '../../src/x509/signature.ts';
import { assembleCertificate } from '../../src/x509/template.ts';
import {
  directoryName,
  makeCertificate,
  signWith,
  type TestCertificate,
  type TestCertificateOptions,
} from './x509.ts';

/** When the CRLs of tests begin and end. */
export const CRL_FROM_MS = Date.UTC(2030, 0, 1);
export const CRL_UNTIL_MS = CRL_FROM_MS + 3_600_000;

/** A signer of indirect CRLs as the server makes it: the name of its root, cRLSign and nothing else. */
export function makeCrlSigner(
  root: TestCertificate,
  options: TestCertificateOptions = {},
): TestCertificate {
  return makeCertificate({
    issuer: root,
    subject: root.subjectDer,
    ca: false,
    keyUsage: ['crlSign'],
    extendedKeyUsage: null,
    ...options,
  });
}

/** An entry for a certificate. */
export function revokedEntry(certificate: TestCertificate, reason = 1): RevokedCertificate {
  const { issuerDer, serial } = certificate.certificate;
  return { issuerDer, serial, revokedAtMs: CRL_FROM_MS, reason };
}

/** An indirect CRL as the server makes it. */
export function makeCrl(
  signer: TestCertificate,
  revoked: readonly RevokedCertificate[],
  { number = 7n, fromMs = CRL_FROM_MS, untilMs = CRL_UNTIL_MS } = {},
): Uint8Array {
  const tbs = buildCrlTbs({
    signatureAlgorithm: algorithmOf(signer),
    issuerDer: signer.subjectDer,
    thisUpdateMs: fromMs,
    nextUpdateMs: untilMs,
    number,
    keyId: signer.keyId,
    signerCertificate: signer.der,
    revoked,
  });
  return assembleCertificate(tbs, algorithmOf(signer), signWith(signer.key, tbs));
}

/** Any CRL that a test may want; what is left out gets a harmless value, an empty part is left away. */
export interface AnyCrl {
  readonly version?: Uint8Array;
  readonly innerAlgorithm?: Uint8Array;
  readonly issuerDer?: Uint8Array;
  readonly times?: Uint8Array;
  readonly entries?: Uint8Array;
  /** Whole Extension elements. */
  readonly extensions?: readonly Uint8Array[];
}

/** A CRL of any content, signed by an issuer. */
export function makeAnyCrl(signer: TestCertificate, options: AnyCrl = {}): Uint8Array {
  const algorithm = algorithmOf(signer);
  const extensions = options.extensions ?? plainExtensions(signer);
  const tbs = derSequence(
    options.version ?? derNumber(1),
    options.innerAlgorithm ?? algorithm,
    options.issuerDer ?? signer.subjectDer,
    options.times ?? Buffer.concat([derTime(CRL_FROM_MS), derTime(CRL_UNTIL_MS)]),
    options.entries ?? new Uint8Array(),
    extensions.length === 0
      ? new Uint8Array()
      : derElement(contextConstructed(0), derSequence(...extensions)),
  );
  return assembleCertificate(tbs, algorithm, signWith(signer.key, tbs));
}

/** The two extensions that every CRL must have. */
export function plainExtensions(signer: TestCertificate, number = 7): readonly Uint8Array[] {
  return [
    authorityKeyIdExtension(signer.keyId),
    derExtension(OID.crlNumber, false, derUnsigned(Uint8Array.of(number))),
  ];
}

/** An issuing distribution point with these fields TRUE, by their numbers (RFC 5280 §5.2.5). */
export function distributionPoint(fields: readonly number[], critical = true): Uint8Array {
  const value = fields.map((field) => derElement(contextPrimitive(field), Uint8Array.of(0xff)));
  return derExtension(OID.issuingDistributionPoint, critical, derSequence(...value));
}

/** An entry of any content: serial number 5 with these whole Extension elements. */
export function anyEntry(...extensions: readonly Uint8Array[]): Uint8Array {
  return derSequence(
    derNumber(5),
    derTime(CRL_FROM_MS),
    ...(extensions.length === 0 ? [] : [derSequence(...extensions)]),
  );
}

/** The certificate issuer extension of an entry. */
export function certificateIssuer(critical: boolean, ...names: readonly Uint8Array[]): Uint8Array {
  return derExtension(OID.certificateIssuer, critical, derSequence(...names));
}

/** A directory name that nobody has. */
export const SOMEBODY = directoryName({ organization: 'Somebody' });

/** A reason code extension with any number. */
export function reasonCode(reason: number): Uint8Array {
  return derExtension(OID.reasonCode, false, derElement(0x0a, Uint8Array.of(reason)));
}

/** An empty list of entries, which no CRL may have. */
export const EMPTY_LIST = derElement(TAG.sequence);

function algorithmOf(signer: TestCertificate): Uint8Array {
  const { type } = signer.key.publicKey;
  if (type === 'unknown') throw new TypeError('no scheme for a key of an unknown type');
  return signatureAlgorithmDer(schemeForKeyType(type));
}

/** A CRL of one CA that lists certificates. */
export function crlOf(signer: TestCertificate, ...revoked: readonly TestCertificate[]): Uint8Array {
  const entries = revoked.map(({ certificate: { serial } }) =>
    derSequence(derUnsigned(serial), derTime(CRL_FROM_MS)),
  );
  return makeAnyCrl(signer, entries.length === 0 ? {} : { entries: derSequence(...entries) });
}
