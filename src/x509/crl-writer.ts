import { contextConstructed } from '../der/tags.ts';
import {
  derAscii,
  derElement,
  derNumber,
  derOid,
  derSequence,
  derTime,
  derUnsigned,
} from '../der/writer.ts';
import { CRL_DATA_URI, CRL_TAG } from './crl-format.ts';
import { authorityKeyIdExtension, derExtension } from './extension-writer.ts';
import { GENERAL_NAME_TAG } from './general-name.ts';
import { OID } from './oids.ts';

/** A certificate that was taken back. */
export interface RevokedCertificate {
  /** Name of its issuer. */
  readonly issuerDer: Uint8Array;
  /** Big-endian magnitude. */
  readonly serial: Uint8Array;
  readonly revokedAtMs: number;
  /** Number of RFC 5280 §5.3.1; 0 is not written. */
  readonly reason: number;
}

/** What an indirect CRL says (RFC 5280 §5). */
export interface CrlFields {
  /** AlgorithmIdentifier DER that the signer signs with. */
  readonly signatureAlgorithm: Uint8Array;
  /** Name of the signer. */
  readonly issuerDer: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly number: bigint;
  /** Key identifier of the signer. */
  readonly keyId: Uint8Array;
  /** The signer's certificate, which readers need and which is in no bundle; DER. */
  readonly signerCertificate: Uint8Array;
  readonly revoked: readonly RevokedCertificate[];
}

const VERSION_2 = derNumber(1);

/** One octet each way: TRUE under an implicit tag. */
const IMPLICIT_TRUE = Uint8Array.of(0xff);

const CA_ISSUERS = derOid(OID.caIssuers);

/** The TBSCertList of an indirect CRL; sign it and hand it to `assembleCertificate`. */
export function buildCrlTbs(fields: CrlFields): Uint8Array {
  const entries = writeEntries(fields);
  return derSequence(
    VERSION_2,
    fields.signatureAlgorithm,
    fields.issuerDer,
    derTime(fields.thisUpdateMs),
    derTime(fields.nextUpdateMs),
    // RFC 5280 §5.1.2.6: without entries the list is absent, not empty.
    ...(entries.length === 0 ? [] : [derSequence(...entries)]),
    derElement(
      contextConstructed(0),
      derSequence(
        authorityKeyIdExtension(fields.keyId),
        derExtension(OID.crlNumber, false, derUnsigned(bigEndian(fields.number))),
        issuingDistributionPoint(),
        signerExtension(fields.signerCertificate),
      ),
    ),
  );
}

/** Critical, as it must be: a reader that does not know it would take the entries for the signer's own. */
function issuingDistributionPoint(): Uint8Array {
  const indirect = derElement(CRL_TAG.indirect, IMPLICIT_TRUE);
  return derExtension(OID.issuingDistributionPoint, true, derSequence(indirect));
}

/**
 * Authority Information Access (RFC 5280 §5.2.7): where the signer's certificate is found, here as a
 * `data:` URI (RFC 2397), so that a reader needs no second fetch and no connection to anything.
 */
function signerExtension(certificate: Uint8Array): Uint8Array {
  const base64 = Buffer.from(certificate).toString('base64');
  const location = derAscii(GENERAL_NAME_TAG.uri, `${CRL_DATA_URI}${base64}`);
  return derExtension(
    OID.authorityInfoAccess,
    false,
    derSequence(derSequence(CA_ISSUERS, location)),
  );
}

/** Entries by issuer: each names its issuer only where it is another than that of the one before. */
function writeEntries({ revoked, issuerDer }: CrlFields): Uint8Array[] {
  const sorted = revoked.toSorted((a, b) => Buffer.compare(a.issuerDer, b.issuerDer));
  let current = issuerDer;
  return sorted.map((entry) => {
    const named = Buffer.compare(current, entry.issuerDer) !== 0;
    current = entry.issuerDer;
    return writeEntry(entry, named);
  });
}

function writeEntry(entry: RevokedCertificate, withIssuer: boolean): Uint8Array {
  const extensions = [
    ...(entry.reason === 0 ? [] : [reasonExtension(entry.reason)]),
    ...(withIssuer ? [issuerExtension(entry.issuerDer)] : []),
  ];
  return derSequence(
    derUnsigned(entry.serial),
    derTime(entry.revokedAtMs),
    ...(extensions.length === 0 ? [] : [derSequence(...extensions)]),
  );
}

function reasonExtension(reason: number): Uint8Array {
  return derExtension(OID.reasonCode, false, derElement(CRL_TAG.enumerated, Uint8Array.of(reason)));
}

/** Critical (RFC 5280 §5.3.3): GeneralNames with the one directory name. */
function issuerExtension(issuerDer: Uint8Array): Uint8Array {
  const name = derElement(GENERAL_NAME_TAG.directory, issuerDer);
  return derExtension(OID.certificateIssuer, true, derSequence(name));
}

function bigEndian(number: bigint): Uint8Array {
  const digits = number.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
}
