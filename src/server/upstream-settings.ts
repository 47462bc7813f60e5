import { z } from 'zod';
import { parseCaArn } from '../authority/upstream/ca-arn.ts';
import { parseWorkloadAddress } from '../client/address.ts';
import { vaultMount, vaultPlaceSettings } from '../keys/vault/vault-settings.ts';
import { hostSetting } from '../runtime/config.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { ServerConfig } from './config.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

const diskSchema = z
  .strictObject({
    certPath: absolutePath.describe("PEM: the CA's certificate, then CAs up to the root, if any."),
    keyPath: absolutePath.describe(
      'PEM: its private key; not readable by others than owner and group.',
    ),
    bundlePath: absolutePath.optional().describe('PEM: the roots; the CA itself unless set.'),
  })
  .optional()
  .describe('A CA in files; they are read again when they change.');

const spireSchema = z
  .strictObject({
    address: hostSetting.describe('Host of the server above.'),
    port: z.int().min(1).max(65_535).default(8081).describe('Its port for agents.'),
    workloadApi: z
      .string()
      .max(1024)
      .refine((text) => parseWorkloadAddress(text).ok, 'must be such as unix:///run/agent.sock')
      .describe('Workload API of an agent of that server.'),
    spiffeId: z
      .string()
      .refine((text) => parseSpiffeId(text).ok, 'must be a SPIFFE ID')
      .optional()
      .describe('Which of the SVIDs from there calls; the first unless set.'),
  })
  .optional()
  .describe(
    'A SPIRE or Signet server of the same trust domain, by an entry with the downstream flag.',
  );

const bundlePath = absolutePath
  .optional()
  .describe('PEM: the roots; what ends the chain of an answer unless set.');

const vaultSchema = z
  .strictObject({
    mount: vaultMount.default('pki').describe('Where the PKI engine is mounted.'),
    issuer: z
      .string()
      .regex(/^[\w-]{1,128}$/, 'must be the name or id of an issuer')
      .optional()
      .describe("Which issuer signs; the engine's default unless set."),
    bundlePath,
    ...vaultPlaceSettings,
  })
  .optional()
  .describe('The PKI engine of HashiCorp Vault or OpenBao.');

const awsPcaSchema = z
  .strictObject({
    certificateAuthorityArn: z
      .string()
      .refine((text) => parseCaArn(text) !== undefined, 'must be the ARN of a CA of AWS Private CA')
      .describe('The CA that signs; the region is taken from its ARN.'),
    pathLength: z
      .int()
      .min(0)
      .max(3)
      .optional()
      .describe('CAs that may be below ours; what ca.protection needs unless set.'),
    templateArn: z
      .string()
      .regex(/^arn:aws[a-z-]*:acm-pca:::template\/\w{1,128}\/V\d$/, 'must be the ARN of a template')
      .optional()
      .describe('Instead of the blank template for subordinate CAs of pathLength.'),
    signingAlgorithm: z
      .string()
      .regex(/^[A-Z0-9_]{1,64}$/, 'must be such as SHA256WITHECDSA')
      .optional()
      .describe('What the CA was made with unless set.'),
    endpoint: z
      .string()
      .max(1024)
      .regex(/^https?:\/\/[^\s/@]+\/?$/, 'must be a URL without a path, such as https://host')
      .optional()
      .describe("AWS's own unless set."),
    bundlePath,
  })
  .optional()
  .describe("AWS Private CA, by the credentials of the AWS SDK's chain.");

const kubeName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'must be the name of a Kubernetes object');

const certManagerSchema = z
  .strictObject({
    namespace: kubeName.describe('Where CertificateRequests are made.'),
    issuer: z
      .strictObject({
        name: kubeName.describe('Name of the issuer.'),
        kind: z
          .string()
          .regex(/^[A-Za-z]{1,63}$/, 'must be such as Issuer')
          .default('Issuer')
          .describe('Such as ClusterIssuer.'),
        group: kubeName
          .default('cert-manager.io')
          .describe("API group of the issuer; cert-manager's own, or an external one's."),
      })
      .describe('Who signs: an Issuer, a ClusterIssuer, or one of another group.'),
    kubeconfigPath: absolutePath
      .optional()
      .describe('How the cluster is reached; by the service account of the pod unless set.'),
    bundlePath,
  })
  .optional()
  .describe('An issuer of cert-manager that signs CAs.');

/** Schema of the `upstream` section. */
export const upstreamSchema = z
  .strictObject({
    disk: diskSchema,
    spire: spireSchema,
    vault: vaultSchema,
    awsPca: awsPcaSchema,
    certManager: certManagerSchema,
  })
  .superRefine((upstream, context) => {
    const named = Object.entries(upstream).filter(([, section]) => section !== undefined);
    if (named.length <= 1) return;
    const message = `names ${named.map(([name]) => name).join(' and ')}: a server has one upstream`;
    context.addIssue({ code: 'custom', path: [], message });
  })
  .prefault({})
  .describe('Who signs the CA of this server; it signs itself where nothing is named here.');

/** Settings of the upstream that contradict others: path and what is wrong. */
export function upstreamFaults({
  trustDomain,
  upstream,
}: Pick<ServerConfig, 'trustDomain' | 'upstream'>): readonly {
  readonly path: readonly string[];
  readonly message: string;
}[] {
  const id = upstream.spire?.spiffeId;
  const parsed = id === undefined ? undefined : parseSpiffeId(id);
  if (parsed?.ok !== true || parsed.value.trustDomain.name === trustDomain.name) return [];
  const message = 'must be of trustDomain: one trust domain does not sign the CA of another';
  return [{ path: ['upstream', 'spire', 'spiffeId'], message }];
}
