import { z } from 'zod';
import { listenerLimitSettings, refuseUselessMemory } from '../src/rpc/limit-settings.ts';
import { WORKLOAD_LIMITS } from '../src/rpc/limits.ts';
import { socketPathSetting } from '../src/rpc/socket-setting.ts';
import {
  absolutePathSetting,
  configJsonSchema,
  hostSetting,
  parsedSetting,
} from '../src/runtime/config.ts';
import { LOG_LEVELS } from '../src/runtime/log.ts';
import { telemetrySchema } from '../src/runtime/telemetry.ts';
import { countSetting, durationSetting } from '../src/runtime/units.ts';
import { parseTrustDomain, type TrustDomain } from '../src/spiffe/trust-domain.ts';
import { agentAttestationSchema } from './attestation/settings.ts';
import { voucherSchema } from './voucher/settings.ts';
import { workloadAttestorsSchema } from './workload/settings.ts';

/** Where the agent keeps its own SVID and key unless told. */
export const DEFAULT_AGENT_DATA_DIR = '/var/lib/signet/agent';

/** Where the Workload API listens unless told. */
export const DEFAULT_WORKLOAD_SOCKET = '/run/signet/agent/public/api.sock';

/** Kinds of key that workload SVIDs may have. */
export const WORKLOAD_KEY_TYPES = ['ec-p256', 'ec-p384', 'rsa-2048'] as const;

/** Kind of a workload SVID's key. */
export type WorkloadKeyType = (typeof WORKLOAD_KEY_TYPES)[number];

const trustDomainSetting: z.ZodType<TrustDomain, string> = parsedSetting(parseTrustDomain);

const bootstrapSchema = z
  .strictObject({
    bundlePath: absolutePathSetting
      .optional()
      .describe(
        'File with the trust bundle that the server is verified against the first time; read at each attempt.',
      ),
    bundleFormat: z.enum(['pem', 'spiffe']).default('pem').describe('Form of that file.'),
    insecure: z
      .boolean()
      .default(false)
      .describe('Takes the first bundle from whoever answers: for trials only.'),
  })
  .refine((value) => (value.bundlePath !== undefined) !== value.insecure, {
    message: 'give either bundlePath or insecure: true',
  });

const joinSchema = z
  .strictObject({
    token: z.string().min(1).optional().describe('The join token itself; prefer a file.'),
    tokenPath: absolutePathSetting
      .optional()
      .describe(
        'Read at each attestation, so that a new token can be put there while the agent runs.',
      ),
  })
  .refine((value) => value.token === undefined || value.tokenPath === undefined, {
    message: 'give either token or tokenPath',
  })
  .prefault({});

const workloadSocketSchema = z
  .strictObject({
    path: socketPathSetting.default(DEFAULT_WORKLOAD_SOCKET).describe('Where workloads connect.'),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0777"')
      .default('0777')
      .transform((text) => Number.parseInt(text, 8))
      .describe('Octal; every local process may connect unless told, since each is attested.'),
  })
  .prefault({});

const limitsSchema = z
  .strictObject({
    connections: countSetting(10_000).describe('Connections on the Workload API socket.'),
    connectionsPerUid: countSetting(5000).describe('Connections of one user.'),
    streamsPerConnection: countSetting(100).describe('Calls under way on one connection.'),
    streamsPerUid: countSetting(5000).describe('Open streams of one user.'),
    streams: countSetting(10_000).describe('Open streams in all.'),
    jwtSvids: countSetting(1000).describe('JWT-SVIDs kept; the least recently used goes first.'),
    jwtRequests: countSetting(256).describe('Requests for new JWT-SVIDs under way.'),
    ...listenerLimitSettings(WORKLOAD_LIMITS),
  })
  .superRefine(refuseUselessMemory)
  .prefault({});

/** Schema of `agent.yaml`. */
export const agentConfigSchema = z.strictObject({
  trustDomain: trustDomainSetting.describe('Name of the trust domain, such as example.org.'),
  dataDir: absolutePathSetting
    .default(DEFAULT_AGENT_DATA_DIR)
    .describe("The agent's own SVID and key; 0700, one agent at a time."),
  server: z.strictObject({
    address: hostSetting.describe('Host name or IP address of the server.'),
    port: z.int().min(1).max(65_535).default(8081).describe('Port of the server.'),
  }),
  bootstrap: bootstrapSchema,
  join: joinSchema,
  attestation: agentAttestationSchema,
  voucher: voucherSchema.optional(),
  workloadSocket: workloadSocketSchema,
  workloadAttestors: workloadAttestorsSchema,
  svid: z
    .strictObject({
      keyType: z.enum(WORKLOAD_KEY_TYPES).default('ec-p256').describe('Key of workload SVIDs.'),
    })
    .prefault({}),
  startupGrace: durationSetting({ max: '10m' })
    .prefault('5s')
    .describe(
      'How long callers wait for the first synchronisation before they are told Unavailable.',
    ),
  allowUnauthenticatedVerifiers: z
    .boolean()
    .default(false)
    .describe(
      'Lets processes without an entry validate tokens and read the bundles of the own trust domain.',
    ),
  allowedForeignJwtClaims: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Claims, beside sub, aud and exp, that tokens of other trust domains show after validation.',
    ),
  limits: limitsSchema,
  log: z
    .strictObject({
      level: z.enum(LOG_LEVELS).default('info').describe('Least level that is written.'),
    })
    .prefault({}),
  telemetry: telemetrySchema,
});

/** JSON Schema of `agent.yaml`, for editors. */
export function agentConfigJsonSchema(): Record<string, unknown> {
  return configJsonSchema(agentConfigSchema, 'Signet agent configuration');
}

/** What `agent.yaml` says, checked, with defaults filled in. */
export type AgentConfig = z.output<typeof agentConfigSchema>;
