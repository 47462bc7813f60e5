import type { Metadata } from '@grpc/grpc-js';
import { fail, ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import type { IstioCertificateRequest } from '../gen/istio/v1/auth/ca.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { hasAttribute } from '../x509/common-name.ts';
import { parseCsr } from '../x509/csr.ts';
import { OID } from '../x509/oids.ts';
import { inField } from './convert/ids.ts';

/** A mesh client's request, its form checked. */
export interface MeshRequest {
  readonly token: string;
  /** What it calls its cluster; empty where it does not say. */
  readonly clusterId: string;
  /** PKCS#10 DER. */
  readonly csr: Uint8Array;
  /** Its one name. */
  readonly spiffeId: SpiffeId;
  readonly impersonates: boolean;
  readonly maxLifeSeconds: number | undefined;
}

/** Longest request in PEM, in bytes; one for an RSA key of 4096 bits has 1.7 KB. */
const MAX_CSR_BYTES = 16 * 1024;

/** Least life that may be asked for: below, backdating leaves next to nothing. */
const MIN_LIFE_SECONDS = 300n;

/** Longer than anything is issued for. */
const MAX_LIFE_SECONDS = 2n ** 31n - 1n;

/** The field of the metadata by which the proxy of a node names the workload that it asks for. */
const IMPERSONATED = 'ImpersonatedIdentity';

/**
 * Reads what a mesh client asks for. Fails with ISTIO_TOKEN, ISTIO_CSR, FIELD_INVALID, and what requests
 * for certificates are refused with.
 */
export function readMeshRequest(
  request: IstioCertificateRequest,
  metadata: Metadata,
): Result<MeshRequest> {
  const token = bearerToken(metadata);
  if (!token.ok) return token;
  const life = lifeOf(request.validityDuration);
  if (!life.ok) return life;
  const csr = readCsr(request.csr);
  if (!csr.ok) return csr;
  const impersonates = isForOther(request, csr.value.spiffeId);
  if (!impersonates.ok) return impersonates;
  return ok({
    ...csr.value,
    token: token.value,
    clusterId: oneText(metadata, 'clusterid') ?? '',
    impersonates: impersonates.value,
    maxLifeSeconds: life.value,
  });
}

/** RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1). */
function bearerToken(metadata: Metadata): Result<string> {
  const [, token] = /^Bearer +(\S+)$/i.exec(oneText(metadata, 'authorization') ?? '') ?? [];
  return token === undefined
    ? fail('ISTIO_TOKEN', 'the call has no "authorization: Bearer <token>"')
    : ok(token);
}

/** Of several it is anybody's guess which one is meant. */
function oneText(metadata: Metadata, key: string): string | undefined {
  const [value, ...others] = metadata.get(key);
  return typeof value === 'string' && others.length === 0 ? value : undefined;
}

function lifeOf(seconds: bigint): Result<number | undefined> {
  // Istio's own server takes it so.
  if (seconds <= 0n || seconds > MAX_LIFE_SECONDS) return ok(undefined);
  if (seconds >= MIN_LIFE_SECONDS) return ok(Number(seconds));
  return fail('FIELD_INVALID', `validity_duration: ${seconds} s; at least ${MIN_LIFE_SECONDS}`);
}

function readCsr(pem: string): Result<Pick<MeshRequest, 'csr' | 'spiffeId'>> {
  const blocks = parsePem(pem, { maxBytes: MAX_CSR_BYTES, maxBlocks: 1 });
  if (!blocks.ok) return inField(blocks.error, 'csr');
  const [block] = blocks.value;
  // OpenSSL wrote NEW before it for a long time.
  if (block === undefined || !/^(NEW )?CERTIFICATE REQUEST$/.test(block.label)) {
    return fail('ISTIO_CSR', 'csr is no certificate request in PEM');
  }
  const parsed = parseCsr(block.der);
  if (!parsed.ok) return inField(parsed.error, 'csr');
  const { requestedNames, subjectDer } = parsed.value;
  const [name, ...others] = requestedNames;
  if (name?.kind !== 'uri' || others.length > 0) {
    return fail('ISTIO_CSR', 'csr must have one URI, the identity of the workload, and no more');
  }
  if (hasAttribute(subjectDer, [OID.commonName, OID.emailAddress])) {
    return fail('ISTIO_CSR', 'csr must have neither a common name nor an e-mail address');
  }
  const spiffeId = parseSpiffeId(name.text);
  if (!spiffeId.ok) return inField(spiffeId.error, 'csr');
  return ok({ csr: block.der, spiffeId: spiffeId.value });
}

/** Whether it is for a workload that the metadata name; it has to be the one of the request. */
function isForOther({ metadata }: IstioCertificateRequest, { uri }: SpiffeId): Result<boolean> {
  const named = (metadata?.fields ?? []).filter(({ key }) => key === IMPERSONATED);
  const [first, ...others] = named;
  if (first === undefined) return ok(false);
  if (others.length === 0 && first.value?.stringValue === uri) return ok(true);
  return fail('ISTIO_CSR', `${IMPERSONATED} must be the URI of csr`);
}
