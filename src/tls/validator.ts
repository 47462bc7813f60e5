import type { Clock } from '../base/clock.ts';
import { fail, ok } from '../base/result.ts';
import type { BundleSource } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { MAX_CHAIN_CERTIFICATES, validateX509Svid } from '../spiffe/x509-svid.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';
import type { ChainValidator } from './identity.ts';

/** What a peer's chain is judged by. */
export interface SvidValidatorOptions {
  /** Today's bundles; asked at every connection. */
  readonly bundles: BundleSource;
  readonly clock: Clock;
  /** Whose SVIDs may connect at all; everyone's whom a bundle vouches for when absent. */
  readonly accepts?: (id: SpiffeId) => boolean;
}

/** Judges peers' chains by X509-SVID §5 against today's bundles. */
export function createSvidValidator(options: SvidValidatorOptions): ChainValidator {
  const { bundles, clock, accepts = () => true } = options;
  return (chainDer) => {
    if (chainDer.length > MAX_CHAIN_CERTIFICATES) {
      return fail('X509_SVID_CHAIN', `chain has ${chainDer.length} certificates`);
    }
    const chain: Certificate[] = [];
    for (const der of chainDer) {
      const certificate = parseCertificate(der);
      if (!certificate.ok) return certificate;
      chain.push(certificate.value);
    }
    const valid = validateX509Svid({ chain, bundles, atMs: clock.nowMs() });
    if (!valid.ok) return valid;
    const { id } = valid.value;
    if (!accepts(id)) return fail('CLIENT_CERTIFICATE_REFUSED', `${id.uri} may not connect here`);
    return ok({ id, chain });
  };
}
