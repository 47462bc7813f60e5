import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Registry } from '../registry/registry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { MAX_CHAIN_CERTIFICATES, validateX509Svid } from '../spiffe/x509-svid.ts';
import type { ChainValidator } from '../tls/identity.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';

/** What client certificates are judged by. */
export interface ClientValidatorOptions {
  readonly registry: Pick<Registry, 'bundle' | 'trustDomain'>;
  /** Operators by SPIFFE ID; may change while the server runs. */
  readonly adminIds: () => readonly SpiffeId[];
  readonly clock: Clock;
}

/**
 * Judges the certificate that a TCP peer presents, by the bundle of this very moment: without session
 * tickets each connection comes through here (F10). Only SVIDs of the own trust domain, and those of
 * operators by name, have any business on this port.
 */
export function createClientValidator(options: ClientValidatorOptions): ChainValidator {
  const { registry, adminIds, clock } = options;
  return (chainDer) => {
    const chain = parseChain(chainDer);
    if (!chain.ok) return chain;
    const valid = validateX509Svid({
      chain: chain.value,
      bundles: (domain) =>
        domain.name === registry.trustDomain.name ? registry.bundle : undefined,
      atMs: clock.nowMs(),
    });
    if (!valid.ok) return valid;
    const { id } = valid.value;
    const known =
      id.trustDomain.name === registry.trustDomain.name ||
      adminIds().some((admin) => admin.uri === id.uri);
    if (known) return ok({ id, chain: chain.value });
    return fail('CALLER_FOREIGN', `${id.uri} is of another trust domain`);
  };
}

function parseChain(chainDer: readonly Uint8Array[]): Result<readonly Certificate[]> {
  if (chainDer.length > MAX_CHAIN_CERTIFICATES) {
    return fail('X509_SVID_CHAIN', `chain has ${chainDer.length} certificates`);
  }
  const chain: Certificate[] = [];
  for (const der of chainDer) {
    const certificate = parseCertificate(der);
    if (!certificate.ok) return certificate;
    chain.push(certificate.value);
  }
  return ok(chain);
}
