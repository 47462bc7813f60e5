import { isPlainText } from '../base/plain-text.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { DpuDraft, DpuFacts, DpuHost } from '../rules/dpu.ts';

/** Longest text of an operator: reasons, names of racks and tenants. */
export const MAX_REASON_CHARACTERS = 512;

/**
 * A board serial number. Controllers pad it with spaces, which are cut off. Fails with DPU_INVALID.
 */
export function parseSerial(text: string): Result<string> {
  const serial = text.trim();
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(serial)) return ok(serial);
  return fail('DPU_INVALID', `"${shown(text)}" is no serial number`);
}

/** A MAC address in lower case with colons; empty stays so. Fails with DPU_INVALID. */
export function parseMac(text: string): Result<string> {
  const digits = text.trim().toLowerCase().replaceAll(/[:-]/g, '');
  if (digits === '') return ok('');
  if (!/^[0-9a-f]{12}$/.test(digits)) return fail('DPU_INVALID', `"${shown(text)}" is no MAC`);
  return ok((digits.match(/../g) ?? []).join(':'));
}

/** A UUID in lower case; empty stays so. Fails with DPU_INVALID. */
export function parseUuid(text: string): Result<string> {
  const uuid = text.trim().toLowerCase();
  const known = uuid === '' || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid);
  return known ? ok(uuid) : fail('DPU_INVALID', `"${shown(text)}" is no UUID`);
}

/** SHA-256 in lower-case hexadecimal; `sha256:` in front and colons between are let go. Fails with DPU_INVALID. */
export function parseSha256(text: string): Result<string> {
  const digits = text
    .trim()
    .toLowerCase()
    .replace(/^sha256:/, '')
    .replaceAll(':', '');
  if (/^[0-9a-f]{64}$/.test(digits)) return ok(digits);
  return fail('DPU_INVALID', `"${shown(text)}" is no SHA-256 in hexadecimal`);
}

/** One line of text without controls, trimmed. Fails with DPU_INVALID. */
export function parseName(text: string, most = 128): Result<string> {
  const name = text.trim();
  if (isPlainText(name, most)) return ok(name);
  return fail('DPU_INVALID', `"${shown(text)}" is longer than ${most} characters, or has controls`);
}

/** Why an operator acts: required. Fails with DPU_INVALID. */
export function parseReason(text: string): Result<string> {
  const reason = parseName(text, MAX_REASON_CHARACTERS);
  if (!reason.ok || reason.value !== '') return reason;
  return fail('DPU_INVALID', 'a reason is required');
}

/** Nothing known of a host. */
export const NO_HOST: DpuHost = { serial: '', uuid: '', pf0Mac: '' };

/** A DPU that was not in the inventory before: to be commissioned. */
export function newDpu(serial: string, facts: DpuFacts, nowSeconds: number): DpuDraft {
  return {
    ...facts,
    serial,
    state: 'enrolling',
    reason: 'imported',
    stateSinceSeconds: nowSeconds,
    mustAttest: false,
    deviceIds: [],
    baseline: [],
    baselineWindowEndsSeconds: 0,
    accepted: [],
    counters: [],
    securityVersions: [],
    pairing: undefined,
    assessment: undefined,
    unreachableSinceSeconds: 0,
    joinSecretHash: '',
    ownKeySha256: '',
    ekSha256: '',
    lastFull: undefined,
    createdAtSeconds: nowSeconds,
    updatedAtSeconds: nowSeconds,
    commissionedAtSeconds: 0,
    attestedAtSeconds: 0,
  };
}

function shown(text: string): string {
  return text.slice(0, 60);
}
