import { fail, ok, type Result } from '../../base/result.ts';
import type { Bundle, BundleJwtAuthority, BundleX509Authority } from '../../spiffe/bundle.ts';
import type { JwsAlgorithm } from '../../spiffe/jws.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { type BundleRow, bundleChecksum } from './rows.ts';

/** Authorities at rest; bytes are base64. */
interface BundleBody {
  readonly x509: readonly { readonly der: string; readonly tainted: boolean }[];
  readonly jwt: readonly {
    readonly keyId: string;
    readonly spki: string;
    readonly expiresAt: number;
    readonly tainted: boolean;
    /** Where its publisher restricts it to one algorithm. */
    readonly alg?: JwsAlgorithm;
  }[];
}

/** Encodes the authorities of a bundle. */
export function encodeBundle(bundle: Bundle): { refreshHint: number; body: string } {
  const body: BundleBody = {
    x509: bundle.x509Authorities.map(({ certificate, tainted }) => ({
      der: Buffer.from(certificate.der).toString('base64'),
      tainted,
    })),
    jwt: bundle.jwtAuthorities.map((authority) => ({
      keyId: authority.keyId,
      spki: Buffer.from(authority.publicKeySpki).toString('base64'),
      expiresAt: authority.expiresAtSeconds,
      tainted: authority.tainted,
      ...(authority.algorithm === undefined ? {} : { alg: authority.algorithm }),
    })),
  };
  return { refreshHint: bundle.refreshHintSeconds, body: JSON.stringify(body) };
}

/** Decodes a row, its certificates parsed; one that is damaged is refused as a whole. */
export function decodeBundle(row: BundleRow, trustDomain: TrustDomain): Result<Bundle> {
  if (row.checksum !== bundleChecksum(row)) {
    return fail('STORE_CORRUPT', 'the bundle is damaged: checksum differs');
  }
  const authorities = decodeAuthorities(row.body);
  if (!authorities.ok) return authorities;
  const { sequence, refreshHint } = row;
  return ok({
    trustDomain,
    ...authorities.value,
    sequence: BigInt(sequence),
    refreshHintSeconds: refreshHint,
  });
}

/** Decodes the authorities of a row whose checksum was right: this program wrote it, in this shape. */
export function decodeAuthorities(
  text: string,
): Result<Pick<Bundle, 'x509Authorities' | 'jwtAuthorities'>> {
  const body = JSON.parse(text) as BundleBody;
  const x509Authorities: BundleX509Authority[] = [];
  for (const { der, tainted } of body.x509) {
    const certificate = parseCertificate(Buffer.from(der, 'base64'));
    if (!certificate.ok) {
      return fail('STORE_CORRUPT', 'the bundle is damaged: a certificate cannot be read', {
        cause: certificate.error,
      });
    }
    x509Authorities.push({ certificate: certificate.value, tainted });
  }
  return ok({ x509Authorities, jwtAuthorities: body.jwt.map(decodeJwtAuthority) });
}

function decodeJwtAuthority(jwt: BundleBody['jwt'][number]): BundleJwtAuthority {
  return {
    keyId: jwt.keyId,
    publicKeySpki: new Uint8Array(Buffer.from(jwt.spki, 'base64')),
    expiresAtSeconds: jwt.expiresAt,
    tainted: jwt.tainted,
    ...(jwt.alg === undefined ? {} : { algorithm: jwt.alg }),
  };
}
