import type { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { TAG } from '../der/tags.ts';

/** Most relative distinguished names in a Name; real ones have fewer than ten. */
const MAX_RDNS = 64;

/** One attribute of a name. */
export interface NameAttribute {
  readonly oid: string;
  /** Tag of the value. */
  readonly tag: number;
  readonly value: Uint8Array;
}

function readAttribute(set: DerCursor, what: string): NameAttribute {
  const fields = set.sequence(what);
  const oid = fields.oid(what);
  const tag = fields.nextTag;
  const value = fields.content(tag, what);
  fields.finish(what);
  return { oid, tag, value };
}

/** Takes the attributes of a Name (RFC 5280 §4.1.2.4), one list for each RDN. */
export function readName(cursor: DerCursor, what: string): NameAttribute[][] {
  const names = cursor.sequence(what);
  const rdns: NameAttribute[][] = [];
  while (!names.done) {
    if (rdns.length >= MAX_RDNS) refuse('CERTIFICATE_NAME', `${what}: more than ${MAX_RDNS} RDNs`);
    const set = names.enter(TAG.set, what);
    const attributes: NameAttribute[] = [];
    while (!set.done) attributes.push(readAttribute(set, what));
    if (attributes.length === 0) refuse('CERTIFICATE_NAME', `${what}: empty RDN`);
    rdns.push(attributes);
  }
  return rdns;
}

/** Takes a Name without looking at its attributes' values: its DER, its form checked. */
export function readNameDer(cursor: DerCursor, what: string): Uint8Array {
  const start = cursor.position;
  const names = cursor.sequence(what);
  for (let count = 0; !names.done; count++) {
    if (count >= MAX_RDNS) refuse('CERTIFICATE_NAME', `${what}: more than ${MAX_RDNS} RDNs`);
    const set = names.enter(TAG.set, what);
    do {
      const fields = set.sequence(what);
      fields.skip(what, TAG.oid);
      fields.skip(what);
      fields.finish(what);
    } while (!set.done);
  }
  return cursor.since(start);
}

/** Whether a Name has no RDN. */
export function isEmptyName(nameDer: Uint8Array): boolean {
  return nameDer.length === 2;
}
