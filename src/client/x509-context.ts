import { fail, ok, type Result } from '../base/result.ts';
import type { X509BundlesResponse, X509SVIDResponse } from '../gen/workload.ts';
import type { Bundle, BundleSource } from '../spiffe/bundle.ts';
import { parseX509Bundle } from '../spiffe/bundle-format.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { parseX509Svid, type X509Svid } from '../spiffe/x509-svid.ts';
import { ContextCrls } from './context-crls.ts';

/** An X.509-SVID that the Workload API gave this process. */
export interface WorkloadX509Svid extends X509Svid {
  /** Which identity is for what; empty where there is nothing to tell apart. */
  readonly hint: string;
}

/** Everything that one response says; the next one replaces it as a whole (WLAPI-3, WLAPI-7). */
export interface X509Context {
  /** At least one; the first is the default identity (WLAPI-14). */
  readonly svids: readonly [WorkloadX509Svid, ...WorkloadX509Svid[]];
  /** Bundles by name of their trust domain: the own ones and the federated ones. */
  readonly bundles: ReadonlyMap<string, Bundle>;
  /** What was revoked, where the server's configuration gives that to workloads. */
  readonly crls: ContextCrls;
}

/** The bundles of a context as validators ask for them (WLAPI-31). */
export function bundlesOf(context: X509Context): BundleSource {
  return (trustDomain) => context.bundles.get(trustDomain.name);
}

/**
 * Reads a response. One with an empty mandatory field, or with anything malformed, is discarded as a
 * whole (WLAPI-9): WORKLOAD_RESPONSE_INVALID.
 */
export function readX509Context(response: X509SVIDResponse): Result<X509Context> {
  const bundles = new Map<string, Bundle>();
  const federated = readEach(response.federatedBundles, bundles);
  if (!federated.ok) return federated;
  const svids: WorkloadX509Svid[] = [];
  const hints = new Set<string>();
  for (const sent of response.svids) {
    const svid = parseX509Svid(sent.x509Svid, sent.x509SvidKey);
    if (!svid.ok) return invalid(`SVID: ${svid.error.message}`);
    const stated = parseSpiffeId(sent.spiffeId);
    if (!stated.ok || stated.value.uri !== svid.value.id.uri) {
      return invalid('the SPIFFE ID stated is not that of the certificate');
    }
    const { trustDomain } = svid.value.id;
    const bundle = parseX509Bundle(trustDomain, sent.bundle);
    if (!bundle.ok) return invalid(`bundle of ${trustDomain.name}: ${bundle.error.message}`);
    bundles.set(trustDomain.name, bundle.value);
    // WLAPI-12: of two with one hint the first is meant.
    if (sent.hint !== '' && hints.has(sent.hint)) continue;
    hints.add(sent.hint);
    svids.push({ ...svid.value, hint: sent.hint });
  }
  const [first, ...others] = svids;
  if (first === undefined) return invalid('it holds no SVID');
  const crls = new ContextCrls(response.crl);
  return ok({ svids: [first, ...others], bundles, crls });
}

/**
 * Reads X.509 bundles alone, by name of their trust domain; discarded as a whole as {@link readX509Context}
 * does (WLAPI-9).
 */
export function readX509Bundles(
  response: X509BundlesResponse,
): Result<ReadonlyMap<string, Bundle>> {
  const bundles = new Map<string, Bundle>();
  const read = readEach(response.bundles, bundles);
  if (!read.ok) return read;
  return bundles.size > 0 ? ok(bundles) : invalid('it holds no bundle');
}

function readEach(
  ofDomains: Readonly<Record<string, Uint8Array>>,
  into: Map<string, Bundle>,
): Result<void> {
  for (const [key, ders] of Object.entries(ofDomains)) {
    const trustDomain = parseTrustDomain(key);
    if (!trustDomain.ok) return invalid(`name of a bundle: ${trustDomain.error.message}`);
    const bundle = parseX509Bundle(trustDomain.value, ders);
    if (!bundle.ok) return invalid(`bundle of ${key}: ${bundle.error.message}`);
    into.set(trustDomain.value.name, bundle.value);
  }
  return ok(undefined);
}

function invalid(problem: string): Result<never> {
  return fail('WORKLOAD_RESPONSE_INVALID', `discarding a response of the Workload API: ${problem}`);
}
