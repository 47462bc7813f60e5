import type { ErrorCode, SignetError } from '../base/errors.ts';

/** What verified evidence itself says against a card: it is put out, whoever collected it. */
const FINDINGS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'MEASUREMENT_FORMAT',
  'MEASUREMENT_MISSING',
  'MEASUREMENT_MISMATCH',
  'MEASUREMENT_FWID',
  'MEASUREMENT_BASELINE',
  'MEASUREMENT_MODE',
  'ROLLBACK_MINIMUM',
  'ROLLBACK_RELEASE',
  'ROLLBACK_COUNTER',
  'ROLLBACK_SVN',
  'DPU_RELAYED',
  // Only with the card behind it: who has it answer for their key and is not its agent.
  'DPU_OWN_KEY',
  'DPU_TPM_KEY',
]);

/**
 * What else the BMC that the inventory names may answer that speaks against its card: here it is not a
 * stranger who shows it. Another TLS key is not among them, as somebody on the wire shows one and a BMC
 * after an update; nor is a component that is not there, as with a BMC that still starts. Both prove
 * nothing, and the grace runs.
 */
const ANSWERS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'DPU_KEY_UNKNOWN',
  'DEVICE_REVOKED',
  'DEVICE_ROOT',
  'DEVICE_CLASS',
  'DEVICE_FWID_KEY',
  'DEVICE_FLAGS',
]);

/** What the server itself lacks: no card is put out because of a wrong password or an expired list. */
const OWN_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'REDFISH_SETTINGS',
  'REDFISH_UNAUTHENTICATED',
  'REDFISH_FORBIDDEN',
  'REDFISH_QUEUE_FULL',
  'FILE_UNREADABLE',
  'DPU_BMC_UNKNOWN',
  'DPU_KEY_MISSING',
  'DPU_MANIFEST_ABSENT',
  'DPU_NOT_FOUND',
  'MANIFEST_EXPIRED',
  'MANIFEST_TARGET',
  'MEASUREMENT_NO_BASELINE',
  'DEVICE_REVOCATION_UNKNOWN',
  'PATH_EXPIRED',
  'PATH_NOT_YET_VALID',
  'INTERNAL',
]);

/** Whether a code is what verified evidence says against its card. */
export function isFinding(code: ErrorCode): boolean {
  return FINDINGS.has(code);
}

/**
 * What a look of the server's own that failed means. `against`: the card is put out, there is no grace.
 * `own`: nothing is known of the card, and the server is at fault. `silence`: the BMC gave no proof,
 * and the grace runs; whatever is not known here is that.
 */
export function lookVerdict({ code }: SignetError): 'against' | 'own' | 'silence' {
  if (FINDINGS.has(code) || ANSWERS.has(code)) return 'against';
  return OWN_FAULTS.has(code) || code.startsWith('STORE_') ? 'own' : 'silence';
}
