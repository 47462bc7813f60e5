import { z } from 'zod';
import type { VaultAuth } from './vault-session.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** Where something is mounted in Vault. */
export const vaultMount = z
  .string()
  .regex(/^[\w-]+(\/[\w-]+)*$/, 'must be a path such as team/pki');

const vaultAuthSchema = z
  .strictObject({
    method: z.enum(['token', 'approle', 'kubernetes']).describe('How the server logs in.'),
    mount: vaultMount.optional().describe('Where the method is mounted; its own name unless set.'),
    tokenPath: absolutePath.optional().describe('token: file; VAULT_TOKEN unless set.'),
    roleIdPath: absolutePath.optional().describe('approle: file with the role id.'),
    secretIdPath: absolutePath.optional().describe('approle: file with the secret id.'),
    role: z.string().min(1).max(256).optional().describe('kubernetes: name of the role.'),
    jwtPath: absolutePath
      .default('/var/run/secrets/kubernetes.io/serviceaccount/token')
      .describe('kubernetes: file with the token of the service account.'),
  })
  .superRefine((auth, context) => {
    const needed = {
      token: [],
      approle: ['roleIdPath', 'secretIdPath'],
      kubernetes: ['role'],
    } as const;
    for (const key of needed[auth.method]) {
      if (auth[key] !== undefined) continue;
      context.addIssue({ code: 'custom', path: [key], message: `is required for ${auth.method}` });
    }
  });

/** Where a Vault is, and who we are to it. */
export const vaultPlaceSettings = {
  address: z
    .string()
    .max(1024)
    .regex(/^https?:\/\/[^\s/@]+\/?$/, 'must be a URL without a path, such as https://host:8200')
    .describe('Vault or OpenBao, such as https://vault.example.org:8200.'),
  namespace: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe('Namespace of Vault Enterprise or OpenBao.'),
  caPath: absolutePath
    .optional()
    .describe("Certificates (PEM) for its own; the system's unless set."),
  auth: vaultAuthSchema,
};

/** The login that a checked section names. */
export function vaultAuthOf(auth: z.output<typeof vaultAuthSchema>): VaultAuth {
  const { method, role = '', roleIdPath = '', secretIdPath = '', ...rest } = auth;
  return { method, role, roleIdPath, secretIdPath, ...rest };
}
