import { isPlainText } from '../base/plain-text.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Longest reason or description, in characters. */
export const MAX_CONNECTOR_TEXT = 512;

/** Name of a connector: a DNS label (RFC 1123 §2.1), so that it is one segment of a SPIFFE ID's path. */
const CONNECTOR_ID = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** One line of text for people, trimmed: it stands in audits, lists and terminals. */
export function lineField(field: string, text: string): Result<string> {
  const line = text.trim();
  if (isPlainText(line, MAX_CONNECTOR_TEXT)) return ok(line);
  return fail(
    'FIELD_INVALID',
    `${field}: one line without controls, of at most ${MAX_CONNECTOR_TEXT} characters`,
  );
}

/** The name of a connector. */
export function connectorIdField(field: string, text: string): Result<string> {
  if (CONNECTOR_ID.test(text)) return ok(text);
  return fail(
    'FIELD_INVALID',
    `${field}: lower-case letters, digits and "-", at most 63 characters`,
  );
}
