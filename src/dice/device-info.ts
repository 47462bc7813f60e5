import { ok, type Result } from '../base/result.ts';
import { DerCursor } from '../der/reader.ts';
import { attempt, refuse } from '../der/refuse.ts';
import { contextConstructed, TAG } from '../der/tags.ts';
import { GENERAL_NAME_TAG } from '../x509/general-name.ts';
import type { Certificate } from '../x509/types.ts';
import { DICE_OID } from './oids.ts';

/** Longest device information, in bytes. */
const MAX_INFO_BYTES = 256;

/** Printable ASCII without spaces at its ends. */
const INFO = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

const WHAT = 'device information';

/**
 * What an SPDM device says it is (DSP0274, otherName 1.3.6.1.4.1.412.274.1), `vendor:product:serial`;
 * undefined where the certificate has no such name. Errors: DER_*, DEVICE_INFO.
 */
export function readDeviceInfo({ subjectAltName }: Certificate): Result<string | undefined> {
  const found: string[] = [];
  for (const name of subjectAltName?.names ?? []) {
    if (name.kind !== 'other' || name.tag !== GENERAL_NAME_TAG.other) continue;
    const info = attempt(WHAT, () => readOtherName(name.der));
    if (!info.ok) return info;
    if (info.value !== undefined) found.push(info.value);
  }
  return attempt(WHAT, () => {
    if (found.length > 1) refuse('DEVICE_INFO', `${WHAT}: stands twice`);
    return found[0];
  });
}

/** Two certificates of one device that both say what it is must say the same. Errors: DEVICE_INFO. */
export function agreedDeviceInfo(certificates: readonly Certificate[]): Result<string | undefined> {
  let agreed: string | undefined;
  for (const certificate of certificates) {
    const info = readDeviceInfo(certificate);
    if (!info.ok) return info;
    const differs = agreed !== undefined && info.value !== undefined && info.value !== agreed;
    if (differs) {
      return attempt(WHAT, () => refuse('DEVICE_INFO', `${WHAT}: two certificates differ`));
    }
    agreed ??= info.value;
  }
  return ok(agreed);
}

/** OtherName (RFC 5280 §4.2.1.6): other types are passed over. */
function readOtherName(der: Uint8Array): string | undefined {
  const cursor = new DerCursor(der);
  const fields = cursor.enter(GENERAL_NAME_TAG.other, WHAT);
  if (fields.oid(WHAT) !== DICE_OID.spdmDeviceInfo) return undefined;
  const explicit = fields.enter(contextConstructed(0), WHAT);
  const bytes = explicit.content(TAG.utf8String, WHAT);
  explicit.finish(WHAT);
  fields.finish(WHAT);
  cursor.finish(WHAT);
  const text = Buffer.from(bytes).toString('latin1');
  if (bytes.length > MAX_INFO_BYTES || !INFO.test(text)) {
    refuse('DEVICE_INFO', `${WHAT}: not ${MAX_INFO_BYTES} bytes of printable text at most`);
  }
  return text;
}
