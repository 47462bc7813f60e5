import { fail, ok, type Result } from '../../../src/base/result.ts';
import { parsePem } from '../../../src/der/pem.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import type { Tpm } from './tpm.ts';

/** Where TPMs keep the certificates of their default endorsement keys (EK Credential Profile, §2.2.1.4). */
const NV_INDEX = { 'rsa-2048': 0x01c0_0002, 'ec-p256': 0x01c0_000a } as const;

const MAX_CERTIFICATE_BYTES = 4096;

/** Which certificate is wanted. */
export interface EkCertificateSettings {
  readonly ekKeyType: keyof typeof NV_INDEX;
  /** PEM or DER; in place of the TPM's own. */
  readonly ekCertificatePath?: string | undefined;
}

/**
 * The endorsement certificate, from its file or from the TPM; undefined where the TPM has none. Fails
 * with AGENT_TPM_FILES or AGENT_TPM_UNAVAILABLE.
 */
export async function ekCertificateOf(
  tpm: Tpm,
  { ekKeyType, ekCertificatePath }: EkCertificateSettings,
): Promise<Result<Uint8Array | undefined>> {
  if (ekCertificatePath !== undefined) return readCertificate(ekCertificatePath);
  const bytes = await tpm.readNv(NV_INDEX[ekKeyType]);
  if (bytes.ok) return ok(withoutPadding(bytes.value));
  // No index, so no certificate: the server decides whether it knows the key otherwise.
  return bytes.error.code === 'AGENT_TPM_REFUSED' ? ok(undefined) : bytes;
}

async function readCertificate(path: string): Promise<Result<Uint8Array>> {
  const bytes = await readFileIfPresent(path, 2 * MAX_CERTIFICATE_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) {
    return fail('AGENT_TPM_FILES', `ekCertificatePath: ${path} does not exist`);
  }
  if (bytes.value[0] === 0x30) return ok(bytes.value);
  const blocks = parsePem(bytes.value);
  const [block] = blocks.ok ? blocks.value : [];
  if (block !== undefined) return ok(block.der);
  return fail('AGENT_TPM_FILES', `ekCertificatePath: ${path} holds no certificate`);
}

/** Some TPMs fill the index up behind the certificate: its DER says how long it is. */
function withoutPadding(bytes: Buffer): Uint8Array {
  if (bytes.length < 4 || bytes[0] !== 0x30 || bytes[1] !== 0x82) return bytes;
  return bytes.subarray(0, 4 + bytes.readUInt16BE(2));
}
