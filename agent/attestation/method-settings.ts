import { z } from 'zod';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** `attestation.x509pop` of `agent.yaml`. */
export const x509popAgentSchema = z
  .strictObject({
    certificatePath: absolutePath.describe('PEM: the certificate, and CAs below the root if any.'),
    privateKeyPath: absolutePath.describe('PEM: its private key, RSA or EC, not encrypted.'),
    intermediatesPath: absolutePath.optional().describe('PEM: more CAs below the root.'),
  })
  .optional()
  .describe('By a provisioned certificate; the files are read at each attestation.');

const deviceSetting = z
  .string()
  .regex(/^(\/.+|unix:\/.+|tcp:[^:]+:\d{1,5})$/, 'must be a path, unix:/path or tcp:host:port')
  .default('/dev/tpmrm0')
  .describe("The TPM: the kernel's device, or unix:/path or tcp:host:port of one in software.");

const ekCertificatePath = absolutePath
  .optional()
  .describe('PEM or DER: the endorsement certificate, where the TPM itself has none.');

/** `attestation.tpm` of `agent.yaml`. */
export const tpmAgentSchema = z
  .strictObject({
    device: deviceSetting,
    ekKeyType: z
      .enum(['rsa-2048', 'ec-p256'])
      .default('rsa-2048')
      .describe(
        'Which of the default endorsement keys; the one that the TPM has a certificate for.',
      ),
    ekCertificatePath,
    eventLogPath: absolutePath
      .default('/sys/kernel/security/tpm0/binary_bios_measurements')
      .describe('Event log of the boot; read where the server asks for it.'),
  })
  .optional()
  .describe('By the endorsement key of a TPM 2.0 and a quote of its registers.');

/** `attestation.tpmDevid` of `agent.yaml`. */
export const tpmDevidAgentSchema = z
  .strictObject({
    device: deviceSetting,
    devidCertificatePath: absolutePath.describe(
      'PEM: the DevID certificate, and CAs below the root if any.',
    ),
    devidPublicPath: absolutePath.describe('Public blob of the DevID key, as the TPM gave it.'),
    devidPrivatePath: absolutePath.describe(
      'Private blob of the DevID key; of use to this TPM only.',
    ),
    devidPassword: z.string().max(64).default('').describe('Password of the DevID key.'),
    ekCertificatePath,
  })
  .optional()
  .describe("By a DevID key in a TPM 2.0, SPIRE's tpm_devid.");
