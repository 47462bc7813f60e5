import { z } from 'zod';
import { parsePathTemplate } from '../attestation/path-template.ts';
import { X509POP_VALUES } from '../attestation/x509pop/server.ts';
import { durationSetting } from '../runtime/units.ts';

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

const rootsSetting = z.array(absolutePath).min(1).max(64);

const endorsement = {
  ekRootPaths: z
    .array(absolutePath)
    .max(64)
    .default([])
    .describe('PEM: roots of TPM manufacturers that are trusted. Read at the start.'),
  ekIntermediatePaths: z
    .array(absolutePath)
    .max(64)
    .default([])
    .describe(
      'PEM: CAs between those roots and endorsement certificates; TPMs do not bring them along.',
    ),
  ekCrls: z
    .strictObject({
      paths: z
        .array(absolutePath)
        .max(64)
        .default([])
        .describe(
          'CRLs of those CAs, PEM or DER; a CA of which there is one needs one in force. Read again when a file changes.',
        ),
      maxStale: durationSetting({ max: '365d' })
        .prefault('0s')
        .describe('How long after its end a CRL is still believed.'),
    })
    .prefault({}),
};

const knownTpms = {
  ...endorsement,
  knownEks: z
    .array(z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'))
    .max(100_000)
    .default([])
    .describe(
      'SHA-256 of SubjectPublicKeyInfo of endorsement keys recorded at commissioning, such as those of TPMs in firmware.',
    ),
  pcrs: z
    .array(z.int().min(0).max(23))
    .min(1)
    .max(24)
    .default([0, 1, 2, 3, 4, 5, 6, 7])
    .refine((pcrs) => pcrs.every((pcr, at) => at === 0 || pcr > (pcrs[at - 1] ?? 0)), {
      message: 'must be ascending',
    })
    .describe('Registers of the SHA-256 bank that are quoted, and become selectors.'),
  unsafeClock: z
    .enum(['accepted', 'refused'])
    .default('accepted')
    .describe(
      'Whether a clock is taken that its TPM does not call safe, as after a power cut. Boots are counted all the same.',
    ),
};

/** `attestation.tpm` of `server.yaml`. */
export const tpmSchema = z
  .strictObject({
    ...knownTpms,
    eventLog: z
      .enum(['ignored', 'required'])
      .default('ignored')
      .describe(
        'Whether agents must send the event log of their boot, which then has to lead to the registers quoted.',
      ),
  })
  .refine(({ ekRootPaths, knownEks }) => ekRootPaths.length + knownEks.length > 0, {
    message: 'needs ekRootPaths or knownEks: else it would know no TPM',
  })
  .optional()
  .describe('Agents on machines with a TPM 2.0: endorsement key and quote.');

const hostTpmSchema = z
  .strictObject({
    ...knownTpms,
    firstUse: z
      .boolean()
      .default(false)
      .describe(
        'Whether the first TPM that a host shows is taken, whoever made it, and no other after.',
      ),
  })
  .refine(
    ({ ekRootPaths, knownEks, firstUse }) => firstUse || ekRootPaths.length + knownEks.length > 0,
    { message: 'needs ekRootPaths, knownEks or firstUse: else it would know no TPM' },
  )
  .optional()
  .describe('How TPMs of hosts are judged that their agents show beside the voucher.');

/** `attestation.dpuHost` of `server.yaml`. */
export const dpuHostSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('Whether attested DPUs may vouch for their hosts (docs/dpu-host.md).'),
    tpm: hostTpmSchema,
    requireTpm: z
      .union([z.boolean(), z.array(z.int().min(0).max(2)).min(1).max(3)])
      .default(false)
      .describe(
        'Whether hosts have to show their TPM too: all of them, or those of the zones named and of none.',
      ),
  })
  .refine(({ tpm, requireTpm }) => tpm !== undefined || requireTpm === false, {
    path: ['requireTpm'],
    message: 'needs `tpm` beside it, which says what TPMs count',
  })
  .prefault({});

/** `attestation.tpmDevid` of `server.yaml`. */
export const tpmDevidSchema = z
  .strictObject({
    devidRootPaths: rootsSetting.describe('PEM: roots of DevID certificates. Read at the start.'),
    ...endorsement,
    ekRootPaths: rootsSetting.describe(
      'PEM: roots of TPM manufacturers that are trusted. Read at the start.',
    ),
  })
  .optional()
  .describe("Agents with a DevID key in a TPM 2.0, SPIRE's tpm_devid.");
