import { toHex } from '../base/bytes.ts';
import { readDer } from '../der/reader.ts';
import { readName } from '../x509/name.ts';
import { OID } from '../x509/oids.ts';

/** Short names of attributes (RFC 4514 §3, RFC 4519). */
const SHORT: ReadonlyMap<string, string> = new Map([
  [OID.commonName, 'CN'],
  [OID.organization, 'O'],
  [OID.organizationalUnit, 'OU'],
  [OID.country, 'C'],
  [OID.serialNumber, 'serialNumber'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
]);

/** BMPString, two bytes a character. */
const BMP_STRING = 0x1e;

/** A name for people, in the order of the certificate: `C=US,O=Example,CN=root`. */
export function nameText(nameDer: Uint8Array): string {
  const rdns = readDer('name', nameDer, (cursor) => readName(cursor, 'name'));
  if (!rdns.ok) return `(${rdns.error.message})`;
  const texts = rdns.value.map((attributes) =>
    attributes
      .map(({ oid, tag, value }) => `${SHORT.get(oid) ?? oid}=${valueText(tag, value)}`)
      .join('+'),
  );
  return texts.length === 0 ? '(no name)' : texts.join(',');
}

function valueText(tag: number, value: Uint8Array): string {
  const bytes = Buffer.from(value);
  if (tag === BMP_STRING) return `#${toHex(value)}`;
  return bytes.toString('utf8').replace(/([,+\\=])/g, '\\$1');
}
