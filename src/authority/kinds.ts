import { equalBytes, toHex } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { Bundle, BundleJwtAuthority, BundleX509Authority } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { type CaSubject, caSubjectDer } from '../x509/ca-template.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { drawSerial } from '../x509/serial.ts';
import type { Certificate } from '../x509/types.ts';
import type { AuthorityKind, JournalEntry } from './journal.ts';
import type { RootStanding } from './upstream/root-acts.ts';
import type { UpstreamLink } from './upstream/upstream-link.ts';
import { type RecordCa, recordForeignCa, signRoot } from './x509-certificate.ts';

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
  /** Who signs CA certificates; the CA itself unless given. */
  readonly upstream?: UpstreamLink | undefined;
  /** How roots of the upstream stand with this server. */
  readonly standing: (root: Certificate) => RootStanding;
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
      if (request.upstream !== undefined) return certified(request, request.upstream, serial);
      const root = await signRoot(request.key, { ...request, serial });
      if (!root.ok) return root;
      const authorityId = toHex(subjectKeyId(root.value.publicKey));
      const certificate = Buffer.from(root.value.der).toString('base64');
      return ok({ ...entryOf('x509', request, authorityId), certificate });
    },
    publish(bundle, entry) {
      const added: BundleX509Authority[] = [];
      for (const root of rootsOf(entry)) {
        const certificate = parseCertificate(root);
        if (!certificate.ok) return certificate;
        added.push({ certificate: certificate.value, tainted: false });
      }
      const isNew = (root: BundleX509Authority): boolean =>
        !bundle.x509Authorities.some((held) =>
          equalBytes(held.certificate.der, root.certificate.der),
        );
      const fresh = added.filter(isNew);
      if (fresh.length === 0) return ok(bundle);
      return ok({ ...bundle, x509Authorities: [...bundle.x509Authorities, ...fresh] });
    },
    isPublished: (bundle, entry) => bundle.x509Authorities.some(isX509(entry)),
    taint(bundle, entry) {
      const x509Authorities = bundle.x509Authorities.map(tainting(isX509(entry)));
      return { ...bundle, x509Authorities };
    },
    withdraw(bundle, entry) {
      // Roots of the upstream come and go as that says, not with one CA below them.
      if (entry.upstream !== undefined) return bundle;
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
  const [der] = rootsOf(entry);
  return ({ certificate }) => der !== undefined && equalBytes(certificate.der, der);
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

/** What verifiers have to trust, so that they trust the authority; the end of its path first. */
function rootsOf(entry: NewEntry): readonly Uint8Array[] {
  if (entry.upstream === undefined) return [certificateDer(entry)];
  return entry.upstream.roots.map((root) => Buffer.from(root, 'base64'));
}

/** The CAs that follow a leaf of the authority: itself and those above it, without the root. */
export function entryChain(entry: NewEntry): readonly Uint8Array[] {
  if (entry.upstream === undefined) return [];
  const above = entry.upstream.chain.map((der) => Buffer.from(der, 'base64'));
  return [certificateDer(entry), ...above];
}

/** The same as a root of ours, but signed by the upstream authority, and ending when its path does. */
async function certified(
  request: MakeRequest,
  upstream: UpstreamLink,
  serial: Uint8Array,
): Promise<Result<NewEntry>> {
  const { key, subject, issuedAtSeconds, trustDomain, standing } = request;
  const ttlSeconds = request.notAfterSeconds - issuedAtSeconds;
  const subjectDer = caSubjectDer(serial, subject);
  const made = await upstream.certify(key, { subjectDer, ttlSeconds, standing });
  if (!made.ok) return made;
  const { certificate, intermediates, roots, notAfterMs } = made.value;
  const recorded = await recordForeignCa(request.record, certificate, {
    trustDomain,
    requestedBy: `upstream:${upstream.name}`,
  });
  if (!recorded.ok) return recorded;
  const base64 = ({ der }: Certificate): string => Buffer.from(der).toString('base64');
  const [first, ...others] = roots;
  return ok({
    ...entryOf(
      'x509',
      request,
      toHex(certificate.subjectKeyId ?? subjectKeyId(certificate.publicKey)),
    ),
    certificate: base64(certificate),
    notAfterSeconds: Math.floor(notAfterMs / 1000),
    upstream: {
      chain: intermediates.map(base64),
      roots: [base64(first), ...others.map(base64)],
    },
  });
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
