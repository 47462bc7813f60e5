import { equalBytes } from '../../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { NONCE_BYTES, REQUEST } from '../../../src/spdm/codes.ts';
import { HEADER_BYTES, hexByte } from '../../../src/spdm/header.ts';

/** All that a requester of measurements asks (DSP0274 "SPDM request codes"). */
const QUESTIONS: readonly number[] = [
  REQUEST.getVersion,
  REQUEST.getCapabilities,
  REQUEST.negotiateAlgorithms,
  REQUEST.getDigests,
  REQUEST.getCertificate,
  REQUEST.challenge,
  REQUEST.getMeasurements,
];

/** Bit of GET_MEASUREMENTS that asks for a signature; the others ask for what nobody verifies. */
const SIGNED = 0x01;

/** Whether a message is GET_VERSION, which begins a conversation. */
export function beginsConversation(request: Uint8Array): boolean {
  return request[1] === REQUEST.getVersion;
}

/**
 * Whether a message may be relayed to the card: only what reads measurements, so that a server in other
 * hands can neither set certificates nor open sessions; and a signature is made for this attestation's
 * nonce alone, so that nobody gets evidence for another key or another server by this agent. Fails with
 * DPU_RELAY_REFUSED.
 */
export function checkRelayed(request: Uint8Array, nonce: Uint8Array): Result<void> {
  const [, code = 0, param1 = 0] = request;
  if (request.length < HEADER_BYTES) return refused(`a message of ${request.length} bytes`);
  if (code === REQUEST.respondIfReady) {
    // The answer to an earlier question, by its code: one of those that were relayed.
    if (QUESTIONS.includes(param1) && request.length === HEADER_BYTES) return ok(undefined);
    return refused(`the answer to a message of code ${hexByte(param1)}`);
  }
  if (!QUESTIONS.includes(code)) return refused(`a message of code ${hexByte(code)}`);
  if (code === REQUEST.getMeasurements && (param1 & ~SIGNED) !== 0) {
    return refused(`measurements with attributes ${hexByte(param1)}`);
  }
  const signs = code === REQUEST.challenge || (code === REQUEST.getMeasurements && param1 !== 0);
  const asked = request.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
  return signs && !equalBytes(asked, nonce)
    ? refused('a signature for another nonce')
    : ok(undefined);
}

function refused(what: string): Result<never> {
  return fail('DPU_RELAY_REFUSED', `the server asks to relay ${what}`);
}
