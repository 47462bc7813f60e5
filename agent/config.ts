import { z } from 'zod';
import { LOG_LEVELS } from '../src/runtime/log.ts';
import { telemetrySchema } from '../src/runtime/telemetry.ts';
import { durationSetting, sizeSetting } from '../src/runtime/units.ts';
import { parseTrustDomain, type TrustDomain } from '../src/spiffe/trust-domain.ts';

/** Where the agent keeps its own SVID and key unless told. */
export const DEFAULT_AGENT_DATA_DIR = '/var/lib/signet/agent';

/** Where the Workload API listens unless told. */
export const DEFAULT_WORKLOAD_SOCKET = '/run/signet/agent/public/api.sock';

/** Kinds of key that workload SVIDs may have. */
export const WORKLOAD_KEY_TYPES = ['ec-p256', 'ec-p384', 'rsa-2048'] as const;

/** Kind of a workload SVID's key. */
export type WorkloadKeyType = (typeof WORKLOAD_KEY_TYPES)[number];

const trustDomainSetting = z
  .string()
  .superRefine((text, context) => {
    const parsed = parseTrustDomain(text);
    if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.error.message });
  })
  .transform((text, context): TrustDomain => {
    const parsed = parseTrustDomain(text);
    if (parsed.ok) return parsed.value;
    context.addIssue({ code: 'custom', message: parsed.error.message });
    return z.NEVER;
  });

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

const bootstrapSchema = z
  .strictObject({
    /** File with the trust bundle that the server is verified against the first time. */
    bundlePath: absolutePath.optional(),
    bundleFormat: z.enum(['pem', 'spiffe']).default('pem'),
    /** Takes the first bundle from whoever answers: for trials only. */
    insecure: z.boolean().default(false),
  })
  .refine((value) => (value.bundlePath !== undefined) !== value.insecure, {
    message: 'give either bundlePath or insecure: true',
  });

const joinSchema = z
  .strictObject({
    token: z.string().min(1).optional(),
    /** Read at each attestation, so that a new token can be put there while the agent runs. */
    tokenPath: absolutePath.optional(),
  })
  .refine((value) => value.token === undefined || value.tokenPath === undefined, {
    message: 'give either token or tokenPath',
  })
  .prefault({});

const workloadSocketSchema = z
  .strictObject({
    path: absolutePath.default(DEFAULT_WORKLOAD_SOCKET),
    /** Octal; every local process may connect unless told, since each is attested. */
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0777"')
      .default('0777')
      .transform((text) => Number.parseInt(text, 8)),
  })
  .prefault({});

const unixAttestorSchema = z
  .strictObject({
    /** Adds the selectors `path` and `sha256`. */
    discoverPath: z.boolean().default(false),
    /** Larger binaries fail the attestation; 0B does without `sha256`. */
    maxHashBytes: sizeSetting({ max: '4GiB' }).prefault('512MiB'),
  })
  .prefault({});

const count = (fallback: number, max = 1_000_000) => z.int().min(1).max(max).default(fallback);

const limitsSchema = z
  .strictObject({
    /** Connections on the Workload API socket. */
    connections: count(10_000),
    connectionsPerUid: count(5000),
    streamsPerConnection: count(100),
    streamsPerUid: count(5000),
    streams: count(10_000),
    /** JWT-SVIDs kept; the least recently used goes first. */
    jwtSvids: count(1000),
    /** Requests for new JWT-SVIDs under way. */
    jwtRequests: count(256),
  })
  .prefault({});

/** Schema of `agent.yaml`. */
export const agentConfigSchema = z.strictObject({
  trustDomain: trustDomainSetting,
  dataDir: absolutePath.default(DEFAULT_AGENT_DATA_DIR),
  server: z.strictObject({
    address: z.string().min(1),
    port: z.int().min(1).max(65_535).default(8081),
  }),
  bootstrap: bootstrapSchema,
  join: joinSchema,
  workloadSocket: workloadSocketSchema,
  workloadAttestors: z.strictObject({ unix: unixAttestorSchema }).prefault({}),
  svid: z.strictObject({ keyType: z.enum(WORKLOAD_KEY_TYPES).default('ec-p256') }).prefault({}),
  /** How long callers wait for the first synchronisation before they are told Unavailable. */
  startupGrace: durationSetting({ max: '10m' }).prefault('5s'),
  /** Lets processes without an entry validate tokens and read the bundles of the own trust domain. */
  allowUnauthenticatedVerifiers: z.boolean().default(false),
  /** Claims, beside sub, aud and exp, that tokens of other trust domains show after validation. */
  allowedForeignJwtClaims: z.array(z.string().min(1)).default([]),
  limits: limitsSchema,
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
  telemetry: telemetrySchema,
});

/** What `agent.yaml` says, checked, with defaults filled in. */
export type AgentConfig = z.output<typeof agentConfigSchema>;
