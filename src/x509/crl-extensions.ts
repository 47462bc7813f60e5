import { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { parseCertificate } from './certificate.ts';
import { CRL_DATA_URI, CRL_TAG } from './crl-format.ts';
import { readAuthorityKeyId, readExtension } from './extensions.ts';
import { readGeneralName } from './general-name.ts';
import { OID } from './oids.ts';
import type { Certificate, Extension } from './types.ts';

/** Longest CRL number in octets (RFC 5280 §5.2.3). */
const MAX_NUMBER_BYTES = 20;

/** Most extensions of a CRL, and most locations in one. */
const MAX_EXTENSIONS = 32;
const MAX_LOCATIONS = 8;

/** What the extensions of a CRL say. */
export interface CrlExtensions {
  readonly number: bigint;
  readonly authorityKeyId: Uint8Array;
  /** Whether entries may be of other issuers than its own. */
  readonly indirect: boolean;
  /** Which certificates it is about. */
  readonly scope: 'all' | 'leaves' | 'authorities';
  /** The signer's certificate where the CRL brings it; not judged. */
  readonly signerCertificate: Certificate | undefined;
}

type Found = { -readonly [K in keyof CrlExtensions]: CrlExtensions[K] | undefined };

/** Takes the extensions of a CRL (RFC 5280 §5.2); refuses what would make it say less than all. */
export function readCrlExtensions(cursor: DerCursor): CrlExtensions {
  const sequence = cursor.sequence('CRL extensions');
  const found: Found = {
    number: undefined,
    authorityKeyId: undefined,
    indirect: undefined,
    scope: undefined,
    signerCertificate: undefined,
  };
  const seen = new Set<string>();
  do {
    const extension = readExtension(sequence);
    if (seen.has(extension.oid) || seen.size >= MAX_EXTENSIONS) {
      refuse('CRL_MALFORMED', `CRL: extension ${extension.oid} twice, or too many`);
    }
    seen.add(extension.oid);
    readKnown(found, extension);
  } while (!sequence.done);
  const { number, authorityKeyId, indirect = false, scope = 'all', signerCertificate } = found;
  // §5.2.1, §5.2.3: conforming issuers must include both.
  if (number === undefined) refuse('CRL_MALFORMED', 'CRL: no CRL number');
  if (authorityKeyId === undefined) refuse('CRL_MALFORMED', 'CRL: no authority key identifier');
  return { number, authorityKeyId, indirect, scope, signerCertificate };
}

function readKnown(found: Found, { oid, critical, value }: Extension): void {
  const cursor = new DerCursor(value);
  switch (oid) {
    case OID.authorityKeyId:
      found.authorityKeyId = readAuthorityKeyId(cursor);
      break;
    case OID.crlNumber:
      found.number = readNumber(cursor);
      break;
    case OID.issuingDistributionPoint:
      readDistributionPoint(found, cursor, critical);
      break;
    case OID.authorityInfoAccess:
      found.signerCertificate = readSigner(cursor);
      break;
    default:
      if (critical) refuse('CRL_CRITICAL_EXTENSION', `CRL: extension ${oid} is critical`);
      return;
  }
  cursor.finish(`extension ${oid}`);
}

function readNumber(cursor: DerCursor): bigint {
  const octets = cursor.integer('CRL number');
  if ((octets[0] ?? 0) >= 0x80 || octets.length > MAX_NUMBER_BYTES) {
    refuse('CRL_MALFORMED', 'CRL number: negative or too long');
  }
  return BigInt(`0x${Buffer.from(octets).toString('hex')}`);
}

/** Issuing Distribution Point (RFC 5280 §5.2.5). A CRL of some reasons only says less than all. */
function readDistributionPoint(found: Found, cursor: DerCursor, critical: boolean): void {
  if (!critical) refuse('CRL_MALFORMED', 'CRL: issuing distribution point is not critical');
  const fields = cursor.sequence('issuing distribution point');
  if (fields.nextTag === CRL_TAG.distributionPoint) fields.skip('distribution point');
  const user = readImplicitTrue(fields, CRL_TAG.onlyUser);
  const ca = readImplicitTrue(fields, CRL_TAG.onlyCa);
  if (fields.nextTag === CRL_TAG.onlySomeReasons) {
    refuse('CRL_SCOPE', 'CRL: of some reasons only');
  }
  found.indirect = readImplicitTrue(fields, CRL_TAG.indirect);
  if (readImplicitTrue(fields, CRL_TAG.onlyAttribute)) {
    refuse('CRL_SCOPE', 'CRL: of attribute certificates only');
  }
  fields.finish('issuing distribution point');
  if (user && ca) refuse('CRL_MALFORMED', 'CRL: of leaves only and of authorities only');
  found.scope = user ? 'leaves' : ca ? 'authorities' : 'all';
}

/** A BOOLEAN DEFAULT FALSE under an implicit tag: present, it is TRUE (X.690 §11.5). */
function readImplicitTrue(fields: DerCursor, tag: number): boolean {
  if (fields.nextTag !== tag) return false;
  const content = fields.content(tag, 'issuing distribution point');
  if (content.length !== 1 || content[0] !== 0xff) {
    refuse('DER_VALUE', 'issuing distribution point: BOOLEAN is not TRUE');
  }
  return true;
}

/** The certificate in a `data:` location, where one is; other locations are passed over, never fetched. */
function readSigner(cursor: DerCursor): Certificate | undefined {
  const locations = cursor.sequence('authority information access');
  let signer: Certificate | undefined;
  for (let count = 0; !locations.done; count++) {
    if (count >= MAX_LOCATIONS) refuse('CRL_MALFORMED', 'CRL: too many locations');
    const fields = locations.sequence('access description');
    const method = fields.oid('access method');
    const location = readGeneralName(fields, 'access location');
    fields.finish('access description');
    if (method !== OID.caIssuers || location.kind !== 'uri') continue;
    signer ??= certificateIn(location.text);
  }
  return signer;
}

function certificateIn(uri: string): Certificate | undefined {
  if (!uri.startsWith(CRL_DATA_URI)) return undefined;
  const parsed = parseCertificate(Buffer.from(uri.slice(CRL_DATA_URI.length), 'base64'));
  if (!parsed.ok) refuse('CRL_MALFORMED', `CRL: its signer: ${parsed.error.message}`);
  return parsed.value;
}
