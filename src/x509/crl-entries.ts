import { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import type { Crl, RevokedEntry } from './crl.ts';
import { CRL_TAG } from './crl-format.ts';
import { readExtension } from './extensions.ts';
import { readGeneralNames } from './general-name.ts';
import { OID } from './oids.ts';
import type { Extension } from './types.ts';

/** Longest serial number in octets (RFC 5280 §4.1.2.2). */
const MAX_SERIAL_BYTES = 20;

/** Reasons of RFC 5280 §5.3.1; 7 is not used, 8 (removeFromCRL) stands in delta CRLs only. */
const REASONS: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5, 6, 9, 10]);

/** Most extensions of one entry. */
const MAX_EXTENSIONS = 8;

/** Takes the entries of a CRL (RFC 5280 §5.1.2.6, §5.3); undefined where the list is absent. */
export function readEntries(
  list: DerCursor | undefined,
  crlIssuerDer: Uint8Array,
  indirect: boolean,
): Pick<Crl, 'size' | 'find'> {
  const byIssuer = new Map<string, Map<string, RevokedEntry>>();
  let size = 0;
  if (list?.done) refuse('CRL_MALFORMED', 'CRL: a list of revoked certificates without any');
  // §5.3.3: without one of its own, an entry is of the issuer of the entry before it.
  let issuer = crlIssuerDer;
  while (list?.done === false) {
    const { serial, issuerDer, ...entry } = readEntry(list);
    if (issuerDer !== undefined && !indirect) {
      refuse('CRL_MALFORMED', 'CRL: an entry names its issuer, but the CRL is not indirect');
    }
    issuer = issuerDer ?? issuer;
    const key = keyOf(issuer);
    const entries = byIssuer.get(key) ?? new Map<string, RevokedEntry>();
    byIssuer.set(key, entries);
    entries.set(keyOf(serial), entry);
    size += 1;
  }
  return { size, find: (of, serial) => byIssuer.get(keyOf(of))?.get(keyOf(serial)) };
}

interface ReadEntry extends RevokedEntry {
  readonly serial: Uint8Array;
  readonly issuerDer: Uint8Array | undefined;
}

function readEntry(list: DerCursor): ReadEntry {
  const fields = list.sequence('CRL entry');
  const serial = fields.integer('serial number');
  if ((serial[0] ?? 0) >= 0x80 || serial.length > MAX_SERIAL_BYTES) {
    refuse('CRL_MALFORMED', 'CRL entry: serial number negative or too long');
  }
  const revokedAtMs = fields.time('revocation date');
  const known = { reason: 0, issuerDer: undefined as Uint8Array | undefined };
  if (!fields.done) {
    const extensions = fields.sequence('CRL entry extensions');
    const seen = new Set<string>();
    do {
      const extension = readExtension(extensions);
      if (seen.has(extension.oid) || seen.size >= MAX_EXTENSIONS) {
        refuse('CRL_MALFORMED', `CRL entry: extension ${extension.oid} twice, or too many`);
      }
      seen.add(extension.oid);
      readKnown(known, extension);
    } while (!extensions.done);
  }
  fields.finish('CRL entry');
  return { serial, revokedAtMs, ...known };
}

function readKnown(
  known: { reason: number; issuerDer: Uint8Array | undefined },
  { oid, critical, value }: Extension,
): void {
  const cursor = new DerCursor(value);
  switch (oid) {
    case OID.reasonCode:
      known.reason = readReason(cursor);
      break;
    case OID.certificateIssuer:
      if (!critical) refuse('CRL_MALFORMED', 'CRL entry: certificate issuer is not critical');
      known.issuerDer = readIssuer(cursor);
      break;
    default:
      if (critical) refuse('CRL_CRITICAL_EXTENSION', `CRL entry: extension ${oid} is critical`);
      return;
  }
  cursor.finish(`extension ${oid}`);
}

function readReason(cursor: DerCursor): number {
  const reason = cursor.smallInteger('reason code', CRL_TAG.enumerated);
  if (!REASONS.has(reason)) refuse('CRL_MALFORMED', `CRL entry: reason ${reason}`);
  return reason;
}

/** Exactly one name, that of the issuer's certificate: with several it would not be known which. */
function readIssuer(cursor: DerCursor): Uint8Array {
  const [name, ...others] = readGeneralNames(cursor, 'certificate issuer');
  if (name?.kind !== 'directory' || others.length > 0) {
    refuse('CRL_MALFORMED', 'CRL entry: certificate issuer is not one directory name');
  }
  return name.der;
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
