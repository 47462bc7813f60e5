import { z } from 'zod';
import { auditSchema } from '../audit/settings.ts';
import type { Result } from '../base/result.ts';
import { kubernetesSchema } from '../controllers/settings.ts';
import { dpuSchema } from '../dpu/settings.ts';
import { federationSchema } from '../federation/settings.ts';
import { KEY_TYPES } from '../keys/key-manager.ts';
import { keysSchema } from '../keys/settings.ts';
import { zonesSchema } from '../policy/zone-settings.ts';
import {
  anonymousLimitSettings,
  listenerLimitSettings,
  refuseUselessMemory,
} from '../rpc/limit-settings.ts';
import { ANONYMOUS_LIMITS, SERVER_LIMITS } from '../rpc/limits.ts';
import { socketPathSetting } from '../rpc/socket-setting.ts';
import { checkDnsNames } from '../rules/dns-name.ts';
import {
  absolutePathSetting,
  configJsonSchema,
  hostSetting,
  loadConfig,
  parsedSetting,
} from '../runtime/config.ts';
import { LOG_LEVELS } from '../runtime/log.ts';
import { telemetrySchema } from '../runtime/telemetry.ts';
import { countSetting, durationSetting } from '../runtime/units.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../spiffe/trust-domain.ts';
import { attestationSchema } from './attestation-settings.ts';
import { connectorsSchema } from './connector-settings.ts';
import { crlSchema } from './crl.ts';
import { operatorGroupId } from './group.ts';
import { ledgerSchema } from './ledger-settings.ts';
import { oidcFaults, oidcSchema } from './oidc/settings.ts';
import { protectionFaults } from './protection.ts';
import { upstreamFaults, upstreamSchema } from './upstream-settings.ts';

/** Where the server keeps its state unless told. */
export const DEFAULT_SERVER_DATA_DIR = '/var/lib/signet/server';

/** Where operators' commands reach the server unless told. */
export const DEFAULT_ADMIN_SOCKET = '/run/signet/server/private/api.sock';

const trustDomainSetting: z.ZodType<TrustDomain, string> = parsedSetting(parseTrustDomain);
const spiffeIdSetting: z.ZodType<SpiffeId, string> = parsedSetting(parseSpiffeId);

/** Text that goes into a certificate's subject (RFC 5280: at most 64 characters). */
const nameText = z.string().min(1).max(64);

const dnsNamesSetting = z
  .array(z.string().max(253))
  .max(16)
  .superRefine((names, context) => {
    const checked = checkDnsNames(names);
    if (!checked.ok) context.addIssue({ code: 'custom', message: checked.error.message });
  });

const listenSchema = z
  .strictObject({
    address: hostSetting.default('::').describe(':: is IPv4 and IPv6.'),
    port: z.int().min(0).max(65_535).default(8081).describe('0 chooses a free one.'),
    minTlsVersion: z
      .enum(['1.3', '1.2'])
      .default('1.3')
      .describe('Oldest TLS version that is spoken.'),
    maxConnectionAge: durationSetting({ max: '24h' })
      .prefault('3m')
      .describe('Connections without an open push stream end after so long; 0s is never.'),
    dnsNames: dnsNamesSetting
      .default([])
      .describe('DNS names of the certificate, for clients that look for one, such as Istio.'),
  })
  .prefault({});

const adminSocketSchema = z
  .strictObject({
    path: socketPathSetting
      .default(DEFAULT_ADMIN_SOCKET)
      .describe("Where operators' commands connect; its folder is 0700."),
    group: parsedSetting(operatorGroupId)
      .optional()
      .describe('Name in /etc/group, or number, of a group whose members may use the socket too.'),
  })
  .prefault({});

const issuingSchema = z
  .strictObject({
    ttl: durationSetting({ min: '5s', max: '3650d' })
      .prefault('24h')
      .describe('Life of an issuing CA; the next is made at half.'),
    keyType: z.enum(KEY_TYPES).optional().describe('ca.keyType unless set.'),
    nameConstraint: z
      .boolean()
      .default(false)
      .describe('Whether it may name this trust domain only; not every client can read that.'),
  })
  .prefault({})
  .describe('CA of each server below the authority, with protection delegated.');

const caSchema = z
  .strictObject({
    protection: z
      .enum(['direct', 'delegated'])
      .optional()
      .describe(
        'Who signs leaves: the authority, or an issuing CA in memory below it (docs/keys.md). ' +
          'Unless set: direct with keys.manager disk and memory, else delegated.',
      ),
    ttl: durationSetting({ min: '5s', max: '3650d' })
      .optional()
      .describe('Life of an X.509 authority. Unless set: 24h, with protection delegated 365d.'),
    issuing: issuingSchema,
    propagationWait: durationSetting({ max: '7d' })
      .prefault('1h')
      .describe(
        'Longest that a new authority, or JWT key, that is due waits for agents to have its bundle.',
      ),
    keyType: z.enum(KEY_TYPES).default('ec-p256').describe('Key of the X.509 authority.'),
    subject: z
      .strictObject({
        country: z.string().length(2).optional().describe('Subject of the authority.'),
        organization: nameText.optional().describe('Subject of the authority.'),
        commonName: nameText.optional().describe('Subject of the authority.'),
      })
      .default({ country: 'US', organization: 'SPIFFE' }),
  })
  .prefault({});

const jwtSchema = z
  .strictObject({
    protection: z
      .enum(['direct', 'sealed'])
      .optional()
      .describe(
        'Where tokens are signed: by the key manager, or in memory by keys that are stored only ' +
          'encrypted by it. Unless set: sealed with keys outside the process, else direct.',
      ),
    keyTtl: durationSetting({ min: '5s', max: '3650d' })
      .optional()
      .describe('Life of a JWT key. Unless set: ca.ttl, with ca.protection delegated 24h.'),
    keyType: z.enum(KEY_TYPES).optional().describe('ca.keyType unless set.'),
    issuer: z.string().min(1).max(1024).optional().describe('The iss claim; left out unless set.'),
    ttl: durationSetting({ min: '1s', max: '24h' })
      .prefault('5m')
      .describe('Life of JWT-SVIDs whose entry says nothing.'),
  })
  .prefault({});

const svidSchema = z
  .strictObject({
    x509Ttl: durationSetting({ min: '1s', max: '3650d' })
      .prefault('1h')
      .describe('Life of X.509-SVIDs whose entry says nothing.'),
    agentTtl: durationSetting({ min: '1s', max: '3650d' })
      .optional()
      .describe('x509Ttl unless set.'),
    backdate: durationSetting({ max: '1h' })
      .prefault('60s')
      .describe('How far the start of validity lies in the past, against clocks that are behind.'),
    blockedKeys: absolutePathSetting
      .optional()
      .describe(
        'File of keys that nothing is issued for: SHA-256 of SubjectPublicKeyInfo in hex, one a line.',
      ),
  })
  .prefault({});

const agentsSchema = z
  .strictObject({
    pruneAfter: durationSetting({ max: '3650d' })
      .prefault('30d')
      .describe(
        'Agents whose SVID expired so long ago are forgotten; banned ones never. 0s keeps all.',
      ),
    pruneNonReattestable: z
      .boolean()
      .default(false)
      .describe(
        'Forgets also agents that cannot attest again by themselves: those of join tokens.',
      ),
  })
  .prefault({});

const rate = (perSecond: number, burst: number) =>
  z
    .strictObject({
      perSecond: z
        .number()
        .min(0)
        .max(1_000_000)
        .default(perSecond)
        .describe('0 turns the limit off.'),
      burst: z.int().min(1).max(1_000_000).default(burst).describe('How many at once.'),
    })
    .prefault({});

const limitsSchema = z
  .strictObject({
    attestation: rate(10, 100).describe('Attestations of one address.'),
    anonymousCalls: rate(50, 500).describe('Other calls without an identity, of one address.'),
    anonymousConnections: rate(50, 500).describe(
      'Connections without a client certificate, of one address.',
    ),
    agentCalls: rate(200, 1000).describe('Calls of one agent.'),
    agentSignatures: rate(500, 2000).describe(
      'Signatures for one agent; a batch costs its length.',
    ),
    batchCsrs: countSetting(500, 500).describe('CSRs in one request.'),
    batchEntries: countSetting(10_000, 100_000).describe('Entries in one request.'),
    connections: countSetting(20_000, 1_000_000).describe('Connections in all.'),
    connectionsPerAddress: countSetting(5000, 1_000_000).describe('Connections of one address.'),
    callsPerConnection: countSetting(100, 10_000).describe('Calls under way on one connection.'),
    pendingHandshakes: countSetting(512, 100_000).describe('TLS handshakes under way.'),
    pendingHandshakesPerAddress: countSetting(128, 100_000).describe('The same of one address.'),
    queuedCsrs: countSetting(4096, 1_000_000).describe(
      'Certificate requests that may wait for a signature.',
    ),
    authorizationStaleness: durationSetting({ min: '1s', max: '24h' })
      .prefault('1h')
      .describe('Nothing is issued by a view that could not be brought up to date for so long.'),
    ...listenerLimitSettings(SERVER_LIMITS),
    anonymous: anonymousLimitSettings(ANONYMOUS_LIMITS).describe(
      'Callers over TCP without a client certificate.',
    ),
  })
  .superRefine(refuseUselessMemory)
  .prefault({});

/** Schema of `server.yaml`. */
export const serverConfigSchema = z
  .strictObject({
    trustDomain: trustDomainSetting.describe('Name of the trust domain, such as example.org.'),
    dataDir: absolutePathSetting
      .default(DEFAULT_SERVER_DATA_DIR)
      .describe('Database and keys; 0700, of the server alone, one server at a time.'),
    listen: listenSchema,
    adminSocket: adminSocketSchema,
    keys: keysSchema,
    ca: caSchema,
    upstream: upstreamSchema,
    jwt: jwtSchema,
    oidc: oidcSchema,
    svid: svidSchema,
    agents: agentsSchema,
    attestation: attestationSchema,
    adminIds: z
      .array(spiffeIdSetting)
      .max(1000)
      .default([])
      .describe('SPIFFE IDs that may do what operators may, over TCP.'),
    limits: limitsSchema,
    log: z
      .strictObject({
        level: z.enum(LOG_LEVELS).default('info').describe('Least level that is written.'),
      })
      .prefault({}),
    ledger: ledgerSchema,
    crl: crlSchema,
    dpu: dpuSchema,
    federation: federationSchema,
    zones: zonesSchema,
    kubernetes: kubernetesSchema,
    connectors: connectorsSchema,
    audit: auditSchema,
    telemetry: telemetrySchema,
  })
  .superRefine(({ ledger, audit }, context) => {
    if (ledger.enabled || audit.sinks.length === 0) return;
    const message = 'needs the ledger: sinks follow it, and ledger.enabled is false';
    context.addIssue({ code: 'custom', path: ['audit', 'sinks'], message });
  })
  .superRefine(({ connectors, kubernetes }, context) => {
    const without = kubernetes.clusters.findIndex((one) => one.connectors !== undefined);
    if (connectors !== undefined || without === -1) return;
    const message = 'needs connectors of server.yaml, which switches them on';
    const path = ['kubernetes', 'clusters', without, 'connectors'];
    context.addIssue({ code: 'custom', path, message });
  })
  .superRefine((config, context) => {
    for (const { path, message } of [
      ...protectionFaults(config),
      ...upstreamFaults(config),
      ...oidcFaults(config),
    ]) {
      context.addIssue({ code: 'custom', path: [...path], message });
    }
  });

/** What `server.yaml` says, checked, with defaults filled in. */
export type ServerConfig = z.output<typeof serverConfigSchema>;

/** Reads `server.yaml`; fails with CONFIG_UNREADABLE, CONFIG_SYNTAX or CONFIG_INVALID. */
export function loadServerConfig(path: string): Promise<Result<ServerConfig>> {
  return loadConfig(path, serverConfigSchema);
}

/** JSON Schema of `server.yaml`, for editors. */
export function serverConfigJsonSchema(): Record<string, unknown> {
  return configJsonSchema(serverConfigSchema, 'Signet server configuration');
}

/** Paths of settings that a running server takes over; all others wait for a restart. */
const RELOADABLE = [
  'log.level',
  'adminIds',
  'svid.x509Ttl',
  'svid.agentTtl',
  'jwt.ttl',
  'limits.attestation',
  'limits.anonymousCalls',
  'limits.agentCalls',
  'limits.agentSignatures',
  'limits.batchCsrs',
  'limits.batchEntries',
  'connectors.sessionsPerSecond',
  'connectors.enrolmentsPerSecond',
  'connectors.enrolmentBurst',
] as const;

/** Paths of settings that differ between two configurations and are not reloadable. */
export function fixedChanges(before: ServerConfig, after: ServerConfig): readonly string[] {
  const changed = leaves(before, after, '');
  return changed.filter((path) => !RELOADABLE.some((key) => within(path, key)));
}

function within(path: string, key: string): boolean {
  return path === key || path.startsWith(`${key}.`);
}

function leaves(before: unknown, after: unknown, path: string): string[] {
  if (isPlain(before) && isPlain(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) =>
      leaves(before[key], after[key], path === '' ? key : `${path}.${key}`),
    );
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [path];
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
