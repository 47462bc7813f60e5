import { fail, ok, type Result } from '../../base/result.ts';
import type { FederatedBundle, Federation } from '../../rules/federation.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import type {
  FederatedBundleWrite,
  FederationWrite,
  WrittenFederatedBundle,
  WrittenFederation,
} from '../federation.ts';
import type { Change } from '../store.ts';
import { decodeAuthorities, encodeBundle } from './bundle-codec.ts';
import type {
  ChangeRow,
  FederatedBundleWriteRow,
  FederationWriteRow,
  WrittenRow,
} from './protocol.ts';
import {
  type FederatedBundleRow,
  type FederationRow,
  federatedBundleChecksum,
  federationChecksum,
} from './rows.ts';

/** Encodes a relationship to be written. */
export function encodeFederationWrite(write: FederationWrite): FederationWriteRow {
  const { federation, mode, expectedRevision, expectedBundle, bundle } = write;
  const { trustDomain, origin, bundleEndpointUrl: url, profile } = federation;
  return {
    federation: {
      trustDomain: trustDomain.name,
      origin,
      url,
      endpointId: profile.kind === 'https_spiffe' ? profile.endpointId.uri : null,
    },
    mode,
    expectedRevision: numberOf(expectedRevision),
    expectedBundle: numberOf(expectedBundle),
    bundle: bundle && encodeFederatedBundle(bundle, origin),
  };
}

/** Decodes what became of a relationship. */
export function decodeWrittenFederation(
  written: WrittenRow<FederationRow>,
): Result<WrittenFederation> {
  return decodeWritten(written, decodeFederation);
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeFederation(row: FederationRow): Result<Federation> {
  if (row.checksum !== federationChecksum(row)) return damaged(row.trustDomain);
  const trustDomain = parseTrustDomain(row.trustDomain);
  if (!trustDomain.ok) return damaged(row.trustDomain);
  const common = {
    trustDomain: trustDomain.value,
    bundleEndpointUrl: row.url,
    origin: row.origin,
    revision: BigInt(row.revision),
  };
  if (row.endpointId === null) return ok({ ...common, profile: { kind: 'https_web' } });
  const endpointId = parseSpiffeId(row.endpointId);
  if (!endpointId.ok) return damaged(row.trustDomain);
  return ok({ ...common, profile: { kind: 'https_spiffe', endpointId: endpointId.value } });
}

/** Encodes a bundle to be written. */
export function encodeFederatedBundleWrite(write: FederatedBundleWrite): FederatedBundleWriteRow {
  const { bundle, origin, mode, expectedRevision, expectedFederation } = write;
  return {
    bundle: encodeFederatedBundle(bundle, origin),
    mode,
    expectedRevision: numberOf(expectedRevision),
    expectedFederation: numberOf(expectedFederation),
  };
}

/** Decodes what became of a bundle. */
export function decodeWrittenFederatedBundle(
  written: WrittenRow<FederatedBundleRow>,
): Result<WrittenFederatedBundle> {
  return decodeWritten(written, decodeFederatedBundle);
}

/** Decodes a row, its certificates parsed; one that is damaged is refused as a whole. */
export function decodeFederatedBundle(row: FederatedBundleRow): Result<FederatedBundle> {
  if (row.checksum !== federatedBundleChecksum(row)) return damaged(row.trustDomain);
  const trustDomain = parseTrustDomain(row.trustDomain);
  if (!trustDomain.ok) return damaged(row.trustDomain);
  const authorities = decodeAuthorities(row.body);
  if (!authorities.ok) return authorities;
  const bundle: Bundle = {
    trustDomain: trustDomain.value,
    ...authorities.value,
    sequence: BigInt(row.sequence),
    refreshHintSeconds: row.refreshHint,
  };
  return ok({ bundle, origin: row.origin, revision: BigInt(row.revision) });
}

/** Decodes a line of the feed about either. */
export function decodeFederationChange(
  change: Extract<ChangeRow, { readonly kind: 'federation' | 'federated-bundle' }>,
): Result<Change> {
  const { ref: trustDomain } = change;
  const sequence = BigInt(change.sequence);
  if (change.kind === 'federation') {
    const federation = change.row === undefined ? ok(undefined) : decodeFederation(change.row);
    if (!federation.ok) return federation;
    return ok({ kind: 'federation', sequence, trustDomain, federation: federation.value });
  }
  const bundle = change.row === undefined ? ok(undefined) : decodeFederatedBundle(change.row);
  if (!bundle.ok) return bundle;
  const federatedBundle = bundle.value;
  return ok({ kind: 'federated-bundle', sequence, trustDomain, federatedBundle });
}

function encodeFederatedBundle(bundle: Bundle, origin: string): FederatedBundleWriteRow['bundle'] {
  const { trustDomain, sequence } = bundle;
  return {
    trustDomain: trustDomain.name,
    origin,
    sequence: String(sequence),
    ...encodeBundle(bundle),
  };
}

function decodeWritten<Row, T>(
  written: WrittenRow<Row>,
  decode: (row: Row) => Result<T>,
): Result<
  | { readonly outcome: 'written' | 'exists'; readonly value: T }
  | { readonly outcome: 'missing' | 'conflict' }
> {
  if (!('row' in written)) return ok(written);
  const value = decode(written.row);
  return value.ok ? ok({ outcome: written.outcome, value: value.value }) : value;
}

function numberOf(revision: bigint | undefined): number | undefined {
  return revision === undefined ? undefined : Number(revision);
}

function damaged(name: string): Result<never> {
  return fail('STORE_CORRUPT', `what is kept of trust domain ${name} is damaged`);
}
