import { hash } from 'node:crypto';
import { toHex } from '../../base/bytes.ts';
import { ok, type Result } from '../../base/result.ts';
import { attempt, refuse } from '../../der/refuse.ts';
import type { PublicKey } from '../../x509/types.ts';
import {
  type CborMap,
  CborTagged,
  type CborValue,
  decodeCbor,
  isCborList,
  isCborMap,
} from './cbor.ts';
import { type CorimReference, readReferences } from './corim-references.ts';
import { openSign1 } from './cose-sign1.ts';

/** A Concise Reference Integrity Manifest. */
export interface Corim {
  readonly id: string;
  /** SHA-256 of the file, lower-case hex: how a manifest names it. */
  readonly sha256: string;
  /** Whether a pinned key signed it; one that is not is as good as the manifest that names it. */
  readonly signed: boolean;
  readonly references: readonly CorimReference[];
}

/** Who may sign CoRIMs, and when they are read. */
export interface CorimTrust {
  readonly keys: readonly PublicKey[];
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** Longest CoRIM in bytes. */
export const MAX_CORIM_BYTES = 4 * 1024 * 1024;

const TAG = { epochTime: 1, sign1: 18, corim: 501, comid: 506 } as const;

/** Keys of maps in draft-ietf-rats-corim-06, §4.1, §4.2.2. */
const CORIM_KEY = { id: 0, tags: 1, validity: 4 } as const;
const VALIDITY_KEY = { notBefore: 0, notAfter: 1 } as const;
const META_HEADER = 8;
const META_KEY = { validity: 1 } as const;

/** What a signature may be over: the media type of -06, and that of earlier drafts. */
const CONTENT_TYPES: ReadonlySet<CborValue | undefined> = new Set([
  'application/rim+cbor',
  'application/corim-unsigned+cbor',
]);

/**
 * Reads a CoRIM (draft-ietf-rats-corim-06): CBOR tag 501, or that in a COSE_Sign1 (tag 18), which must
 * then be signed by a pinned key. Of its tags only CoMIDs are read, of those only reference values.
 * Errors: CORIM_*.
 */
export function readCorim(file: Uint8Array, trust: CorimTrust): Result<Corim> {
  const outer = decodeCbor('CoRIM', file, MAX_CORIM_BYTES);
  if (!outer.ok) return outer;
  const sha256 = hash('sha256', file, 'hex');
  const signed = outer.value instanceof CborTagged && outer.value.tag === TAG.sign1;
  const content = signed ? openSigned(outer.value, trust) : ok(outer.value);
  if (!content.ok) return content;
  return attempt('CoRIM', () => ({ sha256, signed, ...readUnsigned(content.value, trust.atMs) }));
}

function openSigned(outer: CborTagged, { keys, atMs }: CorimTrust): Result<CborValue> {
  const opened = openSign1(outer.value, keys);
  if (!opened.ok) return opened;
  const { headers, contentType, payload } = opened.value;
  const current = attempt('CoRIM header', () => {
    if (!CONTENT_TYPES.has(contentType)) malformed('its content type');
    const meta = headers.get(META_HEADER);
    if (meta === undefined) return;
    if (!(meta instanceof Uint8Array)) malformed('its signer');
    const map = decodeCbor('CoRIM signer', meta, MAX_CORIM_BYTES);
    if (!map.ok) throw map.error;
    if (!isCborMap(map.value)) malformed('its signer');
    checkValidity(map.value.get(META_KEY.validity), atMs);
  });
  return current.ok ? decodeCbor('CoRIM', payload, MAX_CORIM_BYTES) : current;
}

function readUnsigned(value: CborValue, atMs: number): Pick<Corim, 'id' | 'references'> {
  if (!(value instanceof CborTagged) || value.tag !== TAG.corim || !isCborMap(value.value)) {
    malformed('its tag');
  }
  const corim = value.value;
  checkValidity(corim.get(CORIM_KEY.validity), atMs);
  const tags = corim.get(CORIM_KEY.tags);
  if (!isCborList(tags) || tags.length === 0) malformed('its tags');
  const references = tags.flatMap((tag): readonly CorimReference[] => {
    if (!(tag instanceof CborTagged) || !(tag.value instanceof Uint8Array)) malformed('a tag');
    return tag.tag === TAG.comid ? readReferences(comidOf(tag.value)) : [];
  });
  return { id: idOf(corim.get(CORIM_KEY.id)), references };
}

function comidOf(bytes: Uint8Array): CborMap {
  const comid = decodeCbor('CoMID', bytes, MAX_CORIM_BYTES);
  if (!comid.ok) throw comid.error;
  return isCborMap(comid.value) ? comid.value : malformed('a CoMID');
}

/** A text, or a UUID: 16 bytes under tag 37 or, in earlier drafts, bare. */
function idOf(id: CborValue | undefined): string {
  if (typeof id === 'string') return id;
  const bytes = id instanceof CborTagged ? id.value : id;
  return bytes instanceof Uint8Array ? toHex(bytes) : malformed('its id');
}

/** Validity of the CoRIM or of its signature: seconds since 1970 under tag 1, both ends included. */
function checkValidity(validity: CborValue | undefined, atMs: number): void {
  if (validity === undefined) return;
  if (!isCborMap(validity)) malformed('its validity');
  const notBefore = timeOf(validity.get(VALIDITY_KEY.notBefore)) ?? 0;
  const notAfter = timeOf(validity.get(VALIDITY_KEY.notAfter));
  if (notAfter === undefined) malformed('its validity');
  if (atMs < notBefore * 1000 || atMs > notAfter * 1000) {
    refuse('CORIM_EXPIRED', 'CoRIM: not valid at this time');
  }
}

function timeOf(time: CborValue | undefined): number | undefined {
  if (time === undefined) return undefined;
  const seconds = time instanceof CborTagged && time.tag === TAG.epochTime ? time.value : undefined;
  return typeof seconds === 'number' && seconds >= 0 ? seconds : malformed('a time');
}

function malformed(what: string): never {
  refuse('CORIM_MALFORMED', `CoRIM: ${what} cannot be read`);
}
