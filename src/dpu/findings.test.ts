import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS, type ErrorCode, SignetError } from '../base/errors.ts';
import { isFinding, lookVerdict } from './findings.ts';

// Its keys are the codes: the type of the table says so.
const CODES = Object.keys(ERRORS) as ErrorCode[];
const verdict = (code: ErrorCode) => lookVerdict(new SignetError(code, 'test'));

test('whatever measurements say against a card puts it out, but for a baseline that was never taken', () => {
  const measured = CODES.filter((code) => /^(MEASUREMENT|ROLLBACK)_/.test(code));
  assert.ok(measured.length >= 10);
  for (const code of measured) {
    assert.equal(isFinding(code), code !== 'MEASUREMENT_NO_BASELINE', code);
  }
});

test('what only proves nothing is silence, as is what is not known', () => {
  for (const code of [
    'REDFISH_UNREACHABLE',
    'REDFISH_BUSY',
    'SPDM_SIGNATURE',
    'SPDM_NONCE',
  ] as const) {
    assert.equal(verdict(code), 'silence', code);
  }
});

test('a fault of the server is held against no card', () => {
  for (const code of [
    'REDFISH_UNAUTHENTICATED',
    'REDFISH_QUEUE_FULL',
    'MANIFEST_EXPIRED',
    'DEVICE_REVOCATION_UNKNOWN',
    'PATH_NOT_YET_VALID',
    'STORE_UNAVAILABLE',
  ] as const) {
    assert.equal(verdict(code), 'own', code);
  }
});

test('what the BMC of the inventory answers for another card puts the card out', () => {
  for (const code of ['DPU_KEY_UNKNOWN', 'DEVICE_REVOKED', 'DEVICE_CLASS'] as const) {
    assert.equal(verdict(code), 'against', code);
    assert.ok(!isFinding(code), `${code}: a stranger could show it`);
  }
});

test('what anybody on the wire or a BMC that still starts could answer proves nothing: the grace runs', () => {
  for (const code of [
    'REDFISH_PIN_MISMATCH',
    'REDFISH_TARGET_UNKNOWN',
    'REDFISH_TARGET_UNUSABLE',
    'REDFISH_NO_ATTESTATION',
  ] as const) {
    assert.equal(verdict(code), 'silence', code);
  }
});
