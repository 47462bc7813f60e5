import type { Clock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Federation } from '../rules/federation.ts';
import { callHttp, type HttpAnswer } from '../runtime/http-call.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import {
  MAX_BUNDLE_BYTES,
  type ParsedBundle,
  parseSpiffeBundle,
} from '../spiffe/bundle-document.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { EndpointAgent } from './endpoint-agent.ts';

/** What one fetch goes by. */
export interface FetchParts {
  readonly clock: Clock;
  /** In all, connecting included. */
  readonly timeoutMs: number;
  /** PEM that https_web endpoints lead to; public CAs where undefined. */
  readonly webRoots: string | undefined;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

/**
 * Fetches the bundle of a relationship from its endpoint: authenticated as its profile says, no
 * redirect followed, bounded in time and size.
 * @param endpointBundle What is held of the trust domain of the endpoint's SPIFFE ID.
 */
export async function fetchBundle(
  federation: Federation,
  endpointBundle: Bundle | undefined,
  { clock, timeoutMs, webRoots, signal }: FetchParts,
): Promise<Result<ParsedBundle>> {
  const { profile, bundleEndpointUrl } = federation;
  // FED-13, FED-15: without any, nobody can be told from anybody.
  if (profile.kind === 'https_spiffe' && endpointBundle === undefined) {
    const { name } = profile.endpointId.trustDomain;
    return fail('FEDERATION_ENDPOINT_BUNDLE', `no bundle of ${name} to know the endpoint by`);
  }
  const url = new URL(bundleEndpointUrl);
  const agent = new EndpointAgent({ url, profile, bundle: endpointBundle, webRoots, clock });
  const timeout = new AbortController();
  const cancel = clock.after(timeoutMs, () => timeout.abort());
  try {
    const answer = await callHttp(url, {
      method: 'GET',
      headers: { accept: 'application/json' },
      agent,
      maxAnswerBytes: MAX_BUNDLE_BYTES,
      signal: AbortSignal.any([timeout.signal, signal]),
    });
    return readAnswer(federation, answer);
  } catch (error) {
    return { ok: false, error: callError(error, timeout.signal.aborted, timeoutMs) };
  } finally {
    cancel();
    agent.destroy();
  }
}

function callError(error: unknown, late: boolean, timeoutMs: number): SignetError {
  if (error instanceof SignetError && error.code === 'FEDERATION_ENDPOINT_UNTRUSTED') return error;
  if (error instanceof SignetError && error.code === 'HTTP_ANSWER_TOO_LONG') {
    return new SignetError(
      'FEDERATION_ENDPOINT_ANSWER',
      `the answer has over ${MAX_BUNDLE_BYTES} bytes`,
    );
  }
  const reason = late ? `no whole answer within ${timeoutMs} ms` : reasonOf(error);
  return new SignetError(
    'FEDERATION_ENDPOINT_UNREACHABLE',
    `the bundle endpoint cannot be reached: ${reason}`,
    { cause: error },
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason given';
  return 'code' in error ? String(error.code) : error.message;
}

function readAnswer(federation: Federation, { status, bytes }: HttpAnswer): Result<ParsedBundle> {
  if (status >= 300 && status < 400)
    return refuse(`it redirects (${status}), which is not followed`);
  if (status !== 200) return refuse(`it answers with status ${status}`);
  const parsed = parseSpiffeBundle(federation.trustDomain, bytes);
  if (!parsed.ok) return refuse(parsed.error.message);
  const { bundle, ignored } = parsed.value;
  const usable = bundle.x509Authorities.length + bundle.jwtAuthorities.length;
  // An empty set says "trust nothing" (BUNDLE-2); one that nobody here can read says nothing.
  if (usable === 0 && ignored.length > 0) return refuse('it has keys, and none that can be read');
  const foreign = foreignAuthority(bundle);
  if (foreign !== undefined) return refuse(`one of its authorities is of ${foreign}`);
  return ok(parsed.value);
}

/** The trust domain that an authority names in its certificate where that is another one. */
function foreignAuthority({ trustDomain, x509Authorities }: Bundle): string | undefined {
  for (const { certificate } of x509Authorities) {
    for (const name of certificate.subjectAltName?.names ?? []) {
      if (name.kind !== 'uri') continue;
      const id = parseSpiffeId(name.text);
      if (id.ok && id.value.trustDomain.name !== trustDomain.name) return id.value.trustDomain.name;
    }
  }
  return undefined;
}

function refuse(why: string): Result<never> {
  return fail('FEDERATION_ENDPOINT_ANSWER', `the answer of the bundle endpoint is refused: ${why}`);
}
