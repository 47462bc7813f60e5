import type { AuthoritySource, X509Authority } from '../authority/authority.ts';
import {
  DEFAULT_CA_SUBJECT,
  type RecordCa,
  signDownstreamCa,
} from '../authority/x509-certificate.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { CaGrant } from '../policy/grant.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { type BlockedKeys, PUBLISHED_BLOCKED_KEYS } from '../x509/blocked-keys.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import { parseCsr } from '../x509/csr.ts';
import { drawSerial } from '../x509/serial.ts';
import type { PublicKey } from '../x509/types.ts';
import { provenKey } from './csr-key.ts';

/** What CAs for servers below stand on. */
export interface DownstreamCaOptions {
  readonly trustDomain: TrustDomain;
  /** Who signs them: the authority that may have CAs below it, not an issuing CA. */
  readonly authority: AuthoritySource;
  /** Judges a grant again, by the registry of this very moment. */
  readonly recheck: (grant: CaGrant) => Result<void>;
  /** Told before one is signed; nobody unless given. */
  readonly recordCa?: RecordCa | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Longest life, and the usual one. */
  readonly maxTtlSeconds: number;
  readonly backdateSeconds: number;
  /** SPIRE's unless given. */
  readonly subject?: CaSubject;
  /** Keys that nothing is issued for; those that anyone can read unless given. */
  readonly blockedKeys?: BlockedKeys;
}

/** A CA for a server below. */
export interface DownstreamCa {
  /** DER: the new CA first, then those between it and a root (X509-25). */
  readonly chain: readonly Uint8Array[];
  readonly serialDecimal: string;
  readonly notAfterSeconds: number;
}

/** Makes CAs for servers below this one; see {@link issueDownstreamCa}. */
export type DownstreamCaIssuer = (grant: CaGrant, csr: Uint8Array) => Promise<Result<DownstreamCa>>;

/**
 * Signs the CA of a server below: the trust domain's name, whatever else the request says; no longer
 * than the authority lives and configuration allows; one CA less below it than may be below us.
 */
export function createDownstreamCaIssuer(options: DownstreamCaOptions): DownstreamCaIssuer {
  return (grant, csr) => issueDownstreamCa(grant, csr, options);
}

async function issueDownstreamCa(
  grant: CaGrant,
  csr: Uint8Array,
  options: DownstreamCaOptions,
): Promise<Result<DownstreamCa>> {
  // 1. Who asks holds the key, and asks for a CA of this trust domain and of nothing else (G-1, G-3).
  const key = checkRequest(csr, options);
  if (!key.ok) return key;
  const authority = options.authority.currentX509();
  if (!authority.ok) return authority;
  const room = roomBelow(authority.value);
  if (!room.ok) return room;
  // 2. to 4. Body, lint, record, signature, and what was signed is what was linted (I2, I3, I4).
  const signed = await signDownstreamCa(
    authority.value.key,
    {
      trustDomain: options.trustDomain,
      subject: options.subject ?? DEFAULT_CA_SUBJECT,
      serial: drawSerial(options.random),
      ...validity(grant, authority.value, options),
      record: options.recordCa,
      requestedBy: grant.requestedBy,
    },
    {
      spki: key.value.spki,
      issuer: authority.value.certificate,
      nameConstraints: undefined,
      pathLength: room.value,
    },
  );
  if (!signed.ok) return signed;
  const still = options.recheck(grant);
  if (!still.ok) return still;
  // 5. The reply.
  const { der, serialDecimal, notAfterMs } = signed.value;
  const chain = [der, ...authority.value.chain];
  return ok({ chain, serialDecimal, notAfterSeconds: notAfterMs / 1000 });
}

function checkRequest(
  der: Uint8Array,
  { trustDomain, blockedKeys = PUBLISHED_BLOCKED_KEYS }: DownstreamCaOptions,
): Result<PublicKey> {
  if (der.length === 0) return fail('FIELD_MISSING', 'csr is required');
  const csr = parseCsr(der);
  if (!csr.ok) return csr;
  const { requestedUris, requestedDnsNames } = csr.value;
  const named =
    requestedUris.length === 1 &&
    requestedUris[0] === trustDomain.id &&
    requestedDnsNames.length === 0;
  if (!named) {
    return fail('DOWNSTREAM_CSR', `csr must ask for the one name ${trustDomain.id}`);
  }
  return provenKey(csr.value, blockedKeys);
}

/** Path length of a CA below: undefined for any. */
function roomBelow({ certificate }: X509Authority): Result<number | undefined> {
  const room = certificate.basicConstraints?.pathLength;
  if (room === 0) {
    return fail('DOWNSTREAM_PATH_LENGTH', 'the path length of the authority here is 0');
  }
  return ok(room === undefined ? undefined : room - 1);
}

function validity(
  { ttlSeconds }: CaGrant,
  { certificate, notAfterMs }: X509Authority,
  { clock, maxTtlSeconds, backdateSeconds }: DownstreamCaOptions,
) {
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const lifeSeconds = Math.min(ttlSeconds === 0 ? maxTtlSeconds : ttlSeconds, maxTtlSeconds);
  return {
    notBeforeSeconds: Math.max(nowSeconds - backdateSeconds, certificate.notBeforeMs / 1000),
    notAfterSeconds: Math.min(nowSeconds + lifeSeconds, notAfterMs / 1000),
  };
}
