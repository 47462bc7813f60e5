import { equalBytes, toHex } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { Bundle, BundleJwtAuthority, BundleX509Authority } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { drawSerial } from '../x509/serial.ts';
import type { Certificate } from '../x509/types.ts';
import type { AuthorityKind, JournalEntry } from './journal.ts';
import { type RecordCa, signRoot } from './x509-certificate.ts';

/** A journal entry before it has a state. */
export type NewEntry = Omit<JournalEntry, 'state' | 'publishedSequence' | 'publishedAtSeconds'>;

/** What a new authority is made from. */
export interface MakeRequest {
  readonly key: LintedKey;
  readonly trustDomain: TrustDomain;
  readonly subject: CaSubject;
  readonly random: Random;
  readonly issuedAtSeconds: number;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
  /** Told of a CA certificate before it is signed. */
  readonly record?: RecordCa | undefined;
}

/** All in which the kinds of authority differ; everything else is one code path. */
export interface KindRules {
  /** Makes the authority of a fresh key. */
  make(request: MakeRequest): Promise<Result<NewEntry>>;
  /** The bundle with the authority in it. */
  publish(bundle: Bundle, entry: NewEntry): Result<Bundle>;
  /** Whether the bundle holds the authority. */
  isPublished(bundle: Bundle, entry: NewEntry): boolean;
  /** The bundle with the authority marked as one whose SVIDs are to be renewed. */
  taint(bundle: Bundle, entry: NewEntry): Bundle;
  /** The bundle without the authority. */
  withdraw(bundle: Bundle, entry: NewEntry): Bundle;
}

/** Rules of each kind. */
export const KIND_RULES: Readonly<Record<AuthorityKind, KindRules>> = {
  x509: {
    async make(request) {
      const serial = drawSerial(request.random);
      const root = await signRoot(request.key, { ...request, serial });
      if (!root.ok) return root;
      const authorityId = toHex(subjectKeyId(root.value.publicKey));
      const certificate = Buffer.from(root.value.der).toString('base64');
      return ok({ ...entryOf('x509', request, authorityId), certificate });
    },
    publish(bundle, entry) {
      const certificate = entryCertificate(entry);
      if (!certificate.ok) return certificate;
      const added = { certificate: certificate.value, tainted: false };
      return ok({ ...bundle, x509Authorities: [...bundle.x509Authorities, added] });
    },
    isPublished: (bundle, entry) => bundle.x509Authorities.some(isX509(entry)),
    taint(bundle, entry) {
      const x509Authorities = bundle.x509Authorities.map(tainting(isX509(entry)));
      return { ...bundle, x509Authorities };
    },
    withdraw(bundle, entry) {
      const isIt = isX509(entry);
      return { ...bundle, x509Authorities: bundle.x509Authorities.filter((it) => !isIt(it)) };
    },
  },
  jwt: {
    make: async (request) => ok(entryOf('jwt', request, drawKeyId(request.random))),
    publish(bundle, entry) {
      const added = {
        keyId: entry.authorityId,
        publicKeySpki: Buffer.from(entry.publicKey, 'base64'),
        expiresAtSeconds: entry.notAfterSeconds,
        tainted: false,
      };
      return ok({ ...bundle, jwtAuthorities: [...bundle.jwtAuthorities, added] });
    },
    isPublished: (bundle, entry) => bundle.jwtAuthorities.some(isJwt(entry)),
    taint(bundle, entry) {
      return { ...bundle, jwtAuthorities: bundle.jwtAuthorities.map(tainting(isJwt(entry))) };
    },
    withdraw(bundle, entry) {
      const isIt = isJwt(entry);
      return { ...bundle, jwtAuthorities: bundle.jwtAuthorities.filter((it) => !isIt(it)) };
    },
  },
};

function isX509(entry: NewEntry): (authority: BundleX509Authority) => boolean {
  const der = certificateDer(entry);
  return ({ certificate }) => equalBytes(certificate.der, der);
}

function isJwt(entry: NewEntry): (authority: BundleJwtAuthority) => boolean {
  const spki = Buffer.from(entry.publicKey, 'base64');
  return ({ keyId, publicKeySpki }) =>
    keyId === entry.authorityId && equalBytes(publicKeySpki, spki);
}

function tainting<T extends { readonly tainted: boolean }>(isIt: (item: T) => boolean) {
  return (item: T): T => (isIt(item) ? { ...item, tainted: true } : item);
}

/** The certificate of an X.509 entry, parsed. */
export function entryCertificate(entry: NewEntry): Result<Certificate> {
  return parseCertificate(certificateDer(entry));
}

function certificateDer(entry: NewEntry): Uint8Array {
  return Buffer.from(entry.certificate ?? '', 'base64');
}

function entryOf(kind: AuthorityKind, request: MakeRequest, authorityId: string): NewEntry {
  return {
    kind,
    slot: request.key.slot,
    authorityId,
    publicKey: Buffer.from(request.key.publicKeySpki).toString('base64'),
    issuedAtSeconds: request.issuedAtSeconds,
    notAfterSeconds: request.notAfterSeconds,
  };
}

const KEY_ID_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const KEY_ID_LENGTH = 32;
/** Bytes from here on are thrown away: 256 is no multiple of 62, so they would favour some letters. */
const FIRST_BIASED_BYTE = 256 - (256 % KEY_ID_LETTERS.length);

/** A JWT key id: 32 letters and digits, each equally likely. */
export function drawKeyId(random: Random): string {
  let keyId = '';
  while (keyId.length < KEY_ID_LENGTH) {
    for (const byte of random.bytes(KEY_ID_LENGTH)) {
      if (byte < FIRST_BIASED_BYTE) keyId += KEY_ID_LETTERS[byte % KEY_ID_LETTERS.length];
    }
  }
  return keyId.slice(0, KEY_ID_LENGTH);
}
