import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  JWTSVID,
  JWTSVIDRequest,
  JWTSVIDResponse,
  SpiffeWorkloadAPIService,
} from '../../src/gen/workload.ts';
import type { CallContext, Connection, Handlers, ResponseStream } from '../../src/rpc/service.ts';
import { checkAudience } from '../../src/spiffe/audience.ts';
import { parseSpiffeId, type SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import type { AgentEntry } from '../identity/entry.ts';
import type { Identities } from '../identity/identities.ts';
import type { View, ViewTopic } from '../identity/view.ts';
import { isAlive, type Workload } from '../workload/attestation.ts';
import { followView, gone, noIdentity } from './follow-view.ts';
import type { StreamLimits } from './stream-limits.ts';
import { type ValidationPolicy, validateToken } from './validate-jwt.ts';

/** What the Workload API needs. */
export interface WorkloadApiParts {
  readonly identities: Identities;
  readonly attest: (connection: Connection) => Promise<Result<Workload>>;
  /** Holds callers until the first synchronisation. */
  readonly ready: (signal: () => AbortSignal) => Promise<Result<void>>;
  readonly limits: StreamLimits;
  /** Whether processes without an identity may validate tokens and read the own bundles. */
  readonly allowUnauthenticatedVerifiers: boolean;
  readonly validation: ValidationPolicy;
}

/** A caller and what it is served. */
interface Caller {
  readonly workload: Workload;
  readonly view: View;
}

/** The SPIFFE Workload API, X.509 and JWT profiles (Workload API §5, §6). */
export function createWorkloadApi(parts: WorkloadApiParts): Handlers<SpiffeWorkloadAPIService> {
  const bundlesForAll = parts.allowUnauthenticatedVerifiers;
  return {
    fetchX509Svid: (_request, stream, context) => serve(parts, 'x509', stream, context, false),
    fetchX509Bundles: (_request, stream, context) =>
      serve(parts, 'x509Bundles', stream, context, bundlesForAll),
    fetchJwtBundles: (_request, stream, context) =>
      serve(parts, 'jwtBundles', stream, context, bundlesForAll),
    fetchJwtsvid: (request, context) => fetchJwtSvid(parts, request, context),
    async validateJwtsvid(request, context) {
      // Workload API §4.5: mandatory fields first, whoever asks.
      if (request.audience === '') return fail('AUDIENCE_EMPTY', 'audience must be specified');
      if (request.svid === '') return fail('WORKLOAD_SVID_MISSING', 'svid must be specified');
      const caller = await identify(parts, context);
      if (!caller.ok) return caller;
      const { view } = caller.value;
      if (view.entries.length === 0 && !parts.allowUnauthenticatedVerifiers) return noIdentity();
      return validateToken(request, parts.identities.bundleSource(view), parts.validation);
    },
    fetchWitsvid: async () => witUnsupported(),
    fetchWitBundles: async () => witUnsupported(),
  };
}

async function serve(
  parts: WorkloadApiParts,
  topic: ViewTopic,
  stream: ResponseStream<unknown>,
  context: CallContext,
  withoutIdentity: boolean,
): Promise<Result<void>> {
  const place = parts.limits.enter(context.connection);
  if (!place.ok) return place;
  try {
    const caller = await identify(parts, context);
    if (!caller.ok) return caller;
    return await followView({ ...caller.value, topic, stream, context, withoutIdentity });
  } finally {
    place.value();
  }
}

async function fetchJwtSvid(
  parts: WorkloadApiParts,
  request: JWTSVIDRequest,
  context: CallContext,
): Promise<Result<JWTSVIDResponse>> {
  const audience = checkAudience(request.audience);
  if (!audience.ok) return audience;
  const wanted = readRequestedId(request.spiffeId);
  if (!wanted.ok) return wanted;
  const caller = await identify(parts, context);
  if (!caller.ok) return caller;
  const { workload } = caller.value;
  const served = (): readonly AgentEntry[] =>
    parts.identities
      .view(workload)
      .entries.filter(
        ({ spiffeId }) => wanted.value === undefined || spiffeId.uri === wanted.value.uri,
      );
  const entries = served();
  // WLAPI-24: not authorised at all, and not for the identity asked for, are one answer.
  if (entries.length === 0) return noIdentity();
  const tokens = await Promise.all(
    entries.map((entry) => jwtSvid(parts.identities, entry, audience.value)),
  );
  // The server may have taken its time: what was withdrawn meanwhile is not handed out.
  const still = new Set(served());
  const svids: JWTSVID[] = [];
  for (const [index, entry] of entries.entries()) {
    const token = tokens[index];
    if (token === undefined || !still.has(entry)) continue;
    if (!token.ok) return token;
    svids.push(token.value);
  }
  if (svids.length === 0) return noIdentity();
  return isAlive(workload) ? ok({ svids }) : gone();
}

async function jwtSvid(
  identities: Identities,
  entry: AgentEntry,
  audience: readonly string[],
): Promise<Result<JWTSVID>> {
  const token = await identities.jwt.get(entry, audience);
  if (!token.ok) return token;
  return ok({ spiffeId: entry.spiffeId.uri, svid: token.value, hint: entry.hint });
}

/** Who calls: once the agent knows what it serves, and after it has looked at the process. */
async function identify(parts: WorkloadApiParts, context: CallContext): Promise<Result<Caller>> {
  const ready = await parts.ready(() => context.signal);
  if (!ready.ok) return ready;
  const workload = await parts.attest(context.connection);
  if (!workload.ok) return workload;
  return ok({ workload: workload.value, view: parts.identities.view(workload.value) });
}

function readRequestedId(text: string): Result<SpiffeId | undefined> {
  if (text === '') return ok(undefined);
  const id = parseSpiffeId(text);
  if (id.ok) return id;
  return fail('WORKLOAD_SPIFFE_ID_INVALID', `invalid requested SPIFFE ID: ${id.error.message}`);
}

function witUnsupported(): Result<never> {
  return fail('WORKLOAD_WIT_UNSUPPORTED', 'WIT-SVIDs are not served');
}
