import { z } from 'zod';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

const x509popSchema = z
  .strictObject({
    certificatePath: absolutePath.describe('PEM: the certificate, and CAs below the root if any.'),
    privateKeyPath: absolutePath.describe('PEM: its private key, RSA or EC, not encrypted.'),
    intermediatesPath: absolutePath.optional().describe('PEM: more CAs below the root.'),
  })
  .optional()
  .describe('By a provisioned certificate; the files are read at each attestation.');

/** Schema of the `attestation` section of `agent.yaml`. */
export const agentAttestationSchema = z
  .strictObject({ x509pop: x509popSchema })
  .superRefine((attestation, context) => {
    const named = Object.entries(attestation).filter(([, section]) => section !== undefined);
    if (named.length <= 1) return;
    const message = `names ${named.map(([name]) => name).join(' and ')}: an agent attests by one method`;
    context.addIssue({ code: 'custom', path: [], message });
  })
  .prefault({})
  .describe('How the agent proves its node; by join token where nothing is named here.');
