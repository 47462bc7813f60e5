import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';

/** Most labels of a segment, or of what selects segments. */
export const MAX_LABELS = 64;

/** Name of a label: an optional DNS prefix, then 1 to 63 characters, as in Kubernetes. */
const LABEL_KEY =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;

/** What is wrong with labels; undefined where nothing is. */
export function fieldLabelsProblem(labels: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) return `has ${entries.length}; at most ${MAX_LABELS} may be`;
  for (const [key, value] of entries) {
    if (!LABEL_KEY.test(key)) return `${quote(key)} is not the name of a label`;
    if (!LABEL_VALUE.test(value)) return `${quote(value)} is not the value of a label`;
  }
  return undefined;
}

/**
 * What is wrong with a SPIFFE ID in its canonical text, or `…/*` for all below one or all of a trust
 * domain; undefined where nothing is.
 */
export function clientProblem(text: string): string | undefined {
  const isBelow = text.endsWith('/*');
  const above = isBelow ? text.slice(0, -2) : text;
  const id = parseSpiffeId(above);
  if (!id.ok) return `${quote(text)}: ${id.error.message}`;
  // Compared as text with the IDs of certificates, which have one form.
  if (id.value.uri !== above) return `${quote(text)} has to be written ${id.value.uri}`;
  return isBelow || id.value.path !== '' ? undefined : `${quote(text)} has no path`;
}

/** What is wrong with a count; undefined where it is a whole number from 0 to `most`. */
export function integerProblem(value: number, most: number): string | undefined {
  if (Number.isInteger(value) && value >= 0 && value <= most) return undefined;
  return `is ${value}; 0 to ${most} may be`;
}

/** A text of others' in a message: quoted and short. */
export function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
