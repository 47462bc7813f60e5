import { createCipheriv, createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import type { Random } from '../base/random.ts';
import { contextConstructed, contextPrimitive, TAG } from '../der/tags.ts';
import {
  derElement,
  derNull,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derSetOf,
} from '../der/writer.ts';
import { OID } from './oids.ts';
import { pkcs12MacKey } from './pkcs12-kdf.ts';

/** Rounds of key derivation unless told: what Java writes. */
const DEFAULT_ITERATIONS = 10_000;

const SALT_BYTES = 16;
const EXPLICIT_0 = contextConstructed(0);
/** Of encrypted contents (RFC 5652 §6.1). */
const IMPLICIT_0 = contextPrimitive(0);

/** A key and the chain that it belongs to. */
export interface Pkcs12Entry {
  /** Unencrypted PKCS#8 DER. */
  readonly privateKeyPkcs8: Uint8Array;
  /** DER, leaf first. */
  readonly chainDer: readonly Uint8Array[];
  /** What programs call it (its alias). */
  readonly name: string;
}

/** A certificate that is trusted, such as an authority of a bundle. */
export interface Pkcs12Trusted {
  readonly der: Uint8Array;
  readonly name: string;
}

/** What a file holds: an entry for a key store, trusted certificates for a trust store, or both. */
export interface Pkcs12Contents {
  readonly entry?: Pkcs12Entry;
  /** Marked so that Java takes them for trust anchors. */
  readonly trusted?: readonly Pkcs12Trusted[];
  readonly password: string;
  readonly random: Random;
  /** Rounds of key derivation; 10,000 unless told. */
  readonly iterations?: number;
}

/**
 * Writes a PKCS#12 file (RFC 7292): contents under PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC (RFC 8018),
 * the whole under an HMAC-SHA-256. OpenSSL from 1.1 on and Java from 8u301 on read it.
 */
export function writePkcs12(contents: Pkcs12Contents): Uint8Array {
  const { entry, trusted = [], random } = contents;
  const iterations = contents.iterations ?? DEFAULT_ITERATIONS;
  const seal: Seal = { password: contents.password, random, iterations };
  const certificates = [
    ...(entry === undefined ? [] : chainBags(entry)),
    ...trusted.map((one) => certBag(one.der, [nameAttribute(one.name), TRUSTED_ATTRIBUTE])),
  ];
  const safes = [
    ...(certificates.length === 0 ? [] : [encryptedSafe(derSequence(...certificates), seal)]),
    ...(entry === undefined ? [] : [dataContent(derSequence(keyBag(entry, seal)))]),
  ];
  const authenticated = derSequence(...safes);
  return derSequence(derNumber(3), dataContent(authenticated), macData(authenticated, seal));
}

/** What encryption and MAC are made with. */
interface Seal {
  readonly password: string;
  readonly random: Random;
  readonly iterations: number;
}

function chainBags({ chainDer, name, privateKeyPkcs8 }: Pkcs12Entry): readonly Uint8Array[] {
  return chainDer.map((der, index) =>
    certBag(der, index === 0 ? [nameAttribute(name), keyIdAttribute(privateKeyPkcs8)] : []),
  );
}

function certBag(der: Uint8Array, attributes: readonly Uint8Array[]): Uint8Array {
  const bag = derSequence(
    derOid(OID.x509CertificateBag),
    derElement(EXPLICIT_0, derOctetString(der)),
  );
  return safeBag(OID.pkcs12CertBag, bag, attributes);
}

function keyBag({ privateKeyPkcs8, name }: Pkcs12Entry, seal: Seal): Uint8Array {
  const { algorithm, bytes } = encrypt(privateKeyPkcs8, seal);
  const attributes = [nameAttribute(name), keyIdAttribute(privateKeyPkcs8)];
  const bag = derSequence(algorithm, derOctetString(bytes));
  return safeBag(OID.pkcs12ShroudedKeyBag, bag, attributes);
}

function safeBag(oid: string, bag: Uint8Array, attributes: readonly Uint8Array[]): Uint8Array {
  const last = attributes.length === 0 ? [] : [derSetOf(...attributes)];
  return derSequence(derOid(oid), derElement(EXPLICIT_0, bag), ...last);
}

function nameAttribute(name: string): Uint8Array {
  const text = derElement(TAG.bmpString, Buffer.from(name, 'utf16le').swap16());
  return derSequence(derOid(OID.friendlyName), derSetOf(text));
}

/** Ties a key to its certificate; any bytes that both bear will do. */
function keyIdAttribute(privateKeyPkcs8: Uint8Array): Uint8Array {
  const id = createHash('sha256').update(privateKeyPkcs8).digest().subarray(0, 20);
  return derSequence(derOid(OID.localKeyId), derSetOf(derOctetString(id)));
}

const TRUSTED_ATTRIBUTE = derSequence(
  derOid(OID.javaTrustedKeyUsage),
  derSetOf(derOid(OID.anyExtendedKeyUsage)),
);

function dataContent(bytes: Uint8Array): Uint8Array {
  return derSequence(derOid(OID.data), derElement(EXPLICIT_0, derOctetString(bytes)));
}

function encryptedSafe(contents: Uint8Array, seal: Seal): Uint8Array {
  const { algorithm, bytes } = encrypt(contents, seal);
  const info = derSequence(derOid(OID.data), algorithm, derElement(IMPLICIT_0, bytes));
  const encrypted = derSequence(derNumber(0), info);
  return derSequence(derOid(OID.encryptedData), derElement(EXPLICIT_0, encrypted));
}

interface Encrypted {
  readonly algorithm: Uint8Array;
  readonly bytes: Uint8Array;
}

function encrypt(plain: Uint8Array, { password, random, iterations }: Seal): Encrypted {
  const salt = random.bytes(SALT_BYTES);
  const iv = random.bytes(16);
  const key = pbkdf2Sync(Buffer.from(password, 'utf8'), salt, iterations, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const bytes = Buffer.concat([cipher.update(plain), cipher.final()]);
  const prf = derSequence(derOid(OID.hmacSha256), derNull());
  const derivation = derSequence(derOctetString(salt), derNumber(iterations), prf);
  const parameters = derSequence(
    derSequence(derOid(OID.pbkdf2), derivation),
    derSequence(derOid(OID.aes256Cbc), derOctetString(iv)),
  );
  return { algorithm: derSequence(derOid(OID.pbes2), parameters), bytes };
}

function macData(authenticated: Uint8Array, { password, random, iterations }: Seal): Uint8Array {
  const salt = random.bytes(SALT_BYTES);
  const key = pkcs12MacKey(password, salt, iterations);
  const mac = createHmac('sha256', key).update(authenticated).digest();
  const digest = derSequence(derSequence(derOid(OID.sha256), derNull()), derOctetString(mac));
  return derSequence(digest, derOctetString(salt), derNumber(iterations));
}
