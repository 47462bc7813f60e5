import { z } from 'zod';
import { parsePathTemplate } from '../attestation/path-template.ts';
import { X509POP_VALUES } from '../attestation/x509pop/server.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** `attestation.joinToken` of `server.yaml`. */
export const joinTokenSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Whether agents may join by token.'),
  })
  .prefault({});

/** `attestation.x509pop` of `server.yaml`. */
export const x509popSchema = z
  .strictObject({
    mode: z
      .enum(['external_pki', 'spiffe'])
      .default('external_pki')
      .describe('Whether certificates of other CAs attest, or X.509-SVIDs of this trust domain.'),
    caBundlePaths: z
      .array(absolutePath)
      .max(16)
      .default([])
      .describe('PEM: the roots, with mode external_pki. Read at the start.'),
    svidPrefix: z
      .string()
      .startsWith('/')
      .endsWith('/')
      .default('/spire-exchange/')
      .describe(
        'How paths of SVIDs begin that attest, with mode spiffe; left out of the agent ID.',
      ),
    agentPathTemplate: z
      .string()
      .max(1024)
      .superRefine((text, context) => {
        const template = parsePathTemplate(text, X509POP_VALUES);
        if (!template.ok) context.addIssue({ code: 'custom', message: template.error.message });
      })
      .optional()
      .describe(
        'Path of the agent ID below /spire/agent, such as {{ .PluginName }}/{{ .Subject.CommonName }}; by fingerprint, or path of the SVID, unless set.',
      ),
  })
  .refine(({ mode, caBundlePaths }) => (mode === 'external_pki') === caBundlePaths.length > 0, {
    path: ['caBundlePaths'],
    message: 'goes with mode external_pki, which needs it',
  })
  .optional()
  .describe('Agents with a provisioned certificate.');
