import type { Metadata, ServiceError } from '@grpc/grpc-js';
import { GRPC_STATUS, type GrpcStatusName } from '../base/errors/define.ts';
import { ERRORS, type ErrorCode, SignetError } from '../base/errors.ts';

/** What of a failed call is looked at. */
export type CallError = Pick<ServiceError, 'code' | 'details'> & {
  readonly metadata?: Metadata | undefined;
};

/** Name of a gRPC status number; `Unknown` for numbers that there are not. */
export function statusNameOf(code: number): GrpcStatusName {
  const found = Object.entries(GRPC_STATUS).find(([, number]) => number === code);
  // The keys of GRPC_STATUS are the names; Object.entries only widens their type.
  return (found?.[0] ?? 'Unknown') as GrpcStatusName;
}

/** The code of the error table that Signet sends beside the status. */
export function sentErrorCode(error: CallError): ErrorCode | undefined {
  const [value] = error.metadata?.get('signet-error-code') ?? [];
  // Own keys only, since the name comes from the other side; a key of the table is a code.
  return typeof value === 'string' && Object.hasOwn(ERRORS, value)
    ? (value as ErrorCode)
    : undefined;
}

/** Whether the status came from the other side; grpc-js makes its own where nobody answered. */
export function hasAnswered(error: CallError): boolean {
  if (sentErrorCode(error) !== undefined) return true;
  const own =
    /^(No connection established|Connection dropped|Deadline exceeded|Waiting for|Name res)/;
  return !own.test(error.details);
}

/** The refusal that a failed call of the Workload API stands for. */
export function workloadError(doing: string, error: CallError): SignetError {
  const status = statusNameOf(error.code);
  const code = sentErrorCode(error) ?? WORKLOAD_CODES[status] ?? 'WORKLOAD_FAILED';
  return new SignetError(code, `${doing}: ${error.details}`, { status });
}

const WORKLOAD_CODES: Readonly<Partial<Record<GrpcStatusName, ErrorCode>>> = {
  PermissionDenied: 'WORKLOAD_DENIED',
  Unavailable: 'WORKLOAD_UNAVAILABLE',
};
