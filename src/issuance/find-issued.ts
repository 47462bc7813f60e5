import { toHex } from '../base/bytes.ts';
import { ok, type Result } from '../base/result.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { ReadableFiles } from '../ledger/reader.ts';
import type { LedgerRecord } from '../ledger/record.ts';
import { searchRecords } from '../ledger/search.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { type CaSubject, caSubjectDer } from '../x509/ca-template.ts';
import { serialToDecimal } from '../x509/serial.ts';

/** An X.509-SVID that the ledger knows. */
export interface IssuedSvid {
  /** Decimal. */
  readonly serial: string;
  readonly spiffeId: SpiffeId;
  /** Agent that it was issued through, itself for an agent's own. */
  readonly agentId: SpiffeId | undefined;
  /** Hex of the subject key identifier of the authority that signed it. */
  readonly authorityId: string;
  /** Unix seconds. */
  readonly notAfterSeconds: number;
}

/** Which SVIDs are looked for: by exactly one of these. */
export type IssuedTarget =
  /** Hex of the octets, as {@link serialToHex} makes it; any of them. */
  | { readonly serials: readonly string[] }
  | { readonly spiffeId: string }
  | { readonly agentId: string };

/**
 * Finds X.509-SVIDs that were issued from a moment on, in the order in which they were. Reads the log
 * of the ledger from there, so it costs by what was issued since.
 */
export type FindIssued = (
  target: IssuedTarget,
  sinceMs: number,
) => Promise<Result<readonly IssuedSvid[]>>;

/** Searches the ledger of this server; it fails as the search does. */
export function createFindIssued(files: ReadableFiles, ledger: Pick<Ledger, 'size'>): FindIssued {
  return async (target, sinceMs) => {
    const found: IssuedSvid[] = [];
    const all = { first: 0, size: ledger.size };
    const searched = await searchRecords(files, all, { ...target, sinceMs }, ({ record }) => {
      const svid = svidOf(record);
      if (svid !== undefined) found.push(svid);
      return true;
    });
    return searched.ok ? ok(found) : searched;
  };
}

/** What a record says of an X.509-SVID; tokens, authorities and acts are none. */
function svidOf(record: LedgerRecord): IssuedSvid | undefined {
  const { kind, serial, authorityId, notAfter, agentId } = record;
  if (kind !== 'x509' && kind !== 'agent') return undefined;
  const spiffeId = parseSpiffeId(record.spiffeId ?? '');
  const agent = agentId === undefined ? ok(undefined) : parseSpiffeId(agentId);
  const complete = serial !== undefined && authorityId !== undefined && notAfter !== undefined;
  if (!complete || !spiffeId.ok || !agent.ok) return undefined;
  return {
    serial: serialToDecimal(Buffer.from(serial, 'hex')),
    spiffeId: spiffeId.value,
    agentId: agent.value,
    authorityId,
    notAfterSeconds: notAfter,
  };
}

/** The Name DER of an authority by the hex of its key identifier; undefined where nobody knows it. */
export type FindIssuerName = (authorityId: string) => Promise<Uint8Array | undefined>;

/** Where names of authorities are looked for. */
export interface IssuerNameSources {
  readonly trustDomain: TrustDomain;
  readonly bundle: () => Bundle | undefined;
  /** What the names of CAs that this server made begin with. */
  readonly subject: CaSubject;
  readonly files: ReadableFiles;
  readonly ledger: Pick<Ledger, 'size'>;
}

/**
 * Roots are in the bundle. An issuing CA is in none, and its certificate went with its process: its
 * name ends with its serial number, which the ledger has.
 */
export function createFindIssuerName(sources: IssuerNameSources): FindIssuerName {
  return async (authorityId) =>
    rootName(sources, authorityId) ?? issuingCaName(sources, authorityId);
}

function rootName({ bundle }: IssuerNameSources, authorityId: string): Uint8Array | undefined {
  for (const { certificate } of bundle()?.x509Authorities ?? []) {
    const { subjectKeyId, subjectDer } = certificate;
    if (subjectKeyId !== undefined && toHex(subjectKeyId) === authorityId) return subjectDer;
  }
  return undefined;
}

async function issuingCaName(
  { trustDomain, subject, files, ledger }: IssuerNameSources,
  authorityId: string,
): Promise<Uint8Array | undefined> {
  let name: Uint8Array | undefined;
  const all = { first: 0, size: ledger.size };
  await searchRecords(files, all, { spiffeId: trustDomain.id }, ({ record }) => {
    if (record.kind !== 'ca' || record.authorityId !== authorityId) return true;
    name = caSubjectDer(Buffer.from(record.serial ?? '', 'hex'), subject);
    return false;
  });
  return name;
}
