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
