import { type CallOptions, type ClientUnaryCall, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Clock } from '../base/clock.ts';
import type { GrpcStatusName } from '../base/errors/define.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { statusNameOf } from '../client/remote-error.ts';
import { bundlesOf, type WorkloadX509Svid, type X509Context } from '../client/x509-context.ts';
import type { ClientConstructor } from '../rpc/channel.ts';
import { serverUri } from '../rules/reserved-ids.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { openServerChannel } from '../tls/server-channel.ts';
import { createSvidValidator } from '../tls/validator.ts';

/** A method that has its request and waits for the rest. */
type Bound<Response> = (
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** What to call. */
export interface Begin<Client, Response> {
  /** For refusals: what it is for. */
  readonly doing: string;
  readonly type: ClientConstructor<Client>;
  readonly method: (client: Client) => Bound<Response>;
}

/** Whom to call, and as whom. */
export interface CallPlace {
  readonly trustDomain: TrustDomain;
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  readonly context: X509Context;
  readonly svid: WorkloadX509Svid;
}

const CALL_MS = 30_000;

/** Statuses that say nothing of the request: the server is away, or overloaded. */
const PASSING: readonly GrpcStatusName[] = [
  'Unavailable',
  'DeadlineExceeded',
  'Cancelled',
  'ResourceExhausted',
  'Aborted',
];

/**
 * Calls the server above once, over a connection of its own that takes nobody but
 * `spiffe://<trust domain>/spire/server`. Errors: UPSTREAM_UNREACHABLE, UPSTREAM_REFUSED.
 */
export async function callUpstream<Client, Response>(
  place: CallPlace,
  { doing, type, method }: Begin<Client, Response>,
): Promise<Result<Response>> {
  const { trustDomain, host, port, context, svid, clock } = place;
  const expectedId = parseSpiffeId(serverUri(trustDomain));
  if (!expectedId.ok) return expectedId;
  let refusal: SignetError | undefined;
  const opened = openServerChannel({
    host,
    port,
    verification: {
      kind: 'spiffe',
      expectedId: expectedId.value,
      validate: createSvidValidator({ bundles: bundlesOf(context), clock }),
    },
    identity: {
      chainDer: svid.chain.map(({ der }) => der),
      privateKeyPkcs8: svid.privateKey.export({ type: 'pkcs8', format: 'der' }),
    },
    onRefused: (error) => {
      refusal = error;
    },
  });
  if (!opened.ok) return fail('UPSTREAM_IDENTITY', `${doing}: ${opened.error.message}`);
  try {
    return await new Promise<Result<Response>>((resolve) => {
      // grpc-js compares with the machine's clock, whatever clock this process was given.
      const options = { deadline: Date.now() + CALL_MS };
      method(opened.value.client(type))(new Metadata(), options, (error, response) => {
        resolve(error === null ? ok(response) : refused(doing, error, refusal));
      });
    });
  } finally {
    opened.value.close();
  }
}

function refused(doing: string, error: ServiceError, why: SignetError | undefined): Result<never> {
  const status = statusNameOf(error.code);
  const code = PASSING.includes(status) ? 'UPSTREAM_UNREACHABLE' : 'UPSTREAM_REFUSED';
  const reason = why?.message ?? (error.details || 'no message');
  return fail(code, `${doing} of the server above: ${status}, ${reason}`, { cause: why ?? error });
}
