import type { SignetError } from '../base/errors.ts';

/** One detail of a refusal: the type's URL and the encoded message (google.protobuf.Any). */
export interface StatusDetail {
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
}

const details = new WeakMap<SignetError, readonly StatusDetail[]>();

/**
 * Adds a detail that travels in `grpc-status-details-bin` with the refusal (SPIRE agents read
 * `PermissionDeniedDetails` there). Answers the same error.
 */
export function withStatusDetails<E extends SignetError>(
  error: E,
  typeUrl: string,
  bytes: Uint8Array,
): E {
  details.set(error, [...statusDetails(error), { typeUrl, bytes }]);
  return error;
}

/** The details added to a refusal. */
export function statusDetails(error: SignetError): readonly StatusDetail[] {
  return details.get(error) ?? [];
}
