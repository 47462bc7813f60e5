import { fail, ok, type Result } from '../base/result.ts';

const ACTION = /\{\{-?\s*\.([A-Za-z.]+)\s*-?\}\}/g;

/** A template of an agent's path, checked. */
export interface PathTemplate {
  /** The path below `/spire/agent/`; fails with ATTESTATION_ID where a value does not fit into one. */
  render(values: ReadonlyMap<string, string | undefined>): Result<string>;
}

/**
 * Reads a template of SPIRE's form (`/cn/{{ .Subject.CommonName }}`), as far as it fills in values;
 * functions and conditions are not there. Fails with ATTESTATION_ID.
 *
 * @param names Values that there are, such as `Fingerprint`.
 */
export function parsePathTemplate(text: string, names: readonly string[]): Result<PathTemplate> {
  const used = [...text.matchAll(ACTION)].map(([, name]) => name ?? '');
  const unknown = used.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    return fail(
      'ATTESTATION_ID',
      `template has no value ".${unknown}" (there are ${names.join(', ')})`,
    );
  }
  if (/[{}]/.test(text.replace(ACTION, ''))) {
    return fail('ATTESTATION_ID', 'template has braces that fill in no value');
  }
  if (used.length === 0) return fail('ATTESTATION_ID', 'template gives every agent the same path');
  return ok({ render: (values) => render(text, values) });
}

function render(text: string, values: ReadonlyMap<string, string | undefined>): Result<string> {
  let missing: string | undefined;
  const path = text.replace(ACTION, (_action, name: string) => {
    const value = values.get(name);
    if (value === undefined || value === '') missing = name;
    return value ?? '';
  });
  if (missing === undefined) return ok(path.replace(/^\/+/, ''));
  return fail('ATTESTATION_ID', `the evidence has no ${missing}`);
}
