import { createAgentService } from '../api/agent-service.ts';
import { createAgentSyncService } from '../api/agent-sync.ts';
import { createAttestationService } from '../api/attestation-service.ts';
import { createBundleService } from '../api/bundle-service.ts';
import { createDpuService } from '../api/dpu-service.ts';
import { createEntryService } from '../api/entry-service.ts';
import { createGuard } from '../api/guard.ts';
import { createIstioMetrics, createIstioService } from '../api/istio-service.ts';
import { createLocalAuthorityService } from '../api/local-authority-service.ts';
import { oneAtATime } from '../api/one-at-a-time.ts';
import { createPushStreams, type PushStreams } from '../api/push-streams.ts';
import { createRevocationService } from '../api/revocation-service.ts';
import { createRuleService } from '../api/rule-service.ts';
import { createSvidService } from '../api/svid-service.ts';
import { createTrustDomainService } from '../api/trust-domain-service.ts';
import type { NodeAttestor } from '../attestation/attestor.ts';
import { ok, type Result } from '../base/result.ts';
import { IstioCertificateServiceService } from '../gen/istio/v1/auth/ca.ts';
import { AgentSyncService } from '../gen/signet/agent/v1/agent.ts';
import { AttestationService } from '../gen/signet/attestation/v1/attestation.ts';
import { DpuInventoryService } from '../gen/signet/dpu/v1/dpu.ts';
import { RevocationService } from '../gen/signet/revocation/v1/revocation.ts';
import { RuleService } from '../gen/signet/rule/v1/rule.ts';
import { AgentService } from '../gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../gen/spire/api/server/entry/v1/entry.ts';
import { LocalAuthorityService } from '../gen/spire/api/server/localauthority/v1/localauthority.ts';
import { SVIDService } from '../gen/spire/api/server/svid/v1/svid.ts';
import { TrustDomainService } from '../gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import type { Registry } from '../registry/registry.ts';
import { createHealthBoard } from '../rpc/health.ts';
import { createRpcHost, type RpcHost } from '../rpc/host.ts';
import { anonymousLimitsOf, listenerLimitsOf } from '../rpc/limit-settings.ts';
import { ADMIN_LIMITS, type RpcLimits } from '../rpc/limits.ts';
import { serveReflection } from '../rpc/reflection.ts';
import { createRpcMetrics, type RpcMetrics } from '../rpc/rpc-metrics.ts';
import type { CallGuard } from '../rpc/service.ts';
import { listenUnix } from '../rpc/unix-listener.ts';
import type { ChainValidator } from '../tls/identity.ts';
import { listenTls, type TlsListener } from '../tls/listener.ts';
import { createSvidValidator } from '../tls/validator.ts';
import { createAttestors } from './attestors.ts';
import type { ServerConfig } from './config.ts';
import { type ServerConnectors, startConnectors } from './connectors.ts';
import type { ServerCore } from './core.ts';
import { createDpuHost } from './dpu-host-attestor.ts';
import type { JudgedDpus } from './dpu-judge.ts';
import type { ServerFederation } from './federation.ts';
import type { ServerBase } from './server.ts';
import { vendorServices } from './vendors.ts';

/** Time that open calls have to send their last words at the end, in milliseconds. */
const SHUTDOWN_GRACE_MS = 4_000;

/** What reflection shows on the admin socket. */
const REFLECTED = [
  'spire.api.server.agent.v1.Agent',
  'spire.api.server.entry.v1.Entry',
  'spire.api.server.bundle.v1.Bundle',
  'spire.api.server.svid.v1.SVID',
  'spire.api.server.trustdomain.v1.TrustDomain',
  'spire.api.server.localauthority.v1.LocalAuthority',
  'signet.agent.v1.AgentSync',
  'signet.revocation.v1.Revocation',
  'signet.dpu.v1.DpuInventory',
  'signet.attestation.v1.Attestation',
  'signet.rule.v1.Rule',
  'signet.connector.v1.ConnectorAdmin',
  'signet.connector.v1.VendorAdmin',
  'grpc.health.v1.Health',
] as const;

/** What services are about, beside the core. */
export interface ListenerParts {
  readonly dpu: JudgedDpus | undefined;
  readonly federation: ServerFederation;
}

/** Opens the admin socket and the TCP port, in this order: operators can look in before agents come. */
export async function startListeners(
  base: ServerBase,
  core: ServerCore,
  { dpu, federation }: ListenerParts,
): Promise<Result<TlsListener>> {
  const rpcMetrics = createRpcMetrics(base.metrics);
  const host = await createDpuHost(base, core);
  if (!host.ok) return host;
  const ofDpus = [dpu?.attestor, host.value].filter((one) => one !== undefined);
  const attestors = await createAttestors(base, core.registry, ofDpus);
  if (!attestors.ok) return attestors;
  const connectors = startConnectors(base, core);
  const served = services(base, core, attestors.value, { dpu, federation, connectors });
  const admin = await startAdmin(base, rpcMetrics, served);
  if (!admin.ok) return admin;
  return startTcp(base, core, rpcMetrics, { ...served, connectors });
}

interface Services {
  readonly serve: (host: RpcHost) => void;
  readonly guard: CallGuard;
}

interface ServiceParts extends ListenerParts {
  readonly connectors: ServerConnectors;
}

/** The same services on both listeners; the matrix of policy says who may call what. */
function services(
  base: ServerBase,
  { api, authority, issuingCa, issueCa, dpus, clusters, vendors }: ServerCore,
  attestors: ReadonlyMap<string, NodeAttestor>,
  { dpu: judged, federation, connectors }: ServiceParts,
): Services {
  const { callLimits } = base.settings;
  const attestation = { attestors, oneAtATime: oneAtATime() };
  const streams = pushStreams(base);
  const agent = createAgentService(api, attestation);
  const entry = createEntryService(api);
  const downstream = { ...api, authority, issueCa };
  const bundle = createBundleService(downstream, callLimits);
  const svid = createSvidService(downstream, callLimits);
  const localAuthority = createLocalAuthorityService({ ...api, authority, issuingCa });
  const revocation = createRevocationService(api);
  const dpu = createDpuService(api, {
    ...dpus,
    collector: judged?.collector,
    watch: judged?.watch,
  });
  const nodes = createAttestationService(api);
  const rule = createRuleService(api, clusters.rules);
  const { fetcher } = federation;
  const trustDomain = createTrustDomainService({
    ...api,
    refresh: (name) => fetcher.refresh(name),
  });
  const sync = createAgentSyncService(api, streams);
  const guard = createGuard(api, callLimits);
  const serve = (host: RpcHost): void => {
    const guards = [guard];
    host.addService(AgentService, agent, guards);
    host.addService(EntryService, entry, guards);
    host.addService(BundleService, bundle, guards);
    host.addService(TrustDomainService, trustDomain, guards);
    host.addService(SVIDService, svid, guards);
    host.addService(LocalAuthorityService, localAuthority, guards);
    host.addService(AgentSyncService, sync, guards);
    host.addService(RevocationService, revocation, guards);
    host.addService(DpuInventoryService, dpu, guards);
    host.addService(AttestationService, nodes, guards);
    host.addService(RuleService, rule, guards);
    connectors.serveAdmin(host, guards);
    vendorServices(api, vendors).serveAdmin(host, guards);
  };
  return { serve, guard };
}

function pushStreams({ metrics }: ServerBase): PushStreams {
  const gauge = metrics.gauge('push_streams', 'Open push streams.');
  return createPushStreams((count) => gauge.set(count));
}

async function startAdmin(
  base: ServerBase,
  metrics: RpcMetrics,
  { serve, guard }: Services,
): Promise<Result<void>> {
  const { config, clock, life, health } = base;
  const tell = (): void => board.set('', health.report('ready').ok);
  const board = createHealthBoard(tell);
  const log = base.log.child({ listener: 'admin' });
  const guards = [guard];
  const host = createRpcHost({ name: 'admin', log, metrics, clock, limits: ADMIN_LIMITS, guards });
  serve(host);
  board.serveOn(host, guards);
  serveReflection(host, REFLECTED);
  const { path, group } = config.adminSocket;
  const listener = await listenUnix(
    {
      path,
      mode: group === undefined ? 0o600 : 0o660,
      folderMode: group === undefined ? 0o700 : 0o710,
      ...(group === undefined ? {} : { groupId: group }),
    },
    host,
  );
  if (!listener.ok) return listener;
  life.add('health watchers', health.onChange(tell));
  life.add('admin socket', async () => {
    await listener.value.close();
    await host.shutdown(SHUTDOWN_GRACE_MS);
  });
  return ok(undefined);
}

async function startTcp(
  base: ServerBase,
  { api, registry, identity, clusters, vendors }: ServerCore,
  metrics: RpcMetrics,
  { serve, guard, connectors }: Services & Pick<ServiceParts, 'connectors'>,
): Promise<Result<TlsListener>> {
  const { config, clock, life, random } = base;
  const ready = base.health.part('listener', 'the TCP port is not open yet');
  const log = base.log.child({ listener: 'tcp' });
  const limits = tcpLimits(config);
  const host = createRpcHost({ name: 'tcp', log, metrics, clock, limits, guards: [guard] });
  serve(host);
  connectors.serveTcp(host, [guard]);
  vendorServices(api, vendors).serveTcp(host, [guard]);
  if (clusters.meshes.length > 0) {
    const istio = createIstioService(api, clusters.meshes, createIstioMetrics(base.metrics));
    host.addService(IstioCertificateServiceService, istio, [guard]);
  }
  const { address, port, minTlsVersion, maxConnectionAge } = config.listen;
  const { anonymousConnections, pendingHandshakes, pendingHandshakesPerAddress } = config.limits;
  const listener = await listenTls(
    {
      address,
      port,
      minTlsVersion,
      identity: identity.current,
      validateClient: clientValidator(base, registry),
      maxConnectionAgeMs: maxConnectionAge * 1000,
      maxPendingHandshakes: pendingHandshakes,
      maxPendingHandshakesPerAddress: pendingHandshakesPerAddress,
      ...(anonymousConnections.perSecond === 0 ? {} : { anonymousLimit: anonymousConnections }),
      random,
    },
    host,
  );
  if (!listener.ok) return listener;
  identity.onRenewed((renewed) => {
    const set = listener.value.setIdentity(renewed);
    if (!set.ok) log.error({ code: set.error.code, reason: set.error.message }, 'own SVID');
  });
  life.add('TCP listener', async () => {
    ready.notReady('the server is stopping');
    await listener.value.close();
    await host.shutdown(SHUTDOWN_GRACE_MS);
  });
  ready.ready();
  return listener;
}

/**
 * Judges client certificates by the bundle of this very moment: without session tickets each
 * connection comes through here (F10). Only SVIDs of the own trust domain, and those of operators by
 * name, have any business on this port.
 */
function clientValidator({ clock, settings }: ServerBase, registry: Registry): ChainValidator {
  const own = registry.trustDomain.name;
  return createSvidValidator({
    bundles: (domain) => (domain.name === own ? registry.bundle : undefined),
    clock,
    accepts: (id) =>
      id.trustDomain.name === own || settings.adminIds.some((admin) => admin.uri === id.uri),
  });
}

function tcpLimits({ limits }: ServerConfig): RpcLimits {
  return {
    ...listenerLimitsOf(limits),
    anonymous: anonymousLimitsOf(limits.anonymous),
    maxConnections: limits.connections,
    maxConnectionsPerPeer: limits.connectionsPerAddress,
    maxStreamsPerConnection: limits.callsPerConnection,
  };
}
