import { hash, type X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { BmcTrust } from './place.ts';
import { TlsAgent } from './tls-agent.ts';

/** The certificate that something at an address shows, for a person to compare before it is pinned. */
export interface ShownCertificate {
  readonly der: Uint8Array;
  /** SHA-256 of the DER, hex. */
  readonly sha256: string;
  /** SHA-256 of the SubjectPublicKeyInfo DER, hex: the pin of an inventory record. */
  readonly spkiSha256: string;
  /** As it stands there; whoever answers chose it. */
  readonly subject: string;
  /** Unix seconds. */
  readonly notAfterSeconds: number;
}

/** Where a certificate is looked at. */
export interface ShownAt {
  /** As `parseBmcOrigin` gives it. */
  readonly origin: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** By what it has to be recognised; without, whatever is shown is told. */
  readonly trust?: BmcTrust | undefined;
}

/**
 * Looks at the certificate of a BMC whose pin is not known yet. Nothing is sent over the connection but
 * the handshake, which proves that the other side holds the key; whose BMC it is, a person has to know.
 * Fails with REDFISH_UNREACHABLE or REDFISH_TIMEOUT, and with trust as connections do.
 */
export async function readShownCertificate(at: ShownAt): Promise<Result<ShownCertificate>> {
  const { origin, clock, timeoutMs } = at;
  // Else a pin that nothing has, so that the connection is of no use to anybody.
  const trust = at.trust ?? ({ kind: 'certificate', sha256: [] } as const);
  const agent = new TlsAgent({ place: { origin, trust }, clock, connectTimeoutMs: timeoutMs });
  try {
    const shown = await agent.shown({ unpinned: at.trust === undefined });
    return shown.ok ? describe(shown.value) : shown;
  } finally {
    agent.destroy();
  }
}

function describe(certificate: X509Certificate): Result<ShownCertificate> {
  try {
    const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
    return ok({
      der: certificate.raw,
      sha256: hash('sha256', certificate.raw, 'hex'),
      spkiSha256: hash('sha256', spki, 'hex'),
      subject: certificate.subject.replaceAll('\n', ', '),
      notAfterSeconds: Math.floor(certificate.validToDate.getTime() / 1000),
    });
  } catch (cause) {
    return fail('REDFISH_UNREACHABLE', 'the BMC shows a certificate without a usable key', {
      cause,
    });
  }
}
