import { z } from 'zod';
import { durationSetting } from '../runtime/units.ts';
import { vaultMount, vaultPlaceSettings } from './vault/vault-settings.ts';

/** Backends by the names they have in the configuration. */
export const KEY_MANAGERS = ['disk', 'memory', 'aws-kms', 'pkcs11', 'vault-transit'] as const;

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

const callsSchema = z
  .strictObject({
    perSecond: z
      .number()
      .min(0.1)
      .max(1_000_000)
      .default(300)
      .describe('Calls that may begin in a second; stay below the quota of the account.'),
    burst: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(300)
      .describe('Calls that may begin at once after a quiet time.'),
    inFlight: z.int().min(1).max(10_000).default(64).describe('Calls under way at one time.'),
    timeout: durationSetting({ min: '10ms', max: '5m' })
      .prefault('3s')
      .describe('Longest wait for an answer before the call is tried again.'),
    deadline: durationSetting({ min: '10ms', max: '10m' })
      .prefault('10s')
      .describe('Longest time for a call in all, waiting and new tries included.'),
  })
  .prefault({})
  .describe('Calls to a key manager outside the process.');

const awsKmsSchema = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z0-9-]{1,64}$/, 'must be the name of a region, such as eu-central-1')
      .optional()
      .describe('As the AWS SDK finds it (AWS_REGION, profile) unless set.'),
    endpoint: z
      .string()
      .max(1024)
      .regex(/^https?:\/\/[^\s/@]+\/?$/, 'must be a URL without a path, such as https://host')
      .optional()
      .describe("AWS's own unless set."),
  })
  .prefault({});

const pkcs11Schema = z
  .strictObject({
    module: absolutePath.describe(
      'The PKCS#11 library of the HSM, such as /usr/lib/softhsm/libsofthsm2.so.',
    ),
    tokenLabel: z.string().min(1).max(32).optional().describe('Token by its label.'),
    slot: z
      .int()
      .min(0)
      .max(0xffff_ffff)
      .optional()
      .describe('Token by the number of its slot; without slot and label the only one is taken.'),
    pinPath: absolutePath.optional().describe("File with the user's PIN; read at start."),
    pinEnv: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be the name of a variable')
      .default('SIGNET_PKCS11_PIN')
      .describe('Variable with the PIN, where pinPath is not set.'),
    threads: z
      .int()
      .min(1)
      .max(64)
      .default(2)
      .describe('Threads, each with a session; a device that takes long wants more.'),
  })
  .optional()
  .describe('Needed where keys.manager is pkcs11.');

const vaultSchema = z
  .strictObject({
    mount: vaultMount.default('transit').describe('Where the transit engine is mounted.'),
    ...vaultPlaceSettings,
  })
  .optional()
  .describe('Needed where keys.manager is vault-transit.');

/** Schema of the `keys` section. */
export const keysSchema = z
  .strictObject({
    manager: z
      .enum(KEY_MANAGERS)
      .default('disk')
      .describe('Where signing keys live; with memory each start makes new authorities.'),
    namespace: z
      .string()
      .regex(/^[a-z0-9-]{1,32}$/, 'must be 1 to 32 of a-z, 0-9 and -')
      .default('signet')
      .describe(
        'First part of the names of keys outside; one for each installation that shares them.',
      ),
    refreshEvery: durationSetting({ min: '1s', max: '24h' })
      .prefault('5m')
      .describe(
        'How often keys outside are looked at: moved, disabled, replaced by another server.',
      ),
    sweepAfter: durationSetting({ max: '3650d' })
      .prefault('30d')
      .describe('Keys outside that have been without a slot for so long are deleted; 0s never.'),
    rotateWrappingKeyAfter: durationSetting({ max: '3650d' })
      .prefault('365d')
      .describe(
        'Life of the key that seals keys; then it is replaced, and they are wrapped anew. 0s never.',
      ),
    calls: callsSchema,
    awsKms: awsKmsSchema,
    pkcs11: pkcs11Schema,
    vaultTransit: vaultSchema,
  })
  .superRefine((keys, context) => {
    if (keys.manager === 'pkcs11' && keys.pkcs11 === undefined) {
      const message = 'is required where keys.manager is pkcs11: name the library in module';
      context.addIssue({ code: 'custom', path: ['pkcs11'], message });
    }
    if (keys.manager === 'vault-transit' && keys.vaultTransit === undefined) {
      const message =
        'is required where keys.manager is vault-transit: name address and auth.method';
      context.addIssue({ code: 'custom', path: ['vaultTransit'], message });
    }
  })
  .prefault({});

/** The `keys` section. */
export type KeysConfig = z.output<typeof keysSchema>;
