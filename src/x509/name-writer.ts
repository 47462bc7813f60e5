import { derDirectoryString, derOid, derSequence, derSetOf } from '../der/writer.ts';
import { OID } from './oids.ts';

/** Parts of a subject that Signet writes; in the certificate they stand in this order. */
export interface SubjectName {
  readonly country?: string;
  readonly organization?: string;
  readonly organizationalUnit?: string;
  readonly commonName?: string;
  readonly serialNumber?: string;
}

/** The order of the parts, that of SPIRE's certificates. */
const PARTS = [
  'country',
  'organization',
  'organizationalUnit',
  'commonName',
  'serialNumber',
] as const satisfies readonly (keyof SubjectName)[];

/** One RDN with one attribute. */
export function derRdn(oidDer: Uint8Array, text: string): Uint8Array {
  return derSetOf(derSequence(oidDer, derDirectoryString(text)));
}

/** A Name with one attribute in each RDN; parts that are absent or empty are left out. */
export function derName(subject: SubjectName): Uint8Array {
  const rdns: Uint8Array[] = [];
  for (const part of PARTS) {
    const text = subject[part];
    if (text === undefined || text === '') continue;
    rdns.push(derRdn(derOid(OID[part]), text));
  }
  return derSequence(...rdns);
}
