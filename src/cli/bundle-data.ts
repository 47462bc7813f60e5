import { fail, ok, type Result } from '../base/result.ts';
import type { Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { parseSpiffeBundle } from '../spiffe/bundle-document.ts';
import { formatPemBundle, formatSpiffeBundle, parsePemBundle } from '../spiffe/bundle-format.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { FlagSpec } from './spec.ts';
import { safeLines } from './text.ts';

/** `--format` of commands that read or print bundles. */
export const BUNDLE_FORMAT_FLAG: FlagSpec = {
  name: 'format',
  value: 'form',
  choices: ['pem', 'spiffe'],
  help: 'pem: the CA certificates; spiffe: the whole bundle as a JWK Set; pem unless told',
};

/** Reads a bundle that somebody gives for a trust domain. Fails with CLI_DATA_INVALID. */
export function parseBundle(name: string, bytes: Uint8Array, format: string): Result<WireBundle> {
  const trustDomain = parseTrustDomain(name);
  if (!trustDomain.ok) return invalid(trustDomain.error.message);
  if (format === 'pem') {
    const bundle = parsePemBundle(trustDomain.value, bytes);
    return bundle.ok ? ok(toWireBundle(bundle.value)) : invalid(bundle.error.message);
  }
  if (format !== 'spiffe') return invalid(`the form of the bundle is pem or spiffe, not ${format}`);
  const parsed = parseSpiffeBundle(trustDomain.value, bytes);
  if (!parsed.ok) return invalid(parsed.error.message);
  const [first] = parsed.value.ignored;
  // A person gave it: what would be left out is told, not lost.
  if (first !== undefined) return invalid(`keys[${first.index}]: ${first.reason.message}`);
  return ok(toWireBundle(parsed.value.bundle));
}

function toWireBundle(bundle: Bundle): WireBundle {
  return {
    trustDomain: bundle.trustDomain.name,
    x509Authorities: bundle.x509Authorities.map(({ certificate, tainted }) => ({
      asn1: Buffer.from(certificate.der),
      tainted,
    })),
    jwtAuthorities: bundle.jwtAuthorities.map((authority) => ({
      publicKey: Buffer.from(authority.publicKeySpki),
      keyId: authority.keyId,
      expiresAt: BigInt(authority.expiresAtSeconds),
      tainted: authority.tainted,
    })),
    refreshHint: BigInt(bundle.refreshHintSeconds),
    sequenceNumber: bundle.sequence,
    witAuthorities: [],
  };
}

/** A bundle for people. */
export function printBundle(bundle: Bundle, format: string | undefined): Result<string> {
  if (format !== 'spiffe') return ok(formatPemBundle(bundle));
  const document = formatSpiffeBundle(bundle);
  if (!document.ok) return document;
  return ok(`${safeLines(Buffer.from(document.value).toString('utf8'))}\n`);
}

function invalid(problem: string): Result<never> {
  return fail('CLI_DATA_INVALID', `the bundle: ${problem}`);
}
