import { equalBytes, utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { NO_URI_NAMES } from '../x509/enrolment-template.ts';
import { OID } from '../x509/oids.ts';
import { verifySignature } from '../x509/signature.ts';
import type { Certificate } from '../x509/types.ts';

/** Slots of the keys of enrolment roots begin so; those of the authorities of the trust domain never do. */
export const ENROLMENT_SLOT_PREFIX = 'Enrolment-Root-';

const FORMAT = 'signet-enrolment-roots-1';

/** How the only root there was was kept before there could be several. */
const SINGLE_FORMAT = 'signet-enrolment-root-1';

/** A root with the slot of its key. */
export interface KeptRoot {
  readonly slot: string;
  readonly certificate: Certificate;
}

/** The enrolment roots there are, as one value: a change of which one signs is one write. */
export interface KeptRoots {
  /** The one that signs. */
  readonly active: KeptRoot;
  /** Made, and not signing yet: vendors are to know it first. */
  readonly next: KeptRoot | undefined;
  /** Those that signed before, the newest first; CAs below them live on. */
  readonly old: readonly KeptRoot[];
}

/** Roots as they are kept. */
export function encodeRoots({ active, next, old }: KeptRoots): Uint8Array {
  const lines = [
    FORMAT,
    lineOf('active', active),
    ...(next === undefined ? [] : [lineOf('next', next)]),
    ...old.map((root) => lineOf('old', root)),
  ];
  return utf8(`${lines.join('\n')}\n`);
}

/**
 * Reads them back. What somebody else put there is none of ours: a key of another slot, such as that of
 * an authority of the trust domain, and a certificate that is no enrolment root which signed itself are
 * ENROLMENT_RECORD_CORRUPT. A single root of the form before this one is the one that signs.
 */
export function decodeRoots(value: Uint8Array): Result<KeptRoots> {
  return decodeSingle(value) ?? decodeAll(value);
}

/** Undefined where it is not of that form. */
function decodeSingle(value: Uint8Array): Result<KeptRoots> | undefined {
  const [format, slot = '', base64 = ''] = Buffer.from(value).toString('utf8').split('\n');
  if (format !== SINGLE_FORMAT) return undefined;
  const active = readLine(`active ${slot} ${base64}`);
  if (active === undefined) return corrupt();
  const der = Buffer.from(active.certificate.der).toString('base64');
  if (!equalBytes(utf8(`${SINGLE_FORMAT}\n${active.slot}\n${der}\n`), value)) return corrupt();
  return ok({ active, next: undefined, old: [] });
}

function decodeAll(value: Uint8Array): Result<KeptRoots> {
  const lines = Buffer.from(value).toString('utf8').split('\n').slice(1, -1);
  const roots = lines.map(readLine);
  const of = (state: string): readonly KeptRoot[] =>
    roots.flatMap((root) => (root?.state === state ? [root] : []));
  const [active] = of('active');
  const [next] = of('next');
  if (active === undefined) return corrupt();
  const read = { active, next, old: of('old') };
  return equalBytes(encodeRoots(read), value) ? ok(read) : corrupt();
}

function lineOf(state: string, { slot, certificate }: KeptRoot): string {
  return `${state} ${slot} ${Buffer.from(certificate.der).toString('base64')}`;
}

function readLine(line: string): (KeptRoot & { readonly state: string }) | undefined {
  const [state = '', slot = '', base64 = ''] = line.split(' ');
  if (!slot.startsWith(ENROLMENT_SLOT_PREFIX)) return undefined;
  const certificate = parseCertificate(Buffer.from(base64, 'base64'));
  if (!certificate.ok || !isEnrolmentRoot(certificate.value)) return undefined;
  return { state, slot, certificate: certificate.value };
}

/** Whether it is what the keeper makes: outside of SPIFFE, without URIs below, signed by itself. */
function isEnrolmentRoot(certificate: Certificate): boolean {
  const { basicConstraints, extensions, issuerDer, subjectDer, subjectAltName } = certificate;
  const names = extensions.find(({ oid }) => oid === OID.nameConstraints);
  const { publicKey, signatureAlgorithm, tbs, signature } = certificate;
  return (
    basicConstraints?.ca === true &&
    basicConstraints.pathLength === 1 &&
    subjectAltName === undefined &&
    names?.critical === true &&
    equalBytes(names.value, NO_URI_NAMES) &&
    equalBytes(issuerDer, subjectDer) &&
    verifySignature(publicKey, signatureAlgorithm, tbs, signature).ok
  );
}

function corrupt(): Result<never> {
  return fail('ENROLMENT_RECORD_CORRUPT', 'what is kept of the enrolment root is of no known form');
}
