/** gRPC status names with their wire numbers. */
export const GRPC_STATUS = {
  OK: 0,
  Cancelled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;

/** Name of a gRPC status. */
export type GrpcStatusName = keyof typeof GRPC_STATUS;

/** One row of the error table. */
export interface ErrorRow {
  /** Status that the code travels with over gRPC. */
  readonly status: GrpcStatusName;
  /** Whether the same request may succeed later without anybody's act. */
  readonly retryable: boolean;
  /** What happened, one sentence. */
  readonly means: string;
  /** What the operator does next, one sentence. */
  readonly action: string;
}

/** Keeps the literal codes of a section of the table while checking its rows. */
export function defineErrors<const T extends Record<string, ErrorRow>>(rows: T): T {
  return rows;
}
