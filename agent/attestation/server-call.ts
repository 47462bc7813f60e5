import {
  type CallOptions,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type ErrorCode, SignetError } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { sentErrorCode } from '../../src/client/remote-error.ts';
import { Status } from '../../src/gen/google/rpc/status.ts';
import {
  PermissionDeniedDetails,
  PermissionDeniedDetails_Reason as Reason,
} from '../../src/gen/spire/api/types/status.ts';

/** Why the server denies this agent everything. */
export type Denial = 'expired' | 'not-attested' | 'not-active' | 'banned' | 'must-reattest';

const DETAILS_TYPE = 'type.googleapis.com/spire.api.types.PermissionDeniedDetails';

const DENIALS: ReadonlyMap<number, Denial> = new Map([
  [Reason.AGENT_EXPIRED, 'expired'],
  [Reason.AGENT_NOT_ATTESTED, 'not-attested'],
  [Reason.AGENT_NOT_ACTIVE, 'not-active'],
  [Reason.AGENT_BANNED, 'banned'],
  [Reason.AGENT_MUST_REATTEST, 'must-reattest'],
]);

/** Statuses after which the same call may succeed: the server is away, or overloaded. */
const PASSING: ReadonlySet<number> = new Set([
  status.CANCELLED,
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNAVAILABLE,
]);

/** A unary method of a generated client, bound to it. */
export type UnaryMethod<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Res) => void,
) => ClientUnaryCall;

/** Calls a unary method and waits at most so long, or until the signal. Never rejects. */
export function callServer<Req, Res>(
  method: UnaryMethod<Req, Res>,
  request: Req,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Result<Res>> {
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + timeoutMs };
    const begun = beginCall(() =>
      method(request, new Metadata(), options, (error, response) => {
        resolve(
          error === null ? { ok: true, value: response } : { ok: false, error: serverError(error) },
        );
      }),
    );
    if (!begun.ok) return resolve(begun);
    const cancel = (): void => begun.value.cancel();
    if (signal?.aborted === true) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

/** Begins a call: on a channel that was closed meanwhile grpc-js throws, which is no reason to end. */
export function beginCall<T>(begin: () => T): Result<T> {
  try {
    return ok(begin());
  } catch (cause) {
    return fail('AGENT_SERVER_UNAVAILABLE', 'the channel to the server is closed', { cause });
  }
}

/**
 * The refusal that a failed call stands for: AGENT_QUARANTINED while its DPU is out,
 * AGENT_SERVER_UNAVAILABLE where waiting may help, else AGENT_SERVER_REFUSED; with the status, the denial and the server's own code, where there are any, in its details.
 */
export function serverError(error: ServiceError): SignetError {
  const denial = readDenial(error);
  const sent = sentErrorCode(error);
  return new SignetError(codeOf(error, denial), `server: ${error.details || 'no message'}`, {
    cause: error,
    details: {
      grpcStatus: error.code,
      ...(denial === undefined ? {} : { denial }),
      ...(sent === undefined ? {} : { serverCode: sent }),
    },
  });
}

function codeOf(error: ServiceError, denial: Denial | undefined): ErrorCode {
  if (isQuarantine(error)) return 'AGENT_QUARANTINED';
  const passes = denial === undefined && PASSING.has(error.code);
  return passes ? 'AGENT_SERVER_UNAVAILABLE' : 'AGENT_SERVER_REFUSED';
}

/** The denial in a refusal by the server. */
export function denialOf(error: SignetError): Denial | undefined {
  const { denial } = error.details;
  for (const known of DENIALS.values()) if (known === denial) return known;
  return undefined;
}

/** Whether the server does not know the method: a stock SPIRE server and our push service. */
export function isUnimplemented(error: SignetError): boolean {
  return error.details.grpcStatus === status.UNIMPLEMENTED;
}

function isQuarantine(error: ServiceError): boolean {
  return sentErrorCode(error) === 'AGENT_QUARANTINED';
}

function readDenial(error: ServiceError): Denial | undefined {
  // Stock agents are told of a ban then; this one waits for the release.
  if (error.code !== status.PERMISSION_DENIED || isQuarantine(error)) return undefined;
  const bytes = error.metadata.get('grpc-status-details-bin')[0];
  if (!Buffer.isBuffer(bytes)) return undefined;
  try {
    const detail = Status.decode(bytes).details.find(({ typeUrl }) => typeUrl === DETAILS_TYPE);
    if (detail === undefined) return undefined;
    return DENIALS.get(PermissionDeniedDetails.decode(detail.value).reason);
  } catch {
    // Not protobuf: as if there were no detail.
    return undefined;
  }
}
