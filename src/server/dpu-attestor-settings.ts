import { z } from 'zod';
import { EVIDENCE_KINDS, SPDM_KINDS } from '../attestation/dpu/payload.ts';
import { absolutePathSetting } from '../runtime/config.ts';
import { countSetting, durationSetting } from '../runtime/units.ts';
import { tpmSchema } from './attestor-settings.ts';
import { dpuWatchSchema } from './dpu-watch-settings.ts';

const sha256 = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hex digits')
  .transform((text) => text.toLowerCase());

const targetId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

const classSchema = z.strictObject({
  name: z.string().min(1).max(64).describe('Such as bluefield-3; manifests name it.'),
  roots: z
    .array(sha256)
    .min(1)
    .max(16)
    .describe('SHA-256 of the certificate of each root that is trusted.'),
  classCas: z
    .array(sha256)
    .min(1)
    .max(64)
    .describe(
      'SHA-256 of the certificates of the lowest CAs of this product. A CA above them issues for other products too.',
    ),
  keyTypes: z
    .array(z.enum(['ec-p256', 'ec-p384', 'ec-p521', 'rsa']))
    .min(1)
    .prefault(['ec-p384'])
    .describe('Kinds of key that may stand in a chain.'),
  fwid: z
    .enum(['required', 'ignored'])
    .default('required')
    .describe('Whether firmware ids of the run-time layers must be there.'),
  compositeKey: z
    .enum(['parent', 'parent-or-device'])
    .default('parent')
    .describe('Which key a composite firmware id names.'),
  opaqueFwid: z
    .enum(['required', 'if-present', 'ignored'])
    .default('if-present')
    .describe(
      "What the firmware id in signed opaque data means: it must be the leaf certificate's where it is there, or must be there too.",
    ),
});

const requirementSchema = z.strictObject({
  zones: z
    .array(z.int().min(0).max(2))
    .min(1)
    .optional()
    .describe(
      'Zones of the inventory; every DPU where absent. A DPU without a zone meets all rules.',
    ),
  allOf: z
    .array(z.enum(EVIDENCE_KINDS))
    .min(1)
    .describe('Kinds of evidence that have to be shown, each of them.'),
});

const ownKeySchema = z
  .strictObject({
    caPaths: z
      .array(absolutePathSetting)
      .max(16)
      .prefault([])
      .describe(
        "PEM: roots of certificates that images bring, with the card's serial number as subject serialNumber.",
      ),
  })
  .prefault({})
  .describe(
    'Which key the kind x509pop is of: pinned at the first attestation unless there are CAs.',
  );

const manifestsSchema = z.strictObject({
  paths: z
    .array(absolutePathSetting)
    .min(1)
    .max(64)
    .describe('Signed reference manifests; each target is in one of them.'),
  signerPaths: z
    .array(absolutePathSetting)
    .min(1)
    .max(16)
    .describe('Public keys (PEM) of those who may publish them.'),
  corimPaths: z
    .array(absolutePathSetting)
    .max(64)
    .prefault([])
    .describe("Vendors' CoRIMs that releases of the manifests take values from."),
  corimSignerPaths: z
    .array(absolutePathSetting)
    .max(16)
    .prefault([])
    .describe('Public keys (PEM) that signed CoRIMs must be signed by.'),
  threshold: z.int().min(1).max(16).default(1).describe('How many of the keys must have signed.'),
});

const crlsSchema = z
  .strictObject({
    paths: z
      .array(absolutePathSetting)
      .max(64)
      .prefault([])
      .describe('CRLs of the CAs above the devices; once there is one, each CA needs one.'),
    maxStale: durationSetting({ max: '365d' })
      .prefault('0s')
      .describe('How long after its end a CRL is still believed.'),
  })
  .prefault({});

const bmcSchema = z
  .strictObject({
    userNamePath: absolutePathSetting.optional().describe('Else the variable SIGNET_BMC_USER.'),
    passwordPath: absolutePathSetting.optional().describe('Else the variable SIGNET_BMC_PASSWORD.'),
    method: z.enum(['session', 'basic']).default('session').describe('How BMCs are logged in to.'),
  })
  .prefault({})
  .describe('Account by which the server looks at BMCs; where they are says the inventory.');

/** `attestation.dpu` of `server.yaml`. */
export const dpuAttestorSchema = z
  .strictObject({
    classes: z.array(classSchema).min(1).max(16).describe('What the devices must be.'),
    targets: z
      .array(
        z.strictObject({
          id: targetId.describe('Name of the component, such as Bluefield_DPU_IRoT.'),
          class: z.string().min(1).max(64).describe('Name of one of the classes.'),
        }),
      )
      .min(1)
      .max(4)
      .describe(
        'Components that must be shown, as BMCs name them; the agent is named after the first.',
      ),
    kinds: z
      .array(z.enum(SPDM_KINDS))
      .min(1)
      .prefault(['spdm-redfish'])
      .describe(
        'Ways in which signed measurements may come, the best first; one of them is shown.',
      ),
    require: z
      .array(requirementSchema)
      .max(32)
      .prefault([])
      .describe('What zones demand beside; all rules that fit have to be met.'),
    ownKey: ownKeySchema,
    tpm: tpmSchema.describe(
      'How TPMs of cards are judged, for the kind tpm2; the log of the boot is not asked for.',
    ),
    fullEvery: z
      .int()
      .min(1)
      .max(1000)
      .default(1)
      .describe(
        'Every so many-th attestation is in full; between them the zones that demand x509pop show that, and the server asks the BMC.',
      ),
    manifests: manifestsSchema,
    crls: crlsSchema,
    recheck: durationSetting({ max: '24h' })
      .prefault('30s')
      .describe(
        'How often the files of manifests, CoRIMs, their keys and CRLs are looked at for a change; 0s is at SIGHUP only.',
      ),
    binding: z
      .enum(['dual', 'in-band'])
      .default('dual')
      .describe('dual: the server collects from the BMC too, and both must agree.'),
    secondLook: z
      .enum(['before', 'after'])
      .default('before')
      .describe(
        'With dual, whether the SVID waits for it, or goes out as in-band and becomes dual when both agree.',
      ),
    watch: dpuWatchSchema,
    spread: durationSetting({ max: '24h' })
      .prefault('10m')
      .describe('Over which time agents are asked to attest again for other manifests or CRLs.'),
    bmc: bmcSchema,
    knownSignatures: countSetting(4096).describe(
      'Signatures of chains that are remembered as verified.',
    ),
  })
  .superRefine(({ require, tpm }, context) => {
    if (tpm === undefined && require.some(({ allOf }) => allOf.includes('tpm2'))) {
      const message = 'is needed where tpm2 is demanded';
      context.addIssue({ code: 'custom', path: ['tpm'], message });
    }
    if (tpm?.eventLog === 'required') {
      const message = 'is not asked of the TPMs of cards';
      context.addIssue({ code: 'custom', path: ['tpm', 'eventLog'], message });
    }
  })
  .superRefine(({ classes, targets, binding, secondLook }, context) => {
    for (const [at, target] of targets.entries()) {
      if (classes.some(({ name }) => name === target.class)) continue;
      const message = `no class is named ${target.class}`;
      context.addIssue({ code: 'custom', path: ['targets', at, 'class'], message });
    }
    if (secondLook === 'after' && binding !== 'dual') {
      const message = 'needs binding: dual';
      context.addIssue({ code: 'custom', path: ['secondLook'], message });
    }
    if (new Set(targets.map(({ id }) => id)).size !== targets.length) {
      context.addIssue({ code: 'custom', path: ['targets'], message: 'a target is there twice' });
    }
  })
  .describe('Nodes attest by the hardware identity of their DPU (docs/dpu-attestation.md).');

/** What `attestation.dpu` says. */
export type DpuAttestorSettings = z.output<typeof dpuAttestorSchema>;
