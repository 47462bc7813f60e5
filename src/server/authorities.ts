import { hostname } from 'node:os';
import type { AuthorityManager, AuthoritySource, X509Authority } from '../authority/authority.ts';
import { createAuthorityManager } from '../authority/authority-manager.ts';
import type { Propagation } from '../authority/barrier.ts';
import { createIssuingCa, type IssuingCa } from '../authority/issuing-ca.ts';
import type { AuthorityKind } from '../authority/journal.ts';
import type { UpstreamLink } from '../authority/upstream/upstream-link.ts';
import { ok, type Result } from '../base/result.ts';
import type { LedgerRecorder } from '../issuance/ledger-recorder.ts';
import type { Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import type { ServerConfig } from './config.ts';
import { protectionOf } from './protection.ts';
import type { ServerBase } from './server.ts';
import type { ServerKeys } from './server-keys.ts';
import { openUpstream } from './upstream.ts';

/** The signing side of a running server. */
export interface ServerAuthorities {
  /** Roots and JWT keys, and what operators do to them. */
  readonly manager: AuthorityManager;
  /** Who signs SVIDs: the manager's authorities, or the issuing CA below them. */
  readonly signers: AuthoritySource;
  /** Undefined where roots sign leaves themselves. */
  readonly issuingCa: IssuingCa | undefined;
  /** What signs our CA; undefined where it signs itself. */
  readonly upstream: UpstreamLink | undefined;
}

interface AuthorityParts {
  readonly store: Store;
  readonly registry: Registry;
  readonly keys: Pick<ServerKeys, 'x509' | 'jwt'>;
  readonly recorder: LedgerRecorder | undefined;
  /** Which agents have which bundle. */
  readonly propagation: Propagation;
}

/** Starts the authorities as the protection of each says (docs/keys.md). */
export async function startAuthorities(
  base: ServerBase,
  parts: AuthorityParts,
): Promise<Result<ServerAuthorities>> {
  const opened = await openUpstream(base, subjectOf(base));
  if (!opened.ok) return opened;
  const upstream = opened.value;
  const manager = await startManager(base, parts, upstream);
  if (!manager.ok) return manager;
  const issuing = await startIssuing(base, parts, manager.value);
  if (!issuing.ok) return issuing;
  const signers = issuing.value ?? manager.value;
  base.health.add('authority', 'ready', () => {
    const active = signers.currentX509();
    const signer = signers.currentJwt();
    const problem = active.ok ? (signer.ok ? undefined : signer.error) : active.error;
    const above = upstream?.problem === undefined ? '' : `; upstream: ${upstream.problem.message}`;
    return problem && problem.message + above;
  });
  return ok({ manager: manager.value, signers, issuingCa: issuing.value, upstream });
}

async function startManager(
  base: ServerBase,
  { store, keys, recorder, propagation }: AuthorityParts,
  upstream: UpstreamLink | undefined,
): Promise<Result<AuthorityManager>> {
  const { config, life, clock, random, log, metrics } = base;
  const { caTtlSeconds, jwtKeyTtlSeconds } = protectionOf(config);
  const manager = createAuthorityManager({
    upstream,
    clock,
    random,
    log,
    metrics,
    trustDomain: config.trustDomain,
    keys: keys.x509,
    jwtKeys: keys.jwt === keys.x509 ? undefined : keys.jwt,
    store,
    ...(recorder === undefined ? {} : { recordCa: recorder.recordCa }),
    ttlSeconds: caTtlSeconds,
    jwtTtlSeconds: jwtKeyTtlSeconds,
    backdateSeconds: config.svid.backdate,
    x509KeyType: config.ca.keyType,
    jwtKeyType: config.jwt.keyType ?? config.ca.keyType,
    subject: subjectOf(base),
    propagation,
    propagationWaitSeconds: config.ca.propagationWait,
    longestLeafSeconds: (kind) => longestLeafSeconds(base.settings.config, kind),
  });
  life.add('authorities', () => manager.close());
  const started = await manager.start();
  return started.ok ? ok(manager) : started;
}

async function startIssuing(
  base: ServerBase,
  { recorder, registry }: AuthorityParts,
  roots: AuthoritySource,
): Promise<Result<IssuingCa | undefined>> {
  const { config, life, clock, random, log, metrics } = base;
  const { ttl, keyType, nameConstraint } = config.ca.issuing;
  if (protectionOf(config).x509 === 'direct') return ok(undefined);
  const issuing = createIssuingCa({
    trustDomain: config.trustDomain,
    roots,
    clock,
    random,
    log,
    metrics,
    ...(recorder === undefined ? {} : { recordCa: recorder.recordCa }),
    ttlSeconds: ttl,
    backdateSeconds: config.svid.backdate,
    keyType: keyType ?? config.ca.keyType,
    subject: subjectOf(base),
    nameConstraint,
    note: (authority) => noteIssuingCa(base, registry, authority),
    stateOf: (authorityId) => registry.issuingCa(authorityId)?.state,
  });
  life.add(
    'issuing CA watch',
    registry.onIssuingCas(() => issuing.reconsider()),
  );
  life.add('issuing CA', () => issuing.close());
  const started = await issuing.start();
  return started.ok ? ok(issuing) : started;
}

/**
 * Makes an issuing CA known to all servers, so that any of them can taint it. Those that this server
 * made before, in this process or in one that was killed, sign no more.
 */
async function noteIssuingCa(
  { clock }: ServerBase,
  registry: Registry,
  { authorityId, certificate }: X509Authority,
): Promise<Result<void>> {
  const server = hostname();
  const sinceSeconds = Math.floor(clock.nowMs() / 1000);
  const made = { authorityId, certificate, server, sinceSeconds };
  const put = await registry.putIssuingCa({ ...made, state: 'issuing' });
  if (!put.ok) return put;
  for (const known of [...registry.issuingCas()]) {
    const isBefore = known.server === server && known.authorityId !== authorityId;
    if (!isBefore || known.state !== 'issuing') continue;
    const retired = await registry.putIssuingCa({ ...known, state: 'old', sinceSeconds });
    if (!retired.ok) return retired;
  }
  return ok(undefined);
}

/** What an old authority must still be able to sign while its successor waits for agents. */
function longestLeafSeconds(config: ServerConfig, kind: AuthorityKind): number {
  const { svid, jwt, ca } = config;
  if (kind === 'jwt') return jwt.ttl;
  const leaf = Math.max(svid.x509Ttl, svid.agentTtl ?? 0);
  return protectionOf(config).x509 === 'delegated' ? Math.max(leaf, ca.issuing.ttl) : leaf;
}

/** What the names of CAs that this server makes begin with. */
export function subjectOf({ config }: Pick<ServerBase, 'config'>): CaSubject {
  const { country, organization, commonName } = config.ca.subject;
  return {
    ...(country === undefined ? {} : { country }),
    ...(organization === undefined ? {} : { organization }),
    ...(commonName === undefined ? {} : { commonName }),
  };
}
