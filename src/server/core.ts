import { join } from 'node:path';
import type { ApiContext } from '../api/context.ts';
import type { VendorParts } from '../api/vendor-admin.ts';
import type { AuthorityManager, AuthoritySource } from '../authority/authority.ts';
import type { IssuingCa } from '../authority/issuing-ca.ts';
import type { UpstreamLink } from '../authority/upstream/upstream-link.ts';
import { refuseNotWhole } from '../backup/whole.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createDownstreamCaIssuer, type DownstreamCaIssuer } from '../issuance/downstream-ca.ts';
import type { FindIssued } from '../issuance/find-issued.ts';
import { createIssuer } from '../issuance/issuer.ts';
import { inTurn, type LedgerRecorder } from '../issuance/ledger-recorder.ts';
import { createLogRecorder } from '../issuance/recorder.ts';
import type { PolicyContext } from '../policy/context.ts';
import { recheckCaGrant } from '../policy/grants.ts';
import { recheckGrant } from '../policy/recheck.ts';
import { createAdmission } from '../policy/zones.ts';
import { startAgentPruner } from '../registry/agent-pruner.ts';
import type { KeptBanEvent } from '../registry/ban-keeper.ts';
import { BundleAcks } from '../registry/bundle-acks.ts';
import { openLocalBans } from '../registry/local-bans.ts';
import { openLocalHolds } from '../registry/local-holds.ts';
import { createRegistry, type Registry } from '../registry/registry.ts';
import { openDataDir } from '../runtime/data-dir.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { StoreThreadEvent } from '../store/sqlite/worker-client.ts';
import type { Store } from '../store/store.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import { startAuthorities, subjectOf } from './authorities.ts';
import { loadBlockedKeys } from './blocked-keys.ts';
import { type ServerCrl, startCrl, withCrlPoints } from './crl.ts';
import { logKeptHold, type ServerDpus, startDpus } from './dpu.ts';
import { type ServerClusters, startKubernetes } from './kubernetes.ts';
import { type ServerLedger, startLedger } from './ledger.ts';
import { cachedKeys } from './oidc/cached-keys.ts';
import { protectionOf } from './protection.ts';
import { Receivers } from './receivers.ts';
import type { ServerBase } from './server.ts';
import { createServerIdentity, type ServerIdentity } from './server-identity.ts';
import { openServerKeys } from './server-keys.ts';
import { takenBack } from './taken-back.ts';
import { startVendors } from './vendors.ts';

/** The server without its listeners. */
export interface ServerCore {
  readonly registry: Registry;
  readonly authority: AuthorityManager;
  /** Undefined where roots sign leaves themselves. */
  readonly issuingCa: IssuingCa | undefined;
  /** What signs our CA; undefined where it signs itself. */
  readonly upstream: UpstreamLink | undefined;
  readonly identity: ServerIdentity;
  readonly api: ApiContext;
  /** Makes the CAs of servers below this one. */
  readonly issueCa: DownstreamCaIssuer;
  /** Undefined where it is turned off. */
  readonly ledger: ServerLedger | undefined;
  /** Undefined where it is turned off. */
  readonly crl: ServerCrl | undefined;
  readonly dpus: ServerDpus;
  readonly clusters: ServerClusters;
  /** What vendors' connectors need; undefined where connectors are not served. */
  readonly vendors: VendorParts | undefined;
}

/** Starts state, keys, authorities and issuance. */
export async function startCore(base: ServerBase): Promise<Result<ServerCore>> {
  const state = await startState(base);
  if (!state.ok) return state;
  const { store, registry, directory } = state.value;
  const bundleAcks = startBundleAcks(base, store, registry);
  const keys = await openServerKeys(base, { store, directory });
  if (!keys.ok) return keys;
  const { sealed, wrapper } = keys.value;
  const ledger = await startLedger(base, { directory, store, wrapper });
  if (!ledger.ok) return ledger;
  const recorder = ledger.value?.recorder;
  const propagation = new Receivers();
  propagation.add(bundleAcks);
  const { oidc } = base.config;
  if (oidc !== undefined) propagation.add(cachedKeys(oidc.cacheFor, base.clock));
  const authorities = await startAuthorities(base, {
    store,
    registry,
    keys: keys.value,
    recorder,
    propagation,
  });
  if (!authorities.ok) return authorities;
  const { manager, signers, issuingCa, upstream } = authorities.value;
  // The authorities' bundle was written just now; callers must see it from the first one on.
  const caughtUp = await registry.catchUp();
  if (!caughtUp.ok) return caughtUp;
  const blockedKeys = await loadBlockedKeys(base.config.svid.blockedKeys);
  if (!blockedKeys.ok) return blockedKeys;
  const vendors = await startVendors(base, {
    store,
    registry,
    directory,
    keys: keys.value,
    recorder,
    blockedKeys: blockedKeys.value,
  });
  if (!vendors.ok) return vendors;
  const issuance = startIssuance(base, {
    registry,
    bundleAcks,
    blockedKeys: blockedKeys.value,
    signers: withCrlPoints(signers, manager, base.config.crl.distributionPoints),
    recorder,
    findIssued: ledger.value?.findIssued,
  });
  const { recordAct } = issuance;
  const dpus = await startDpus(base, { registry, directory, store, recordAct });
  if (!dpus.ok) return dpus;
  const crl = await startCrl(base, { registry, roots: manager, recorder, sealed });
  const findIssuerName = ledger.value?.findIssuerNames(() => registry.bundle);
  const api: ApiContext = { ...issuance, crl: crl?.pushed, findIssuerName };
  const identity = await createServerIdentity({
    trustDomain: base.config.trustDomain,
    dnsNames: base.config.listen.dnsNames,
    issuer: api.issuer,
    clock: base.clock,
    log: base.log,
    health: base.health.part('identity', "the server's own SVID is not made yet"),
    ...takenBack(registry),
  });
  if (!identity.ok) return identity;
  base.life.add('server identity', () => identity.value.close());
  const clusters = await startKubernetes(base, api, propagation);
  if (!clusters.ok) return clusters;
  if (base.life.stopping) return fail('START_INTERRUPTED', 'told to stop while starting');
  return ok({
    registry,
    vendors: vendors.value,
    clusters: clusters.value,
    issueCa: downstreamCas(base, {
      api,
      authority: manager,
      recorder,
      blockedKeys: blockedKeys.value,
    }),
    authority: manager,
    issuingCa,
    upstream,
    identity: identity.value,
    api,
    ledger: ledger.value,
    crl,
    dpus: dpus.value,
  });
}

/** CAs of servers below are signed by the authority itself: below an issuing CA there is no room. */
function downstreamCas(
  base: ServerBase,
  { api, authority, recorder, blockedKeys }: DownstreamParts,
): DownstreamCaIssuer {
  const { config, clock, random } = base;
  return createDownstreamCaIssuer({
    trustDomain: config.trustDomain,
    authority,
    recheck: (grant) => recheckCaGrant(grant, api.policy),
    recordCa: recorder?.recordCa,
    clock,
    random,
    maxTtlSeconds: protectionOf(config).caTtlSeconds,
    backdateSeconds: config.svid.backdate,
    subject: subjectOf(base),
    blockedKeys,
  });
}

interface DownstreamParts {
  readonly api: ApiContext;
  readonly authority: AuthorityManager;
  readonly recorder: LedgerRecorder | undefined;
  readonly blockedKeys: BlockedKeys;
}

async function startState(
  base: ServerBase,
): Promise<Result<{ store: Store; registry: Registry; directory: string }>> {
  const { config, clock, random, life, log, health, metrics } = base;
  const dataDir = await openDataDir(config.dataDir);
  if (!dataDir.ok) return dataDir;
  life.add('data directory', dataDir.value.release);
  const directory = dataDir.value.path;
  const whole = refuseNotWhole(directory);
  if (!whole.ok) return whole;
  const { trustDomain } = config;
  const store = await openSqliteStore({
    path: join(directory, 'server.sqlite'),
    trustDomain,
    random,
    clock,
    onThread: watchStoreThread(log, metrics),
  });
  if (!store.ok) return store;
  life.add('store', () => store.value.close());
  const bans = await openLocalBans(join(directory, 'local-bans'));
  if (!bans.ok) return bans;
  metrics.reading('local_bans', 'Bans that the database does not have yet.', () => bans.value.size);
  const holds = await openLocalHolds(join(directory, 'local-holds'));
  if (!holds.ok) return holds;
  metrics.reading('local_holds', 'Quarantines that the database does not have yet.', () => {
    return holds.value.size;
  });
  const registry = await createRegistry({
    store: store.value,
    localBans: bans.value,
    localHolds: holds.value,
    onKeptHold: (event) => logKeptHold(log, event),
    admits: createAdmission(config.zones),
    derives: config.kubernetes.clusters.length > 0,
    onKeptBan: (event) => logKeptBan(log, event),
    trustDomain,
    clock,
    random,
    onFault: (error) => log.error({ code: error.code, reason: error.message }, 'change feed'),
  });
  if (!registry.ok) return registry;
  life.add('registry', () => registry.value.close());
  const stopPruner = startAgentPruner({
    store: store.value,
    clock,
    random,
    expiredForSeconds: config.agents.pruneAfter,
    nonReattestable: config.agents.pruneNonReattestable,
    onPruned: (count) => log.info({ count }, 'agents forgotten that expired long ago'),
    onFault: (error) => log.error({ code: error.code, reason: error.message }, 'pruning agents'),
  });
  life.add('agent pruner', stopPruner);
  watchRegistry(registry.value, { health, metrics, maxStalenessMs: stalenessMs(base) });
  return ok({ store: store.value, registry: registry.value, directory });
}

function watchStoreThread(log: Logger, metrics: Metrics): (event: StoreThreadEvent) => void {
  const restarts = metrics.counter(
    'store_thread_restarts_total',
    'Times that the thread of the database had to be started again.',
  );
  return (event) => {
    if (event.kind === 'restarted') {
      restarts.inc();
      log.info('the thread of the database runs again');
      return;
    }
    const { code, message: reason, cause } = event.error;
    log.error({ code, reason, err: cause, retryMs: event.retryMs }, 'thread of the database');
  };
}

function logKeptBan(log: Logger, event: KeptBanEvent): void {
  if (event.kind === 'failed') {
    const { code, message: reason } = event.error;
    log.error({ code, reason, retryMs: event.retryMs }, 'local bans are not in the database yet');
    return;
  }
  const agentId = event.agentId.uri;
  if (event.kind === 'written') log.info({ agentId }, 'local ban is in the database now');
  else log.warn({ agentId }, 'local ban dropped: the database has no such agent');
}

function startBundleAcks(
  { clock, log, life }: ServerBase,
  store: Store,
  registry: Registry,
): BundleAcks {
  const onFault = ({ code, message: reason }: SignetError): void =>
    log.error({ code, reason }, 'acknowledgements of bundles are not written');
  const acks = new BundleAcks({ registry, store, clock, onFault });
  life.add('bundle acknowledgements', () => acks.close());
  return acks;
}

interface IssuanceParts {
  readonly registry: Registry;
  readonly bundleAcks: BundleAcks;
  readonly blockedKeys: BlockedKeys;
  readonly signers: AuthoritySource;
  readonly recorder: LedgerRecorder | undefined;
  readonly findIssued: FindIssued | undefined;
}

function startIssuance(
  base: ServerBase,
  { registry, blockedKeys, signers, recorder, findIssued, bundleAcks }: IssuanceParts,
): ApiContext {
  const { config, clock, random, log, metrics, settings, life } = base;
  const connectors = config.connectors === undefined ? undefined : registry.connectors;
  const policy: PolicyContext = {
    registry,
    clock,
    get adminIds() {
      return settings.adminIds;
    },
    serverUid: process.geteuid?.() ?? 0,
    adminGid: config.adminSocket.group,
    maxStalenessMs: stalenessMs(base),
    zones: config.zones,
    connectors,
  };
  const issuer = createIssuer({
    authority: signers,
    recheck: (grant) => recheckGrant(grant, policy),
    // The ledger first: the log tells only of what is durable.
    recorder: inTurn([...(recorder === undefined ? [] : [recorder]), createLogRecorder(log)]),
    clock,
    random,
    log,
    metrics,
    backdateSeconds: config.svid.backdate,
    get x509TtlSeconds() {
      return settings.config.svid.x509Ttl;
    },
    get agentTtlSeconds() {
      return settings.config.svid.agentTtl ?? settings.config.svid.x509Ttl;
    },
    get jwtTtlSeconds() {
      return settings.config.jwt.ttl;
    },
    ...(config.jwt.issuer === undefined ? {} : { jwtIssuer: config.jwt.issuer }),
    maxQueued: config.limits.queuedCsrs,
    blockedKeys,
  });
  life.add('issuer', () => issuer.close());
  const recordAct = recorder?.recordAct;
  const limits = settings.apiLimits;
  const parts = { registry, bundleAcks, issuer, policy, connectors };
  return { ...parts, clock, random, log, limits, recordAct, findIssued };
}

function stalenessMs({ config }: ServerBase): number {
  return config.limits.authorizationStaleness * 1000;
}

function watchRegistry(
  registry: Registry,
  {
    health,
    metrics,
    maxStalenessMs,
  }: Pick<ServerBase, 'health' | 'metrics'> & {
    readonly maxStalenessMs: number;
  },
): void {
  health.add('registry', 'ready', () => {
    const stale = registry.stalenessMs();
    return stale > maxStalenessMs ? `no changes could be read for ${stale} ms` : undefined;
  });
  metrics.reading('registry_staleness_seconds', 'How long the view is known to lag behind.', () => {
    return registry.stalenessMs() / 1000;
  });
  metrics.reading('entries', 'Registration entries.', () => registry.countEntries());
  metrics.reading('agents', 'Attested agents.', () => registry.countAgents());
  metrics.reading('revocations', 'Revoked X.509-SVIDs that have not ended.', () => {
    return registry.revocationCount;
  });
}
