import { concatBytes } from '../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { BundleUpdate, type TrustBundle } from '../../src/gen/signet/connector/v1/connector.ts';
import { type Bundle, type BundleSource, x509Roots } from '../../src/spiffe/bundle.ts';
import { parseX509Bundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { parseCrl } from '../../src/x509/crl.ts';
import { trustCrl } from '../../src/x509/crl-trust.ts';
import { toBase64 } from './own-svid.ts';

/** Longest revocation list, in bytes. */
const MAX_CRL_BYTES = 8 * 1024 * 1024;

/** Bundles as the server gave them. */
export interface HeldBundles {
  readonly own: Bundle;
  /** By name of the trust domain, the own one included. */
  readonly all: ReadonlyMap<string, Bundle>;
  /** DER; empty where there is none. */
  readonly crl: Uint8Array;
  readonly version: string;
  /** What the state file has. */
  readonly stored: string;
}

/**
 * Reads bundles that the server sent: all or none, the own trust domain's among them. Fails with
 * COMPANION_SERVER_ANSWER.
 */
export function readBundles(update: BundleUpdate, trustDomain: string): Result<HeldBundles> {
  const all = new Map<string, Bundle>();
  for (const wire of update.bundles) {
    const bundle = readBundle(wire);
    if (!bundle.ok) return refuse(`${wire.trustDomain.slice(0, 255)}: ${bundle.error.message}`);
    if (all.has(bundle.value.trustDomain.name))
      return refuse(`${bundle.value.trustDomain.name} comes twice`);
    all.set(bundle.value.trustDomain.name, bundle.value);
  }
  const own = all.get(trustDomain);
  if (own === undefined) return refuse(`that of ${trustDomain} is missing`);
  const kept = { ...update, nonce: Buffer.alloc(0) };
  const stored = toBase64(BundleUpdate.encode(kept).finish());
  return ok({ own, all, crl: update.crl, version: update.version, stored });
}

/**
 * Whether a revocation list that the server sent is by an authority of the own trust domain, whatever the time:
 * entries of an old one still count. Fails with COMPANION_SERVER_ANSWER.
 */
export function checkCrl({ crl, own }: HeldBundles): Result<void> {
  if (crl.length === 0) return ok(undefined);
  const read = parseCrl(crl, MAX_CRL_BYTES);
  if (!read.ok) return refuse(read.error.message);
  const trusted = trustCrl(read.value, { roots: x509Roots(own), atMs: read.value.thisUpdateMs });
  return trusted.ok ? ok(undefined) : refuse(trusted.error.message);
}

/** The bundles of a state file; undefined where there are none. Fails with COMPANION_STATE_CORRUPT. */
export function restoreBundles(
  stored: string | undefined,
  trustDomain: string,
): Result<HeldBundles> | undefined {
  if (stored === undefined) return undefined;
  try {
    const read = readBundles(BundleUpdate.decode(Buffer.from(stored, 'base64')), trustDomain);
    if (read.ok) return read;
    return fail('COMPANION_STATE_CORRUPT', `stored bundles: ${read.error.message}`);
  } catch (cause) {
    return fail('COMPANION_STATE_CORRUPT', 'the stored bundles cannot be read', { cause });
  }
}

/** The bundles as validators ask for them. */
export function bundleSource({ all }: HeldBundles): BundleSource {
  return ({ name }) => all.get(name);
}

function readBundle(wire: TrustBundle): Result<Bundle> {
  const trustDomain = parseTrustDomain(wire.trustDomain);
  if (!trustDomain.ok) return trustDomain;
  const bundle = parseX509Bundle(trustDomain.value, concatBytes(wire.x509Authorities));
  if (!bundle.ok) return bundle;
  return ok({
    ...bundle.value,
    sequence: wire.sequence,
    refreshHintSeconds: wire.refreshHintSeconds,
  });
}

function refuse(problem: string): Result<never> {
  return fail('COMPANION_SERVER_ANSWER', `bundles: ${problem}`);
}
