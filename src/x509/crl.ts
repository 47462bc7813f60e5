import { equalBytes } from '../base/bytes.ts';
import type { Result } from '../base/result.ts';
import { type DerCursor, readDer } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { contextConstructed, TAG } from '../der/tags.ts';
import { readEntries } from './crl-entries.ts';
import { type CrlExtensions, readCrlExtensions } from './crl-extensions.ts';
import { MAX_CRL_BYTES } from './crl-format.ts';
import { isEmptyName, readNameDer } from './name.ts';

/** Version 2 as it is written. */
const VERSION_2 = 1;

/** What a CRL says of one certificate. */
export interface RevokedEntry {
  readonly revokedAtMs: number;
  /** Number of RFC 5280 §5.3.1; 0 where none is stated. */
  readonly reason: number;
}

/** A CRL, read by the strict DER reader. Whose it is, and whether it is new, is not known yet. */
export interface Crl extends CrlExtensions {
  readonly der: Uint8Array;
  /** TBSCertList, the signed bytes. */
  readonly tbs: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** Revoked certificates there are. */
  readonly size: number;
  /** What it says of a certificate, by its issuer's name and the content octets of its serial. */
  find(issuerDer: Uint8Array, serial: Uint8Array): RevokedEntry | undefined;
}

/**
 * Reads one CRL as RFC 5280 §5 profiles it: version 2, both times, CRL number and authority key
 * identifier present; complete, for certificates, with entries of any issuer where it is indirect.
 * What is critical and not understood refuses the whole, since then nothing in it can be relied on
 * (§5.2, §5.3). Errors: DER_*, CRL_*, CERTIFICATE_EXTENSION*, CERTIFICATE_NAME.
 *
 * @param maxBytes Longest CRL; DER_TOO_LARGE beyond it.
 */
export function parseCrl(der: Uint8Array, maxBytes: number = MAX_CRL_BYTES): Result<Crl> {
  // Copied, so that what was read cannot change; a too long one is refused before.
  const copy = der.length > maxBytes ? der : new Uint8Array(der);
  return readDer('CRL', copy, readCrl, maxBytes);
}

function readCrl(cursor: DerCursor): Crl {
  const start = cursor.position;
  const outer = cursor.sequence('CRL');
  const tbsStart = outer.position;
  const { algorithm, ...fields } = readTbs(outer.sequence('CRL'));
  const tbs = outer.since(tbsStart);
  const signatureAlgorithm = outer.element('signature algorithm', TAG.sequence);
  const signature = outer.octetsInBitString('signature');
  outer.finish('CRL');
  // RFC 5280 §5.1.1.2: the algorithm outside is not signed, so it must be the one inside.
  if (!equalBytes(signatureAlgorithm, algorithm)) {
    refuse('CRL_MALFORMED', 'CRL: inner and outer algorithm differ');
  }
  return { der: cursor.since(start), tbs, ...fields, signatureAlgorithm, signature };
}

type TbsFields = Omit<Crl, 'der' | 'tbs' | 'signatureAlgorithm' | 'signature'>;

function readTbs(tbs: DerCursor): TbsFields & { readonly algorithm: Uint8Array } {
  readVersion(tbs);
  const algorithm = tbs.element('signature algorithm', TAG.sequence);
  const issuerDer = readNameDer(tbs, 'CRL issuer');
  if (isEmptyName(issuerDer)) refuse('CRL_MALFORMED', 'CRL: empty issuer name');
  const thisUpdateMs = tbs.time('thisUpdate');
  if (!isTime(tbs.nextTag)) refuse('CRL_MALFORMED', 'CRL: no nextUpdate');
  const nextUpdateMs = tbs.time('nextUpdate');
  if (nextUpdateMs < thisUpdateMs) refuse('CRL_MALFORMED', 'CRL: ends before it begins');
  const list = tbs.nextTag === TAG.sequence ? tbs.sequence('revoked certificates') : undefined;
  const explicit = tbs.enter(contextConstructed(0), 'CRL extensions');
  const extensions = readCrlExtensions(explicit);
  explicit.finish('CRL extensions');
  tbs.finish('CRL');
  // Whether entries may name an issuer is said after them.
  const entries = readEntries(list, issuerDer, extensions.indirect);
  return { algorithm, issuerDer, thisUpdateMs, nextUpdateMs, ...extensions, ...entries };
}

/** Absent is version 1, which has no extensions. */
function readVersion(tbs: DerCursor): void {
  const present = tbs.nextTag === TAG.integer;
  if (!present || tbs.smallInteger('CRL version') !== VERSION_2) {
    refuse('CRL_MALFORMED', 'CRL: not of version 2');
  }
}

function isTime(tag: number): boolean {
  return tag === TAG.utcTime || tag === TAG.generalizedTime;
}
