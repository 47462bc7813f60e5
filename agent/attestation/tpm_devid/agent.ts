import { createHash } from 'node:crypto';
import {
  type DevIdPayload,
  decodeDevIdChallenge,
  encodeDevIdPayload,
  encodeDevIdResponse,
  TPM_DEVID_TYPE,
} from '../../../src/attestation/tpm_devid/payload.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { derSequence, derUnsigned } from '../../../src/der/writer.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import { parseTpmPublic } from '../../../src/tpm/public-area.ts';
import { parseTpmSignature } from '../../../src/tpm/signature.ts';
import { parseCertificatesPem } from '../../../src/x509/certificate.ts';
import type { AgentConfig } from '../../config.ts';
import type { AttestationSession, NodeAttestor } from '../node-attestor.ts';
import { TPM_RH } from '../tpm/command.ts';
import { ekCertificateOf } from '../tpm/ek-certificate.ts';
import {
  ECC_SRK_TEMPLATE,
  RSA_AK_TEMPLATE,
  RSA_EK_TEMPLATE,
  RSA_SRK_TEMPLATE,
} from '../tpm/templates.ts';
import { type LoadedKey, Tpm } from '../tpm/tpm.ts';
import { openTpm } from '../tpm/transport.ts';

const MAX_FILE_BYTES = 128 * 1024;

/** Settings of the method. */
export type TpmDevIdSettings = NonNullable<AgentConfig['attestation']['tpmDevid']>;

/** What the files hold. */
interface DevIdFiles {
  readonly certificates: readonly Uint8Array[];
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
  /** Content of a TPM2B_PRIVATE. */
  readonly privateArea: Uint8Array;
}

/**
 * Attests with a DevID key that was provisioned in the TPM, SPIRE's `tpm_devid`. Fails with AGENT_TPM_*.
 */
export function createTpmDevIdAttestor(settings: TpmDevIdSettings, clock: Clock): NodeAttestor {
  return {
    type: TPM_DEVID_TYPE,
    maxChallenges: 1,
    timeoutMs: 90_000,
    async begin() {
      const files = await readFiles(settings);
      if (!files.ok) return files;
      const transport = await openTpm(settings.device, clock);
      if (!transport.ok) return transport;
      const tpm = new Tpm(transport.value);
      const session = await prepare(tpm, files.value, settings);
      if (!session.ok) await tpm.close();
      return session;
    },
  };
}

async function prepare(
  tpm: Tpm,
  files: DevIdFiles,
  settings: TpmDevIdSettings,
): Promise<Result<AttestationSession>> {
  const password = Buffer.from(settings.devidPassword);
  const devId = await loadDevId(tpm, files);
  if (!devId.ok) return devId;
  const ak = await tpm.createPrimary(TPM_RH.endorsement, RSA_AK_TEMPLATE);
  if (!ak.ok) return ak;
  const ek = await tpm.createPrimary(TPM_RH.endorsement, RSA_EK_TEMPLATE);
  if (!ek.ok) return ek;
  const ekCertificate = await ekCertificateOf(tpm, { ...settings, ekKeyType: 'rsa-2048' });
  if (!ekCertificate.ok) return ekCertificate;
  if (ekCertificate.value === undefined) {
    return fail(
      'AGENT_TPM_REFUSED',
      'the TPM has no endorsement certificate: set ekCertificatePath',
    );
  }
  const certified = await tpm.certify(devId.value, ak.value, password);
  if (!certified.ok) return certified;
  const payload: DevIdPayload = {
    certificates: files.certificates,
    devIdPublic: files.publicArea,
    ekPublic: ek.value.publicArea,
    akPublic: ak.value.publicArea,
    ekCertificate: ekCertificate.value,
    ...certified.value,
  };
  const keys = { attestationKey: ak.value, endorsementKey: ek.value };
  return ok({
    payload: encodeDevIdPayload(payload),
    respond: (challenge: Uint8Array) =>
      respond(challenge, { tpm, devId: devId.value, keys, password }),
    close: () => tpm.close(),
  });
}

/** Loads the key under the storage root key that the TCG's guidance names, and gives that one back. */
async function loadDevId(tpm: Tpm, files: DevIdFiles): Promise<Result<LoadedKey>> {
  const area = parseTpmPublic(files.publicArea);
  if (!area.ok) return fail('AGENT_TPM_FILES', `devidPublicPath: ${area.error.message}`);
  const template = area.value.key.kind === 'rsa' ? RSA_SRK_TEMPLATE : ECC_SRK_TEMPLATE;
  const parent = await tpm.createPrimary(TPM_RH.owner, template);
  if (!parent.ok) return parent;
  const devId = await tpm.load(parent.value, files.privateArea, files.publicArea);
  await tpm.flush(parent.value.handle);
  return devId;
}

/** What a response is made with. */
interface Holding {
  readonly tpm: Tpm;
  readonly devId: LoadedKey;
  readonly keys: { readonly attestationKey: LoadedKey; readonly endorsementKey: LoadedKey };
  readonly password: Uint8Array;
}

async function respond(
  bytes: Uint8Array,
  { tpm, devId, keys, password }: Holding,
): Promise<Result<Uint8Array>> {
  const challenge = decodeDevIdChallenge(bytes);
  if (!challenge.ok) return fail('AGENT_SERVER_ANSWER', challenge.error.message);
  const digest = createHash('sha256').update(challenge.value.nonce).digest();
  const signed = await tpm.sign(devId, digest, password);
  if (!signed.ok) return signed;
  const signature = certificateForm(signed.value);
  if (!signature.ok) return signature;
  const secret = await tpm.activateCredential(keys, challenge.value);
  if (!secret.ok) return secret;
  return ok(encodeDevIdResponse({ signature: signature.value, secret: secret.value }));
}

/** A TPM's signature in the form of certificates. */
function certificateForm(bytes: Uint8Array): Result<Uint8Array> {
  const signature = parseTpmSignature(bytes);
  if (!signature.ok) return fail('AGENT_TPM_UNAVAILABLE', signature.error.message);
  if (signature.value.kind !== 'ecdsa') return ok(signature.value.signature);
  const { r, s } = signature.value;
  return ok(derSequence(derUnsigned(r), derUnsigned(s)));
}

async function readFiles(settings: TpmDevIdSettings): Promise<Result<DevIdFiles>> {
  const pem = await readWhole('devidCertificatePath', settings.devidCertificatePath);
  if (!pem.ok) return pem;
  const certificates = parseCertificatesPem(pem.value);
  if (!certificates.ok) {
    return fail('AGENT_TPM_FILES', `devidCertificatePath: ${certificates.error.message}`);
  }
  const publicArea = await readWhole('devidPublicPath', settings.devidPublicPath);
  if (!publicArea.ok) return publicArea;
  const privateArea = await readWhole('devidPrivatePath', settings.devidPrivatePath);
  if (!privateArea.ok) return privateArea;
  return ok({
    certificates: certificates.value.map(({ der }) => der),
    publicArea: withoutSize(publicArea.value),
    privateArea: withoutSize(privateArea.value),
  });
}

async function readWhole(setting: string, path: string): Promise<Result<Uint8Array>> {
  const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
  if (!bytes.ok) return fail('AGENT_TPM_FILES', `${setting}: ${bytes.error.message}`);
  if (bytes.value !== undefined) return ok(bytes.value);
  return fail('AGENT_TPM_FILES', `${setting}: ${path} does not exist`);
}

/** tpm2-tools writes the size in front, SPIRE's provisioning does not: both are taken. */
function withoutSize(bytes: Uint8Array): Uint8Array {
  const size = Buffer.from(bytes).subarray(0, 2);
  return size.length === 2 && size.readUInt16BE() === bytes.length - 2 ? bytes.subarray(2) : bytes;
}
