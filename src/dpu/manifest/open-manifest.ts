import { concatBytes, utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { decodeBase64 } from '../../spiffe/base64.ts';
import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  parseJsonObject,
} from '../../spiffe/json.ts';
import { schemeForKeyType, verifyWithScheme } from '../../x509/signature.ts';
import type { PublicKey } from '../../x509/types.ts';
import type { Corims } from './corim-selection.ts';
import { MANIFEST_LIMITS } from './manifest-schema.ts';
import { MAX_MANIFEST_DEPTH, parseManifest } from './parse-manifest.ts';
import type { ReferenceManifest } from './reference-manifest.ts';

/** What the payload of an envelope is; it is signed too, so no other document can pass for one. */
export const MANIFEST_PAYLOAD_TYPE = 'application/vnd.signet.reference-manifest.v1+json';

/** Most signatures in an envelope: each may cost a check for each signer. */
export const MAX_SIGNATURES = 8;

/** Who may publish manifests. */
export interface ManifestSigners {
  /** Pinned keys; the way a key signs follows from its kind. */
  readonly keys: readonly PublicKey[];
  /** How many different keys must have signed; 1 unless told. */
  readonly threshold?: number;
}

/** What an envelope (DSSE) holds. */
export interface ManifestEnvelope {
  readonly payload: Uint8Array;
  readonly signatures: readonly Uint8Array[];
}

/**
 * Opens a signed manifest: a DSSE envelope (in-toto), whose signatures are over the payload's exact
 * bytes, by pinned keys. Nothing of the payload is read before they hold. Key ids are hints for people
 * and not looked at. Errors: JSON_*, MANIFEST_ENVELOPE, MANIFEST_UNSIGNED, those of `parseManifest`.
 *
 * @param corims See `parseManifest`.
 */
export function openManifest(
  envelope: Uint8Array,
  signers: ManifestSigners,
  corims?: Corims,
): Result<ReferenceManifest> {
  const opened = readEnvelope(envelope);
  if (!opened.ok) return opened;
  const signed = checkSignatures(opened.value, signers);
  return signed.ok ? parseManifest(opened.value.payload, corims) : signed;
}

/** What DSSE signs: type and payload with their lengths, so that neither can be moved into the other. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  const head = utf8(`DSSEv1 ${type.length} ${payloadType} ${payload.length} `);
  return concatBytes([head, payload]);
}

/** Whether a file looks like an envelope; a manifest as it is written has no such field. */
export function isEnvelope(file: Uint8Array): boolean {
  return Buffer.from(file).includes('"payloadType"');
}

/** Reads an envelope; no signature is looked at. Errors: JSON_*, MANIFEST_ENVELOPE. */
export function readEnvelope(file: Uint8Array): Result<ManifestEnvelope> {
  // Base64 makes four characters of three bytes; the signatures are small.
  const maxBytes = MANIFEST_LIMITS.maxBytes * 1.5;
  const json = parseJsonObject(file, { maxBytes, maxDepth: MAX_MANIFEST_DEPTH });
  if (!json.ok) return json;
  const { value } = json;
  if (!hasOnly(value, ['payload', 'payloadType', 'signatures'])) return malformed('its fields');
  if (value.get('payloadType') !== MANIFEST_PAYLOAD_TYPE) return malformed('its payload type');
  const payload = bytesOf(value.get('payload'));
  if (payload === undefined) return malformed('its payload');
  const list = value.get('signatures');
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_SIGNATURES) {
    return malformed('the number of its signatures');
  }
  const signatures: Uint8Array[] = [];
  for (const each of list as readonly JsonValue[]) {
    const bytes = isJsonObject(each) && hasOnly(each, ['sig', 'keyid']) && bytesOf(each.get('sig'));
    if (!bytes) return malformed('a signature');
    signatures.push(bytes);
  }
  return ok({ payload, signatures });
}

function hasOnly(object: JsonObject, keys: readonly string[]): boolean {
  return [...object.keys()].every((key) => keys.includes(key));
}

function bytesOf(value: JsonValue | undefined): Uint8Array | undefined {
  return typeof value === 'string' && value !== '' ? decodeBase64(value) : undefined;
}

function malformed(what: string): Result<never> {
  return fail('MANIFEST_ENVELOPE', `manifest envelope: ${what} cannot be read`);
}

/** Counts keys, not signatures: one key that signs twice is still one. */
function checkSignatures(
  { payload, signatures }: ManifestEnvelope,
  signers: ManifestSigners,
): Result<void> {
  const { keys, threshold = 1 } = signers;
  const message = preAuthEncoding(MANIFEST_PAYLOAD_TYPE, payload);
  const signed = keys.filter((key) =>
    signatures.some((signature) => isSignedBy(key, message, signature)),
  );
  if (signed.length > 0 && signed.length >= threshold) return ok(undefined);
  const count = `${signed.length} of ${Math.max(threshold, 1)}`;
  return fail('MANIFEST_UNSIGNED', `manifest: signed by ${count} pinned keys that are needed`);
}

/** Whether a key made a signature, in the way that its kind signs. */
export function isSignedBy(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (key.type === 'unknown') return false;
  return verifyWithScheme(key, schemeForKeyType(key.type), message, signature).ok;
}
