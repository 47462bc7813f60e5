import { verify } from 'node:crypto';
import { equalBytes } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DeviceRevocation } from '../../dice/device-revocation.ts';
import type { Registry } from '../../registry/registry.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import { type Activation, startActivation } from '../../tpm/activation.ts';
import { TPM_ATTRIBUTE } from '../../tpm/algorithms.ts';
import { type EndorsementTrust, judgeEndorsement } from '../../tpm/endorsement.ts';
import { parseTpmPublic, staysInTpm, type TpmPublic, tpmKeyObject } from '../../tpm/public-area.ts';
import { verifyCertify } from '../../tpm/verify.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { commonNameOf } from '../../x509/common-name.ts';
import { validatePath } from '../../x509/path.ts';
import { toKeyObject } from '../../x509/public-key.ts';
import type { Certificate } from '../../x509/types.ts';
import type { AttestedNode, NodeAttestor } from '../attestor.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { inOneRound, provenNode } from '../one-round.ts';
import {
  DEVID_NONCE_BYTES,
  type DevIdPayload,
  decodeDevIdPayload,
  decodeDevIdResponse,
  encodeDevIdChallenge,
  MAX_DEVID_CERTIFICATES,
  MAX_DEVID_MESSAGE_BYTES,
  TPM_DEVID_TYPE,
} from './payload.ts';

const LIMITS = {
  payloadBytes: MAX_DEVID_MESSAGE_BYTES,
  responseBytes: 8 * 1024,
  challenges: 1,
  responseMs: 60_000,
  totalMs: 60_000,
} as const;

/** What the attestor needs. */
export interface TpmDevIdParts {
  /** Roots of DevID certificates. */
  readonly devIdRoots: readonly Certificate[];
  readonly trust: Pick<EndorsementTrust, 'roots' | 'intermediates'>;
  /** CRLs as they are now. */
  readonly revocation: () => Promise<DeviceRevocation>;
  readonly registry: Pick<Registry, 'trustDomain'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly random: Random;
}

/** What was shown and holds. */
interface Shown {
  readonly leaf: Certificate;
  /** From the leaf to the root. */
  readonly path: readonly Certificate[];
  readonly endorsementKey: TpmPublic;
  readonly attestationKey: TpmPublic;
}

/**
 * SPIRE's `tpm_devid`: a DevID certificate under a pinned root, whose key is in the TPM of an endorsement
 * key that a pinned manufacturer certified. It looks at no registers.
 */
export function createTpmDevIdAttestor(parts: TpmDevIdParts): NodeAttestor {
  return {
    type: TPM_DEVID_TYPE,
    limits: LIMITS,
    attest: inOneRound(async (request) => {
      const shown = judge(request.payload, parts, await parts.revocation());
      if (!shown.ok) return shown;
      const { leaf, endorsementKey, attestationKey } = shown.value;
      const activation = startActivation(endorsementKey, attestationKey, parts.random);
      if (!activation.ok) return activation;
      const nonce = parts.random.bytes(DEVID_NONCE_BYTES);
      return ok({
        bytes: encodeDevIdChallenge({ nonce, ...activation.value.credential }),
        judge(answer) {
          const proven = verifyResponse(answer, { nonce, activation: activation.value, leaf });
          return proven.ok ? nodeOf(shown.value, parts) : proven;
        },
      });
    }),
  };
}

function judge(
  bytes: Uint8Array,
  parts: TpmDevIdParts,
  revocation: DeviceRevocation,
): Result<Shown> {
  const payload = decodeDevIdPayload(bytes);
  if (!payload.ok) return payload;
  const path = judgeCertificates(payload.value.certificates, parts);
  if (!path.ok) return path;
  const [leaf] = path.value;
  if (leaf === undefined) return fail('TPM_DEVID', 'no DevID certificate');
  const keys = readKeys(payload.value);
  if (!keys.ok) return keys;
  const { devIdKey, endorsementKey, attestationKey } = keys.value;
  const own = checkDevIdKey(devIdKey, leaf);
  if (!own.ok) return own;
  const endorsement = judgeEndorsement(endorsementKey, payload.value.ekCertificate, {
    ...parts.trust,
    revocation,
    knownKeys: new Set(),
    atMs: parts.clock.nowMs(),
  });
  if (!endorsement.ok) return endorsement;
  const certified = verifyCertify(payload.value, attestationKey, devIdKey);
  if (!certified.ok) return certified;
  return ok({ leaf, path: path.value, endorsementKey, attestationKey });
}

function judgeCertificates(
  shown: readonly Uint8Array[],
  { devIdRoots, clock }: TpmDevIdParts,
): Result<readonly Certificate[]> {
  const chain: Certificate[] = [];
  for (const der of shown) {
    const certificate = parseCertificate(der);
    if (!certificate.ok) return certificate;
    chain.push(certificate.value);
  }
  const maxIntermediates = MAX_DEVID_CERTIFICATES - 1;
  const path = validatePath({ chain, roots: devIdRoots, atMs: clock.nowMs(), maxIntermediates });
  if (!path.ok) return path;
  if (path.value.leaf.basicConstraints?.ca !== true) return ok(path.value.path);
  return fail('TPM_DEVID', 'the DevID certificate is a CA');
}

interface Keys {
  readonly devIdKey: TpmPublic;
  readonly endorsementKey: TpmPublic;
  readonly attestationKey: TpmPublic;
}

function readKeys({ devIdPublic, ekPublic, akPublic }: DevIdPayload): Result<Keys> {
  const devIdKey = parseTpmPublic(devIdPublic);
  if (!devIdKey.ok) return devIdKey;
  const endorsementKey = parseTpmPublic(ekPublic);
  if (!endorsementKey.ok) return endorsementKey;
  const attestationKey = parseTpmPublic(akPublic);
  if (!attestationKey.ok) return attestationKey;
  return ok({
    devIdKey: devIdKey.value,
    endorsementKey: endorsementKey.value,
    attestationKey: attestationKey.value,
  });
}

/** The key was made in its TPM, stays there and signs, and it is the certificate's. */
function checkDevIdKey(devIdKey: TpmPublic, leaf: Certificate): Result<void> {
  if (!staysInTpm(devIdKey) || (devIdKey.attributes & TPM_ATTRIBUTE.sign) === 0) {
    return fail('TPM_KEY', 'the DevID key may leave its TPM, or does not sign');
  }
  const key = tpmKeyObject(devIdKey);
  if (!key.ok) return key;
  const certified = toKeyObject(leaf.publicKey);
  if (!certified.ok) return certified;
  const spki = { type: 'spki', format: 'der' } as const;
  if (equalBytes(key.value.export(spki), certified.value.export(spki))) return ok(undefined);
  return fail('TPM_DEVID', 'the DevID certificate is for another key');
}

function verifyResponse(
  bytes: Uint8Array,
  expected: {
    readonly nonce: Uint8Array;
    readonly activation: Activation;
    readonly leaf: Certificate;
  },
): Result<void> {
  const response = decodeDevIdResponse(bytes);
  if (!response.ok) return response;
  const { signature, secret } = response.value;
  const key = toKeyObject(expected.leaf.publicKey);
  if (!key.ok) return key;
  if (!verify('sha256', expected.nonce, key.value, signature)) {
    return fail('TPM_DEVID', 'the signature over the nonce does not verify');
  }
  return expected.activation.check(secret);
}

function nodeOf({ leaf, path }: Shown, { registry }: TpmDevIdParts): Result<AttestedNode> {
  const fingerprint = fingerprintOf(leaf);
  const idPath = `/spire/agent/${TPM_DEVID_TYPE}/${fingerprint}`;
  const agentId = spiffeIdFromPath(registry.trustDomain, idPath);
  if (!agentId.ok) return agentId;
  const subject = commonNameOf(leaf.subjectDer) ?? '';
  const issuer = commonNameOf(leaf.issuerDer) ?? '';
  const texts = [
    `fingerprint:${fingerprint}`,
    ...(subject === '' ? [] : [`subject:cn:${subject}`]),
    ...(issuer === '' ? [] : [`issuer:cn:${issuer}`]),
    ...path.slice(1).map((above) => `ca:fingerprint:${fingerprintOf(above)}`),
  ];
  const assurance = { binding: 'tpm', zone: undefined, release: undefined } as const;
  return provenNode(TPM_DEVID_TYPE, { agentId: agentId.value, texts, assurance });
}
