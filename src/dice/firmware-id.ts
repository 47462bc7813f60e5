import type { Result } from '../base/result.ts';
import { DerCursor } from '../der/reader.ts';
import { attempt, refuse } from '../der/refuse.ts';
import { contextConstructed, contextPrimitive, TAG } from '../der/tags.ts';
import { OID } from '../x509/oids.ts';
import { readPublicKey } from '../x509/public-key.ts';
import type { Certificate, Extension } from '../x509/types.ts';
import { DICE_OID } from './oids.ts';

/** A firmware id: digest of what a layer runs. */
export interface Fwid {
  readonly algorithm: 'sha256' | 'sha384' | 'sha512';
  readonly digest: Uint8Array;
}

/** What the firmware extension of a certificate says. */
export interface FirmwareIds {
  readonly form: 'composite' | 'tcb-info' | 'multi-tcb-info';
  /** At least one. */
  readonly fwids: readonly Fwid[];
  /** SubjectPublicKeyInfo that the composite form names: that of the device key above. */
  readonly parentSpki: Uint8Array | undefined;
  /** What the flags of a TcbInfo say is not as it should be, such as `debug`. */
  readonly flags: readonly TcbFlag[];
}

/** Operational flags of a TcbInfo, by bit (TCG DICE Attestation Architecture §6.1.1). */
const TCB_FLAGS = ['not-configured', 'not-secure', 'recovery', 'debug'] as const;

/** A flag of a TcbInfo. Bits beyond those known are `unknown`. */
export type TcbFlag = (typeof TCB_FLAGS)[number] | 'unknown';

/** Most firmware ids in a certificate, and most TcbInfo. */
const MAX_FWIDS = 16;
const MAX_TCB_INFOS = 16;

const WHAT = 'firmware id';

/** Version of the composite form (Implicit Identity Based Device Attestation, draft 0.93). */
const COMPOSITE_VERSION = 1;

const DIGESTS: ReadonlyMap<string, { algorithm: Fwid['algorithm']; bytes: number }> = new Map([
  [OID.sha256, { algorithm: 'sha256', bytes: 32 }],
  [OID.sha384, { algorithm: 'sha384', bytes: 48 }],
  [OID.sha512, { algorithm: 'sha512', bytes: 64 }],
]);

/** Extensions that make a certificate one of a layer. A critical one is judged here. */
export const FIRMWARE_EXTENSIONS: ReadonlySet<string> = new Set([
  DICE_OID.tcbInfo,
  DICE_OID.multiTcbInfo,
]);

/** The firmware extensions of a certificate, as they stand. */
export function firmwareExtensions({ extensions }: Certificate): readonly Extension[] {
  return extensions.filter(({ oid }) => FIRMWARE_EXTENSIONS.has(oid));
}

/**
 * Reads the firmware ids of a layer's certificate in any of their forms: composite (a version, the
 * device key, then ids), TcbInfo, several TcbInfo. Strict: what is not one of these is refused, since
 * a part that is passed over could be the one that matters. Errors: DER_*, DEVICE_FWID_MALFORMED.
 */
export function readFirmwareIds(certificate: Certificate): Result<FirmwareIds> {
  return attempt(WHAT, () => {
    const [extension, ...others] = firmwareExtensions(certificate);
    if (extension === undefined || others.length > 0) {
      refuse('DEVICE_FWID_MALFORMED', `${WHAT}: not exactly one extension`);
    }
    const cursor = new DerCursor(extension.value);
    const read = extension.oid === DICE_OID.tcbInfo ? readOne : readSeveral;
    const ids = read(cursor);
    cursor.finish(WHAT);
    if (ids.fwids.length === 0) refuse('DEVICE_FWID_MALFORMED', `${WHAT}: none in the extension`);
    return ids;
  });
}

/** The two forms share their OID: a composite begins with an INTEGER, no TcbInfo does. */
function readOne(cursor: DerCursor): FirmwareIds {
  const fields = cursor.sequence(WHAT);
  if (fields.nextTag === TAG.integer) return readComposite(fields);
  return { form: 'tcb-info', parentSpki: undefined, ...readTcbInfo(fields) };
}

function readComposite(fields: DerCursor): FirmwareIds {
  const version = fields.smallInteger(`${WHAT} version`);
  if (version !== COMPOSITE_VERSION) {
    refuse('DEVICE_FWID_MALFORMED', `${WHAT}: composite form of version ${version}`);
  }
  const { spki } = readPublicKey(fields, `${WHAT} key`);
  return { form: 'composite', parentSpki: spki, fwids: readFwids(fields), flags: [] };
}

function readSeveral(cursor: DerCursor): FirmwareIds {
  const list = cursor.sequence(WHAT);
  const fwids: Fwid[] = [];
  const flags: TcbFlag[] = [];
  for (let count = 0; !list.done; count++) {
    if (count >= MAX_TCB_INFOS) refuse('DEVICE_FWID_MALFORMED', `${WHAT}: too many TcbInfo`);
    const info = readTcbInfo(list.sequence(WHAT));
    fwids.push(...info.fwids);
    flags.push(...info.flags);
  }
  if (fwids.length > MAX_FWIDS) refuse('DEVICE_FWID_MALFORMED', `${WHAT}: too many`);
  return { form: 'multi-tcb-info', parentSpki: undefined, fwids, flags };
}

/** Fields of a TcbInfo that are passed over: vendor, model, version, svn, layer, index; vendorInfo, type. */
const BEFORE_FWIDS = [0, 1, 2, 3, 4, 5].map(contextPrimitive);
const AFTER_FLAGS = [8, 9, 10].map(contextPrimitive);

/** DiceTcbInfo: every field is optional, their order is fixed. */
function readTcbInfo(fields: DerCursor): Pick<FirmwareIds, 'fwids' | 'flags'> {
  skipOptional(fields, BEFORE_FWIDS);
  const hasFwids = fields.nextTag === contextConstructed(6);
  const fwids = hasFwids ? readFwids(fields.enter(contextConstructed(6), WHAT)) : [];
  const flags = fields.nextTag === contextPrimitive(7) ? readFlags(fields) : [];
  skipOptional(fields, AFTER_FLAGS);
  fields.finish(WHAT);
  return { fwids, flags };
}

function skipOptional(fields: DerCursor, tags: readonly number[]): void {
  for (const tag of tags) if (fields.nextTag === tag) fields.skip(WHAT, tag);
}

/** OperationalFlags, an IMPLICIT named BIT STRING; its octets are read whether or not it is the shortest. */
function readFlags(fields: DerCursor): TcbFlag[] {
  const [unusedBits = 8, ...octets] = fields.content(contextPrimitive(7), `${WHAT} flags`);
  if (unusedBits > 7 || (octets.length === 0 && unusedBits > 0)) {
    refuse('DEVICE_FWID_MALFORMED', `${WHAT}: malformed flags`);
  }
  return octets.flatMap((octet, at) =>
    [0, 1, 2, 3, 4, 5, 6, 7]
      .filter((bit) => (octet & (0x80 >>> bit)) !== 0)
      .map((bit) => TCB_FLAGS[at * 8 + bit] ?? 'unknown'),
  );
}

/** FWIDs to the end of a cursor: at least one. */
function readFwids(cursor: DerCursor): Fwid[] {
  const fwids: Fwid[] = [];
  do {
    if (fwids.length >= MAX_FWIDS) refuse('DEVICE_FWID_MALFORMED', `${WHAT}: too many`);
    fwids.push(readFwid(cursor));
  } while (!cursor.done);
  return fwids;
}

function readFwid(cursor: DerCursor): Fwid {
  const fields = cursor.sequence(WHAT);
  const oid = fields.oid(`${WHAT} algorithm`);
  const digest = fields.content(TAG.octetString, WHAT);
  fields.finish(WHAT);
  const known = DIGESTS.get(oid);
  if (known === undefined || digest.length !== known.bytes) {
    refuse('DEVICE_FWID_MALFORMED', `${WHAT}: ${digest.length} bytes of algorithm ${oid}`);
  }
  return { algorithm: known.algorithm, digest };
}
