import { crc32 } from 'node:zlib';

/** What an operator states about an entry, encoded. */
export interface EntryDraftRow {
  readonly spiffeId: string;
  readonly parentId: string;
  /** SHA-256 of parent, SPIFFE ID and selectors as a set: what makes two entries the same. */
  readonly identity: Uint8Array;
  /** Unix seconds; 0 is never. */
  readonly expiresAt: number;
  /** Everything else, JSON. */
  readonly body: string;
}

/** A row of `entries` as it leaves the worker. */
export interface EntryRow extends EntryDraftRow {
  readonly id: string;
  readonly revision: number;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly checksum: number;
}

/** A row of `agents` as it leaves the worker. */
export interface AgentRow {
  readonly id: string;
  readonly attestationType: string;
  /** JSON array of `[type, value]`. */
  readonly selectors: string;
  readonly serial: string;
  readonly expiresAt: number;
  readonly newSerial: string | null;
  readonly newExpiresAt: number | null;
  /** 0 or 1. */
  readonly banned: number;
  /** 0 or 1. */
  readonly canReattest: number;
  readonly agentVersion: string;
  readonly attestedAt: number;
  /** JSON. */
  readonly assurance: string | null;
  readonly checksum: number;
}

/** A row of `bundles`. */
export interface BundleRow {
  readonly sequence: number;
  readonly refreshHint: number;
  /** Authorities, JSON. */
  readonly body: string;
  readonly checksum: number;
}

/** A row of `bundle_acks`. */
export interface BundleAckRow {
  readonly agentId: string;
  readonly sequence: number;
  /** Unix milliseconds. */
  readonly heardAt: number;
}

/** A row of `join_tokens`. */
export interface TokenRow {
  readonly tokenHash: string;
  readonly expiresAt: number;
  readonly aliasId: string | null;
}

/** A row of `revocations` as it leaves the worker. */
export interface RevocationRow {
  /** Decimal. */
  readonly serial: string;
  readonly spiffeId: string;
  readonly agentId: string | null;
  readonly authorityId: string;
  /** Name DER, base64; empty where it is not known. */
  readonly issuer: string;
  readonly notAfter: number;
  readonly revokedAt: number;
  /** Number of RFC 5280 §5.3.1. */
  readonly reason: number;
  readonly checksum: number;
}

/** A row of `issuing_cas` as it leaves the worker. */
export interface IssuingCaRow {
  readonly authorityId: string;
  /** DER, base64. */
  readonly certificate: string;
  readonly server: string;
  /** Place in the order of states. */
  readonly state: number;
  readonly since: number;
  readonly notAfter: number;
  readonly checksum: number;
}

/** A row of `federations`. */
export interface FederationRow {
  readonly trustDomain: string;
  /** Counts the writes of this row; the first is 1. */
  readonly revision: number;
  readonly origin: string;
  readonly url: string;
  /** Null with https_web. */
  readonly endpointId: string | null;
  readonly checksum: number;
}

/** A row of `federated_bundles`. */
export interface FederatedBundleRow {
  readonly trustDomain: string;
  /** Counts the writes of this row; the first is 1. */
  readonly revision: number;
  readonly origin: string;
  /** Decimal, unsigned 64-bit. */
  readonly sequence: string;
  readonly refreshHint: number;
  /** Authorities, JSON. */
  readonly body: string;
  readonly checksum: number;
}

/** A row of `dpus` as it leaves the worker. */
export interface DpuRow {
  readonly serial: string;
  /** Counts the writes of this row; the first is 1. */
  readonly revision: number;
  readonly state: string;
  /** Everything else, JSON. */
  readonly body: string;
  readonly checksum: number;
}

/** Checksum of an entry's row: a bit that flipped on disk must not change who gets what. */
export function entryChecksum(row: Omit<EntryRow, 'checksum'>): number {
  return checksum([
    row.id,
    row.spiffeId,
    row.parentId,
    row.revision,
    row.createdAt,
    row.expiresAt,
    row.body,
  ]);
}

/** Checksum of an agent's row. */
export function agentChecksum(row: Omit<AgentRow, 'checksum'>): number {
  return checksum([
    row.id,
    row.attestationType,
    row.selectors,
    row.serial,
    row.expiresAt,
    row.newSerial,
    row.newExpiresAt,
    row.banned,
    row.canReattest,
    row.agentVersion,
    row.attestedAt,
    // Rows from before there was this column keep their sums.
    ...(row.assurance === null ? [] : [row.assurance]),
  ]);
}

/** Checksum of a revocation's row. */
export function revocationChecksum(row: Omit<RevocationRow, 'checksum'>): number {
  return checksum([
    row.serial,
    row.spiffeId,
    row.agentId,
    row.authorityId,
    row.issuer,
    row.notAfter,
    row.revokedAt,
    row.reason,
  ]);
}

/** Checksum of an issuing CA's row. */
export function issuingCaChecksum(row: Omit<IssuingCaRow, 'checksum'>): number {
  return checksum([
    row.authorityId,
    row.certificate,
    row.server,
    row.state,
    row.since,
    row.notAfter,
  ]);
}

/** Checksum of a DPU's row. */
export function dpuChecksum(row: Omit<DpuRow, 'checksum'>): number {
  return checksum([row.serial, row.revision, row.state, row.body]);
}

/** Checksum of a federation's row. */
export function federationChecksum(row: Omit<FederationRow, 'checksum'>): number {
  return checksum([row.trustDomain, row.revision, row.origin, row.url, row.endpointId]);
}

/** Checksum of a federated bundle's row. */
export function federatedBundleChecksum(row: Omit<FederatedBundleRow, 'checksum'>): number {
  return checksum([
    row.trustDomain,
    row.revision,
    row.origin,
    row.sequence,
    row.refreshHint,
    row.body,
  ]);
}

/** Checksum of a bundle's row. */
export function bundleChecksum(row: Omit<BundleRow, 'checksum'>): number {
  return checksum([row.sequence, row.refreshHint, row.body]);
}

/** A row of `sealed_keys` as it leaves the worker. */
export interface SealedKeyRow {
  readonly slot: string;
  readonly version: number;
  readonly sealed: Uint8Array | null;
}

/** Checksum of a sealed key's row. */
export function sealedKeyChecksum({ slot, version, sealed }: SealedKeyRow): number {
  const head = crc32([slot, version, sealed === null ? 'none' : 'some'].join('\0'));
  return sealed === null ? head : crc32(sealed, head);
}

/** A row of `kept_values` as it leaves the worker. */
export interface KeptValueRow {
  readonly name: string;
  readonly version: number;
  readonly value: Uint8Array;
}

/** Checksum of a kept value's row. */
export function keptValueChecksum({ name, version, value }: KeptValueRow): number {
  return crc32(value, crc32([name, version].join('\0')));
}

/** Checksum of the authorities' journal. */
export function journalChecksum(version: number, journal: Uint8Array): number {
  return crc32(journal, crc32(String(version)));
}

/** Checksum of columns. NUL cannot stand in any, so that they cannot run into one another. */
export function checksum(columns: readonly (string | number | null)[]): number {
  return crc32(columns.join('\0'));
}
