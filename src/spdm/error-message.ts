import { type Failed, fail, ok, type Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import { ByteReader } from './byte-reader.ts';
import { ERROR_CODE, RESPONSE } from './codes.ts';
import { HEADER_BYTES, hexByte, readHeader } from './header.ts';

/** What an ERROR asks for. */
export type ErrorAnswer =
  | { readonly kind: 'busy' }
  /** Ask again with the token, after a time in microseconds. */
  | { readonly kind: 'not-ready'; readonly waitMicroseconds: number; readonly token: number }
  | { readonly kind: 'refused'; readonly failure: Failed };

/** Bytes that follow the header of ResponseNotReady: exponent, request code, token, multiplier. */
const NOT_READY_BYTES = 4;

/**
 * Takes an ERROR (DSP0274 "ERROR response message"). A responder that is not ready must name the
 * request that was sent. Errors: SPDM_VERSION_MIXED, SPDM_FIELD, SPDM_TRUNCATED.
 */
export function readErrorMessage(
  message: Uint8Array,
  version: number,
  requestCode: number,
): Result<ErrorAnswer> {
  const read = attempt('ERROR', () => {
    const reader = new ByteReader(message);
    return readHeader(reader, 'ERROR', { version, code: RESPONSE.error });
  });
  if (!read.ok) return read;
  const { param1: code, param2 } = read.value;
  if (code === ERROR_CODE.busy) return ok({ kind: 'busy' });
  if (code === ERROR_CODE.responseNotReady) return notReady(message, requestCode);
  return ok({ kind: 'refused', failure: refusal(code, param2, requestCode) });
}

function notReady(message: Uint8Array, requestCode: number): Result<ErrorAnswer> {
  const [exponent = 0, code, token = 0] = message.subarray(HEADER_BYTES);
  if (message.length !== HEADER_BYTES + NOT_READY_BYTES || code !== requestCode) {
    return fail('SPDM_FIELD', 'ERROR: not ready, but not with the request that was sent');
  }
  return ok({ kind: 'not-ready', waitMicroseconds: 2 ** exponent, token });
}

function refusal(code: number, data: number, requestCode: number): Failed {
  const asked = `request ${hexByte(requestCode)}`;
  if (code === ERROR_CODE.requestResynch) {
    return fail('SPDM_RESYNCH', `responder: wants to begin anew at ${asked}`);
  }
  return fail(
    'SPDM_RESPONDER_ERROR',
    `responder: error ${hexByte(code)}, data ${hexByte(data)}, to ${asked}`,
    { details: { spdmError: code } },
  );
}
