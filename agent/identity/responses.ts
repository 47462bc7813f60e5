import {
  JWTBundlesResponse,
  X509BundlesResponse,
  type X509SVID,
  X509SVIDResponse,
} from '../../src/gen/workload.ts';
import type { AgentEntry } from './entry.ts';
import type { TrustBundle } from './trust-bundle.ts';
import type { X509Svid } from './x509-svid.ts';

/** One identity with its SVID. */
export interface ServedX509 {
  readonly entry: AgentEntry;
  readonly svid: X509Svid;
}

/** What goes into a response beside the identities. */
export interface ServedTrust {
  readonly own: TrustBundle;
  readonly federated: readonly TrustBundle[];
  /** Undefined unless the server's configuration has it in the Workload API. */
  readonly crl: Uint8Array | undefined;
}

/**
 * The X509SVIDResponse of a set of identities, in serving order: the whole state (WLAPI-3), with the
 * same bundle bytes in each SVID and the own trust domain nowhere else (WLAPI-37).
 */
export function encodeX509Response(
  identities: readonly ServedX509[],
  { own, federated, crl }: ServedTrust,
): Buffer {
  const bundle = toBuffer(own.x509);
  const svids = identities.map(
    ({ entry, svid }): X509SVID => ({
      spiffeId: svid.spiffeId.uri,
      x509Svid: toBuffer(svid.chain),
      x509SvidKey: svid.privateKeyPkcs8,
      bundle,
      hint: entry.hint,
    }),
  );
  const response = { svids, crl: crlField(crl), federatedBundles: x509Map(federated) };
  return toBuffer(X509SVIDResponse.encode(response).finish());
}

/** The X509BundlesResponse of the own and federated trust domains. */
export function encodeX509Bundles(
  bundles: readonly TrustBundle[],
  crl: Uint8Array | undefined,
): Buffer {
  const response = { crl: crlField(crl), bundles: x509Map(bundles) };
  return toBuffer(X509BundlesResponse.encode(response).finish());
}

function crlField(crl: Uint8Array | undefined): Buffer[] {
  return crl === undefined ? [] : [toBuffer(crl)];
}

/** The JWTBundlesResponse of the own and federated trust domains. */
export function encodeJwtBundles(bundles: readonly TrustBundle[]): Buffer {
  const entries = bundles.map(({ bundle, jwks }) => [bundle.trustDomain.id, toBuffer(jwks)]);
  return toBuffer(JWTBundlesResponse.encode({ bundles: Object.fromEntries(entries) }).finish());
}

/** By trust domain ID, exactly `spiffe://td` (WLAPI-19); clients refuse a map with an empty value. */
function x509Map(bundles: readonly TrustBundle[]): Record<string, Buffer> {
  const entries = bundles
    .filter(({ x509 }) => x509.length > 0)
    .map(({ bundle, x509 }) => [bundle.trustDomain.id, toBuffer(x509)]);
  return Object.fromEntries(entries);
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
