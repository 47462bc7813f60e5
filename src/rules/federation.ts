import { fail, ok, type Result } from '../base/result.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';

/** Longest URL of a bundle endpoint, in characters. */
export const MAX_ENDPOINT_URL = 2048;

/** How a bundle endpoint is known to be the right one (Federation §5.2). */
export type EndpointProfile =
  /** By a certificate of a public CA for the host of its URL. */
  | { readonly kind: 'https_web' }
  /** By its X.509-SVID, which has exactly this ID. */
  | { readonly kind: 'https_spiffe'; readonly endpointId: SpiffeId };

/** A relationship as somebody states it: where the bundle of another trust domain comes from. */
export interface FederationDraft {
  readonly trustDomain: TrustDomain;
  /** As checked by {@link checkEndpointUrl}. */
  readonly bundleEndpointUrl: string;
  readonly profile: EndpointProfile;
  /** Who made it: empty for operators, else the name of what it follows, which may take it back. */
  readonly origin: string;
}

/** A relationship as the store has it. */
export interface Federation extends FederationDraft {
  /** Greater with each write, and no other's: not that of one that was deleted and made anew. */
  readonly revision: bigint;
}

/** The bundle of another trust domain as the store has it. */
export interface FederatedBundle {
  readonly bundle: Bundle;
  /** What it goes with, as {@link FederationDraft.origin}; empty once an operator set it. */
  readonly origin: string;
  /** Greater with each write, and no other's: not that of one that was deleted and made anew. */
  readonly revision: bigint;
}

/**
 * Checks the URL of a bundle endpoint (Federation §5.2.1.1, §5.2.2.1): https, a host, no user
 * information. A fragment is never sent, so it is refused rather than lost.
 */
export function checkEndpointUrl(text: string): Result<string> {
  if (text.length > MAX_ENDPOINT_URL) return refuse(`longer than ${MAX_ENDPOINT_URL} characters`);
  // The parser would drop or mend these: what is stored must be what was written.
  if (!/^[\x21-\x7e]+$/.test(text) || /["<>\\^`{|}]/.test(text)) {
    return refuse('not made of the characters of a URL');
  }
  if (!text.startsWith('https://')) return refuse('not an https:// URL');
  if (!URL.canParse(text)) return refuse('not a URL');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || authorityOf(text).includes('@')) {
    return refuse('with user information');
  }
  // The parser would take the path for a host.
  if (authorityOf(text) === '' || url.hostname === '') return refuse('without a host');
  if (text.includes('#')) return refuse('with a fragment');
  return ok(text);
}

function authorityOf(text: string): string {
  return text.slice('https://'.length).split(/[/?#]/, 1)[0] ?? '';
}

function refuse(why: string): Result<never> {
  return fail('FEDERATION_URL', `the URL of the bundle endpoint is ${why}`);
}

/** Whether two profiles say the same. */
export function sameProfile(a: EndpointProfile, b: EndpointProfile): boolean {
  if (a.kind === 'https_web' || b.kind === 'https_web') return a.kind === b.kind;
  return a.endpointId.uri === b.endpointId.uri;
}
