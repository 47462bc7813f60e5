import { toHex } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Registry } from '../../registry/registry.ts';
import { type SpiffeId, spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import { validateX509Svid } from '../../spiffe/x509-svid.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { commonNameOf } from '../../x509/common-name.ts';
import { validatePath } from '../../x509/path.ts';
import type { Certificate } from '../../x509/types.ts';
import type { AttestedNode, NodeAttestor } from '../attestor.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { inOneRound, provenNode } from '../one-round.ts';
import type { PathTemplate } from '../path-template.ts';
import {
  decodeX509PopPayload,
  decodeX509PopResponse,
  encodeX509PopChallenge,
  MAX_X509POP_BYTES,
  MAX_X509POP_CERTIFICATES,
  X509POP_NONCE_BYTES,
  X509POP_TYPE,
} from './payload.ts';
import { proofKindOf, verifyProof } from './proof.ts';

const LIMITS = {
  payloadBytes: MAX_X509POP_BYTES,
  responseBytes: 8 * 1024,
  challenges: 1,
  responseMs: 10_000,
  totalMs: 10_000,
} as const;

/** Values that a template of an agent's path may fill in; SPIRE's names. */
export const X509POP_VALUES = [
  'PluginName',
  'TrustDomain',
  'Fingerprint',
  'SerialNumberHex',
  'Subject.CommonName',
  'SVIDPathTrimmed',
] as const;

/** Which certificates are good. */
export type X509PopTrust =
  /** Those below these roots. */
  | { readonly mode: 'external_pki'; readonly roots: readonly Certificate[] }
  /** X.509-SVIDs of the own trust domain whose paths begin so. */
  | { readonly mode: 'spiffe'; readonly svidPrefix: string };

/** What the attestor needs. */
export interface X509PopParts {
  readonly trust: X509PopTrust;
  readonly template: PathTemplate;
  readonly registry: Pick<Registry, 'trustDomain' | 'bundle' | 'revocation'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly random: Random;
}

/** A chain that holds. */
interface Judged {
  readonly leaf: Certificate;
  /** From the leaf to the root. */
  readonly path: readonly Certificate[];
  /** Path of the SVID without its prefix; only in the mode `spiffe`. */
  readonly svidPath: string | undefined;
}

/**
 * Proof of possession of a certificate's key, SPIRE's `x509pop`: a chain to a pinned root, then a
 * signature over a nonce of each side. It shows who holds the key, not where the key is.
 */
export function createX509PopAttestor(parts: X509PopParts): NodeAttestor {
  return {
    type: X509POP_TYPE,
    limits: LIMITS,
    attest: inOneRound(async ({ payload }) => {
      const judged = judge(payload, parts);
      if (!judged.ok) return judged;
      const { publicKey } = judged.value.leaf;
      const kind = proofKindOf(publicKey);
      if (!kind.ok) return kind;
      const nonce = parts.random.bytes(X509POP_NONCE_BYTES);
      return ok({
        bytes: encodeX509PopChallenge({ kind: kind.value, nonce }),
        judge(answer) {
          const response = decodeX509PopResponse(answer);
          if (!response.ok) return response;
          const proven = verifyProof(publicKey, nonce, response.value);
          return proven.ok ? nodeOf(judged.value, parts) : proven;
        },
      });
    }),
  };
}

function judge(payload: Uint8Array, parts: X509PopParts): Result<Judged> {
  const shown = decodeX509PopPayload(payload);
  if (!shown.ok) return shown;
  const chain: Certificate[] = [];
  for (const der of shown.value) {
    const certificate = parseCertificate(der);
    if (!certificate.ok) return certificate;
    chain.push(certificate.value);
  }
  const judged =
    parts.trust.mode === 'spiffe'
      ? judgeSvid(chain, parts, parts.trust)
      : judgeChain(chain, parts, parts.trust);
  if (!judged.ok) return judged;
  const { leaf } = judged.value;
  if (leaf.keyUsage?.digitalSignature !== true || leaf.basicConstraints?.ca === true) {
    return fail(
      'X509POP_LEAF',
      'the leaf is a CA, or its key usage does not allow digitalSignature',
    );
  }
  return judged;
}

function judgeChain(
  chain: readonly Certificate[],
  { clock }: X509PopParts,
  { roots }: Extract<X509PopTrust, { mode: 'external_pki' }>,
): Result<Judged> {
  const path = validatePath({
    chain,
    roots,
    atMs: clock.nowMs(),
    maxIntermediates: MAX_X509POP_CERTIFICATES - 1,
  });
  if (!path.ok) return path;
  return ok({ leaf: path.value.leaf, path: path.value.path, svidPath: undefined });
}

function judgeSvid(
  chain: readonly Certificate[],
  { registry, clock }: X509PopParts,
  { svidPrefix }: Extract<X509PopTrust, { mode: 'spiffe' }>,
): Result<Judged> {
  const svid = validateX509Svid({
    chain,
    atMs: clock.nowMs(),
    bundles: ({ name }) => (name === registry.trustDomain.name ? registry.bundle : undefined),
  });
  if (!svid.ok) return svid;
  const { id, leaf, path } = svid.value;
  if (registry.revocation(leaf.serialDecimal) !== undefined) {
    return fail('X509POP_LEAF', `${id.uri}: the SVID was revoked`);
  }
  if (!id.path.startsWith(svidPrefix) || id.path.length === svidPrefix.length) {
    return fail('X509POP_LEAF', `${id.uri} does not begin with ${svidPrefix}`);
  }
  return ok({ leaf, path, svidPath: id.path.slice(svidPrefix.length) });
}

function nodeOf(judged: Judged, { template, registry }: X509PopParts): Result<AttestedNode> {
  const { leaf, path, svidPath } = judged;
  const commonName = commonNameOf(leaf.subjectDer);
  const values = new Map<(typeof X509POP_VALUES)[number], string | undefined>([
    ['PluginName', X509POP_TYPE],
    ['TrustDomain', registry.trustDomain.name],
    ['Fingerprint', fingerprintOf(leaf)],
    ['SerialNumberHex', serialOf(leaf)],
    // A slash would let the certificate choose where in the tree of agents it stands.
    ['Subject.CommonName', commonName?.includes('/') === true ? undefined : commonName],
    ['SVIDPathTrimmed', svidPath],
  ]);
  const agentId = agentIdOf(template.render(values), registry);
  if (!agentId.ok) return agentId;
  return provenNode(X509POP_TYPE, {
    agentId: agentId.value,
    texts: selectorTexts(leaf, path, commonName, registry.trustDomain.name),
    assurance: { binding: 'key', zone: undefined, release: undefined },
  });
}

function agentIdOf(
  path: Result<string>,
  { trustDomain }: X509PopParts['registry'],
): Result<SpiffeId> {
  if (!path.ok) return path;
  const id = spiffeIdFromPath(trustDomain, `/spire/agent/${path.value}`);
  return id.ok ? id : fail('ATTESTATION_ID', `agent ID: ${id.error.message}`);
}

/** Lower-case hexadecimal, as SPIRE writes it: whole bytes, without the sign's. */
function serialOf({ serial }: Certificate): string {
  return toHex(serial[0] === 0 && serial.length > 1 ? serial.subarray(1) : serial);
}

function selectorTexts(
  leaf: Certificate,
  path: readonly Certificate[],
  commonName: string | undefined,
  trustDomain: string,
): readonly string[] {
  return [
    ...(commonName === undefined || commonName === '' ? [] : [`subject:cn:${commonName}`]),
    ...path.slice(1).map((issuer) => `ca:fingerprint:${fingerprintOf(issuer)}`),
    `serialnumber:${serialOf(leaf)}`,
    ...sanValues(leaf, trustDomain),
  ];
}

/** What URIs of the form `x509pop://<trust domain>/<key>:<value>` say, or with a slash for the colon. */
function sanValues(leaf: Certificate, trustDomain: string): string[] {
  const prefix = `x509pop://${trustDomain}/`;
  const values: string[] = [];
  for (const name of leaf.subjectAltName?.names ?? []) {
    if (name.kind !== 'uri' || !name.text.startsWith(prefix)) continue;
    const [, key, value] = /^([^/:]+)[/:](.+)$/.exec(name.text.slice(prefix.length)) ?? [];
    if (key !== undefined && value !== undefined) values.push(`san:${key}:${value}`);
  }
  return values;
}
