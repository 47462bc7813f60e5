import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import { DEFAULT_MAX_DER_BYTES, DerCursor, readDer } from '../der/reader.ts';
import { attempt, refuse } from '../der/refuse.ts';
import { contextConstructed } from '../der/tags.ts';
import { noExtensions, type ParsedExtensions, readExtensions } from './extensions.ts';
import { readNameDer } from './name.ts';
import { readPublicKey } from './public-key.ts';
import { serialToDecimal } from './serial.ts';
import type { Certificate, PublicKey } from './types.ts';

/** Version 3 as it is written. */
const VERSION_3 = 2;

/** Longest serial number in octets (RFC 5280 §4.1.2.2). */
const MAX_SERIAL_BYTES = 20;

/** The signed part of a certificate. */
interface Tbs {
  readonly serial: Uint8Array;
  readonly signatureAlgorithm: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly subjectDer: Uint8Array;
  readonly publicKey: PublicKey;
  readonly hasUniqueIds: boolean;
  readonly extensions: ParsedExtensions;
}

/** Version 3 only: older ones cannot hold the extensions that make a certificate safe to use. */
function readVersion(tbs: DerCursor): void {
  if (tbs.nextTag !== contextConstructed(0)) {
    refuse('CERTIFICATE_VERSION', 'certificate: version 1');
  }
  const explicit = tbs.enter(contextConstructed(0), 'certificate version');
  const version = explicit.smallInteger('certificate version');
  explicit.finish('certificate version');
  if (version !== VERSION_3) {
    refuse('CERTIFICATE_VERSION', `certificate: version ${version + 1}`);
  }
}

/** Above zero and at most 20 octets (RFC 5280 §4.1.2.2). */
function readSerial(tbs: DerCursor): Uint8Array {
  const serial = tbs.integer('serial number');
  const first = serial[0] ?? 0;
  if (first >= 0x80) refuse('CERTIFICATE_SERIAL', 'serial number: negative');
  if (serial.length === 1 && first === 0) refuse('CERTIFICATE_SERIAL', 'serial number: zero');
  if (serial.length > MAX_SERIAL_BYTES) {
    refuse('CERTIFICATE_SERIAL', `serial number: ${serial.length} octets`);
  }
  return serial;
}

/** Passes over the unique identifiers; answers whether there are any. */
function skipUniqueIds(tbs: DerCursor): boolean {
  const start = tbs.position;
  for (const number of [1, 2]) {
    if (tbs.nextTag === (0x80 | number)) tbs.skip('unique identifier');
  }
  return tbs.position !== start;
}

function readTail(tbs: DerCursor): ParsedExtensions {
  if (tbs.done) return noExtensions();
  const explicit = tbs.enter(contextConstructed(3), 'extensions');
  const extensions = readExtensions(explicit);
  explicit.finish('extensions');
  return extensions;
}

function readTbs(tbs: DerCursor): Tbs {
  readVersion(tbs);
  const serial = readSerial(tbs);
  const signatureAlgorithm = tbs.element('signature algorithm', 0x30);
  const issuerDer = readNameDer(tbs, 'issuer');
  const validity = tbs.sequence('validity');
  const notBeforeMs = validity.time('notBefore');
  const notAfterMs = validity.time('notAfter');
  validity.finish('validity');
  if (notAfterMs < notBeforeMs) {
    refuse('CERTIFICATE_VALIDITY', 'validity: notAfter lies before notBefore');
  }
  const subjectDer = readNameDer(tbs, 'subject');
  const publicKey = readPublicKey(tbs, 'public key');
  const hasUniqueIds = skipUniqueIds(tbs);
  const extensions = readTail(tbs);
  tbs.finish('certificate');
  return {
    serial,
    signatureAlgorithm,
    issuerDer,
    notBeforeMs,
    notAfterMs,
    subjectDer,
    publicKey,
    hasUniqueIds,
    extensions,
  };
}

/** Takes a certificate from a cursor. */
function readCertificate(cursor: DerCursor): Certificate {
  const start = cursor.position;
  const outer = cursor.sequence('certificate');
  const tbsStart = outer.position;
  const fields = readTbs(outer.sequence('certificate'));
  const tbs = outer.since(tbsStart);
  const signatureAlgorithm = outer.element('signature algorithm', 0x30);
  const signature = outer.octetsInBitString('signature');
  outer.finish('certificate');
  // RFC 5280 §4.1.1.2: the algorithm outside is not signed, so it must be the one inside.
  if (!equalBytes(signatureAlgorithm, fields.signatureAlgorithm)) {
    refuse('CERTIFICATE_ALGORITHM_MISMATCH', 'certificate: inner and outer algorithm differ');
  }
  return {
    der: cursor.since(start),
    tbs,
    version: 3,
    serial: fields.serial,
    serialDecimal: serialToDecimal(fields.serial),
    issuerDer: fields.issuerDer,
    subjectDer: fields.subjectDer,
    notBeforeMs: fields.notBeforeMs,
    notAfterMs: fields.notAfterMs,
    publicKey: fields.publicKey,
    hasUniqueIds: fields.hasUniqueIds,
    signatureAlgorithm,
    signature,
    ...fields.extensions,
  };
}

/**
 * Reads one certificate (RFC 5280 §4.1): DER, version 3, serial number above zero, no extension twice,
 * the same algorithm inside and outside. The bytes are copied first, so what was read cannot change.
 * Errors: DER_*, CERTIFICATE_*, PUBLIC_KEY_*.
 *
 * @param maxBytes Longest certificate; DER_TOO_LARGE beyond it.
 */
export function parseCertificate(
  der: Uint8Array,
  maxBytes: number = DEFAULT_MAX_DER_BYTES,
): Result<Certificate> {
  if (der.length > maxBytes) {
    return fail('DER_TOO_LARGE', `certificate: ${der.length} bytes, limit ${maxBytes}`);
  }
  return readDer('certificate', new Uint8Array(der), readCertificate, maxBytes);
}

/**
 * Reads certificates that stand one after the other, as the Workload API sends them: at least one, none
 * above 64 KiB, nothing left over. Errors: those of `parseCertificate`, CERTIFICATE_NONE,
 * CERTIFICATE_TOO_MANY.
 */
export function parseCertificates(
  ders: Uint8Array,
  maxCertificates = 16,
): Result<readonly Certificate[]> {
  if (ders.length === 0) return fail('CERTIFICATE_NONE', 'certificates: none');
  return attempt('certificates', () => {
    const cursor = new DerCursor(ders);
    const certificates: Certificate[] = [];
    do {
      if (certificates.length >= maxCertificates) {
        refuse('CERTIFICATE_TOO_MANY', `certificates: more than ${maxCertificates}`);
      }
      const parsed = parseCertificate(cursor.element('certificate', 0x30));
      if (!parsed.ok) throw parsed.error;
      certificates.push(parsed.value);
    } while (!cursor.done);
    return certificates;
  });
}

/**
 * Reads the CERTIFICATE blocks of a PEM text: at least one, and no block of another label. Errors:
 * those of `parsePem` and `parseCertificate`, CERTIFICATE_NONE, PEM_LABEL.
 */
export function parseCertificatesPem(
  pem: string | Uint8Array,
  maxCertificates = 256,
): Result<readonly Certificate[]> {
  const blocks = parsePem(pem, { maxBlocks: maxCertificates });
  if (!blocks.ok) return blocks;
  if (blocks.value.length === 0) return fail('CERTIFICATE_NONE', 'PEM: no certificate in it');
  const certificates: Certificate[] = [];
  for (const { label, der } of blocks.value) {
    if (label !== 'CERTIFICATE') return fail('PEM_LABEL', `PEM: ${label} instead of CERTIFICATE`);
    const parsed = parseCertificate(der);
    if (!parsed.ok) return parsed;
    certificates.push(parsed.value);
  }
  return ok(certificates);
}
