import { fail, ok, type Result } from '../../base/result.ts';
import { parsePem } from '../../der/pem.ts';
import { checkDnsNames } from '../../rules/dns-name.ts';
import { isMemberOf, parseSpiffeId, type SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { parseCsr } from '../../x509/csr.ts';
import type { CertificateRequest } from '../../x509/types.ts';
import type { SigningRequest } from './request.ts';

/** What a request asks for. */
export interface Wanted {
  /** PKCS#10 DER, for its key. */
  readonly csr: Uint8Array;
  readonly spiffeId: SpiffeId;
  readonly dnsNames: readonly string[];
  /** Most seconds between the two dates; undefined where nothing is said. */
  readonly maxLifeSeconds: number | undefined;
}

/** Least life: notBefore lies a minute back, and clocks differ. */
const MIN_LIFE_SECONDS = 600;

/** Key usages that X.509-SVIDs have (X509-11, X509-12), as cert-manager and Kubernetes call them. */
const USAGES: ReadonlySet<string> = new Set([
  'signing',
  'digital signature',
  'key encipherment',
  'key agreement',
  'server auth',
  'client auth',
]);

/**
 * Reads what a request asks for, all of which is compared with what is granted; its signature is checked
 * when it is signed for. Fails with ISSUER_REQUEST, ISSUER_NAMES, ISSUER_CA, ISSUER_USAGE, ISSUER_LIFE,
 * DNS_*.
 */
export function readWanted(request: SigningRequest, trustDomain: TrustDomain): Result<Wanted> {
  const { isCa, usages, lifeSeconds } = request;
  if (isCa || usages.some((usage) => usage === 'cert sign' || usage === 'crl sign')) {
    return fail('ISSUER_CA', 'it asks for a CA');
  }
  const odd = usages.find((usage) => !USAGES.has(usage));
  if (odd !== undefined) {
    return fail('ISSUER_USAGE', `usage ${JSON.stringify(odd.slice(0, 80))} is not had`);
  }
  if (lifeSeconds !== undefined && !(lifeSeconds >= MIN_LIFE_SECONDS)) {
    return fail('ISSUER_LIFE', `it asks for ${lifeSeconds} s`);
  }
  const csr = readRequest(request.request);
  if (!csr.ok) return csr;
  const spiffeId = readId(csr.value, trustDomain);
  if (!spiffeId.ok) return spiffeId;
  // Also bounds their number before each is compared with what is granted.
  const dnsNames = checkDnsNames(csr.value.requestedDnsNames);
  if (!dnsNames.ok) return dnsNames;
  return ok({
    csr: csr.value.der,
    spiffeId: spiffeId.value,
    dnsNames: dnsNames.value,
    maxLifeSeconds: lifeSeconds === undefined ? undefined : Math.floor(lifeSeconds),
  });
}

function readRequest(text: string | undefined): Result<CertificateRequest> {
  if (text === undefined) return fail('ISSUER_REQUEST', 'it is too long');
  const blocks = parsePem(Buffer.from(text, 'base64'), { maxBlocks: 1 });
  if (!blocks.ok) return fail('ISSUER_REQUEST', blocks.error.message);
  const [block] = blocks.value;
  // OpenSSL once wrote the second.
  const labels = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'];
  if (block === undefined || !labels.includes(block.label)) {
    return fail('ISSUER_REQUEST', 'it holds no PEM block of a certificate request');
  }
  const csr = parseCsr(block.der);
  return csr.ok ? csr : fail('ISSUER_REQUEST', `${csr.error.message} (${csr.error.code})`);
}

function readId(csr: CertificateRequest, trustDomain: TrustDomain): Result<SpiffeId> {
  const { requestedUris, requestedNames } = csr;
  const [uri] = requestedUris;
  if (uri === undefined || requestedUris.length !== 1) {
    return fail('ISSUER_NAMES', `it asks for ${requestedUris.length} URIs`);
  }
  if (requestedNames.some(({ kind }) => kind !== 'uri' && kind !== 'dns')) {
    return fail('ISSUER_NAMES', 'it asks for names that are neither URI nor DNS name');
  }
  const id = parseSpiffeId(uri);
  if (!id.ok)
    return fail('ISSUER_NAMES', `${JSON.stringify(uri.slice(0, 200))}: ${id.error.message}`);
  if (isMemberOf(id.value, trustDomain)) return id;
  return fail('ISSUER_NAMES', `${id.value.uri} is not of trust domain ${trustDomain.name}`);
}
