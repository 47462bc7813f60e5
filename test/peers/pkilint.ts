import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../support/processes.ts';
import { alone, build, buildDir, has } from './build.ts';

/** One finding of pkilint. */
export interface Finding {
  readonly kind: 'leaf' | 'ca';
  readonly code: string;
  readonly severity: string;
  readonly message: string;
  /** The first certificate that has it, and where. */
  readonly first: string;
}

/** What pkilint says of certificates. */
export interface PkilintReport {
  readonly certificates: number;
  /** Certificates that were judged together with their issuer. */
  readonly pairs: number;
  readonly findings: readonly Finding[];
}

/** A finding that is not a fault, and why. */
export interface Waiver {
  readonly kind: Finding['kind'];
  readonly code: string;
  /** All that the message may say. */
  readonly only: RegExp;
  readonly reason: string;
}

/** Everything that pkilint may say of our certificates; each was looked at. */
export const PKILINT_WAIVERS: readonly Waiver[] = [
  {
    kind: 'leaf',
    code: 'pkix.key_usage_value_prohibited_for_ec',
    only: /: keyEncipherment$/,
    reason:
      'RFC 8813 §3 forbids keyEncipherment for EC keys. SPIRE sets it whatever the key, X509-10 allows ' +
      'it, and the profile is SPIRE’s byte for byte; no cipher suite of TLS uses it with such a key.',
  },
  {
    kind: 'leaf',
    code: 'pkix.key_usage_value_prohibited_for_rsa',
    only: /: keyAgreement$/,
    reason: 'RFC 3279 §2.3.1 has no keyAgreement for RSA keys; the same profile of SPIRE.',
  },
  {
    kind: 'leaf',
    code: 'pkix.invalid_uri_syntax',
    only: /: "spiffe:\/\/example\.org\/[\w./-]+"$/,
    reason: 'Its check of URIs knows a fixed list of schemes, without spiffe; RFC 3986 has none.',
  },
  {
    kind: 'ca',
    code: 'pkix.invalid_uri_syntax',
    only: /: "spiffe:\/\/example\.org"$/,
    reason: 'The same.',
  },
  {
    kind: 'leaf',
    code: 'pkix.invalid_domain_name_syntax',
    only: /: "([^."]+|[^"]+\.[a-z0-9]|[^"]+[0-9])"$/,
    reason:
      'Its check wants two labels and the last to be a top-level domain: longer than a letter and ' +
      'ending in one. Names inside a cluster are often one label; RFC 1034 §3.5 with RFC 1123 §2.1 allows all.',
  },
  {
    kind: 'leaf',
    code: 'pkix.subject_key_identifier_method_1_identified',
    only: /^$/,
    reason: 'Says how the identifier was made (SHA-1 of the key, RFC 5280 §4.2.1.2); no finding.',
  },
  {
    kind: 'ca',
    code: 'pkix.subject_key_identifier_method_1_identified',
    only: /^$/,
    reason: 'The same.',
  },
];

/** Installs pkilint where it is not installed yet; says why when it cannot. */
export function preparePkilint(): Promise<string | undefined> {
  return alone(install);
}

async function install(): Promise<string | undefined> {
  const dir = buildDir('pkilint');
  if (existsSync(join(dir, 'ready'))) return undefined;
  if (!(await has('python3'))) return 'python3 is not installed';
  const built = await build([
    ['python3', ['-m', 'venv', dir], '.'],
    [join(dir, 'bin/pip'), ['install', '-q', '-r', 'test/peers/pkilint/requirements.txt'], '.'],
    ['touch', [join(dir, 'ready')], '.'],
  ]);
  return built.missing;
}

/** Lints every certificate of two PEM files, in one process. */
export async function pkilint(leaves: string, authorities: string): Promise<PkilintReport> {
  const python = join(buildDir('pkilint'), 'bin/python');
  const told = await run(python, ['test/peers/pkilint/lint.py', leaves, authorities]);
  assert.equal(told.code, 0, told.stderr.slice(-2000));
  return JSON.parse(told.stdout) as PkilintReport;
}
