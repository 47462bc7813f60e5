import type { EnrolCalls } from '../api/connector-enrol.ts';
import { createConnectorService, refuseConnectors } from '../api/connector-service.ts';
import { createConnectorSession } from '../api/connector-session.ts';
import { createChallenges } from '../connectors/enrol/challenges.ts';
import type { EnrolContext } from '../connectors/enrol/enrol.ts';
import { createEnrolMetrics } from '../connectors/enrol/metrics.ts';
import { type ConnectorCluster, createPodFinder } from '../connectors/enrol/pods.ts';
import type { LiveConnectors } from '../connectors/live.ts';
import { MEASURED_CONNECTOR_SERVICE } from '../connectors/message-pace.ts';
import type { ConnectorParts } from '../connectors/parts.ts';
import { nodeFrom } from '../controllers/projections.ts';
import { ConnectorAdminService } from '../gen/signet/connector/v1/admin.ts';
import { ConnectorService } from '../gen/signet/connector/v1/connector.ts';
import type { RpcHost } from '../rpc/host.ts';
import { createRateLimiter } from '../rpc/rate-limiter.ts';
import type { CallGuard } from '../rpc/service.ts';
import { nodeAgentId } from '../rules/kube/surroundings.ts';
import { connectorAdmin } from './connector-admin.ts';
import { heartbeatSecondsOf, startConnectorSessions } from './connector-sessions.ts';
import { type ConnectorSettings, connectorLimits } from './connector-settings.ts';
import type { ServerCore } from './core.ts';
import { startKubeConnectors } from './kube-connectors.ts';
import type { ServerCluster } from './kubernetes.ts';
import { rememberCertificates } from './own-certificates.ts';
import type { ServerBase } from './server.ts';

/** The services about connectors, as listeners serve them. */
export interface ServerConnectors {
  /** Those that operators call, on either listener. */
  serveAdmin(host: RpcHost, guards: readonly CallGuard[]): void;
  /** Those that connectors call, over TCP. */
  serveTcp(host: RpcHost, guards: readonly CallGuard[]): void;
  /** How connectors are now; undefined where they are not served. */
  readonly live: LiveConnectors | undefined;
}

/** Starts what connectors need; without `connectors` in the configuration every call is refused. */
export function startConnectors(base: ServerBase, core: ServerCore): ServerConnectors {
  const settings = base.config.connectors;
  const { api } = core;
  if (settings === undefined || api.connectors === undefined) {
    const admin = refuseConnectors(ConnectorAdminService);
    const connector = refuseConnectors(ConnectorService);
    return {
      serveAdmin: (host, guards) => host.addService(ConnectorAdminService, admin, guards),
      serveTcp: (host, guards) => host.addService(ConnectorService, connector, guards),
      live: undefined,
    };
  }
  const parts = { ...api, connectors: api.connectors };
  const hub = startConnectorSessions(base, core, settings, parts);
  const admin = connectorAdmin(api, parts, hub);
  startKubeConnectors(base, core, hub);
  const calls = enrolCalls(base, core, settings, parts, hub);
  const connector = createConnectorService(calls, createConnectorSession(hub, base.clock));
  return {
    serveAdmin: (host, guards) => host.addService(ConnectorAdminService, admin, guards),
    serveTcp: (host, guards) => host.addService(MEASURED_CONNECTOR_SERVICE, connector, guards),
    live: hub,
  };
}

function enrolCalls(
  base: ServerBase,
  { api, clusters, identity }: ServerCore,
  settings: ConnectorSettings,
  parts: ConnectorParts,
  live: LiveConnectors,
): EnrolCalls {
  const { clock, random, metrics } = base;
  const limits = connectorLimits(() => base.settings.config.connectors ?? settings);
  const enrolment: EnrolContext = {
    parts,
    challenges: createChallenges({ clock, random }),
    pods: createPodFinder({
      clusters: clusters.all.map((one) => clusterOf(base, one)),
      audiences: settings.audiences,
      maxReviews: settings.tokenReviews,
    }),
    metrics: createEnrolMetrics(metrics),
    maxClockSkewMs: settings.maxClockSkew * 1000,
    isOwnCertificate: rememberCertificates(identity),
    isOpen: (id) => live.isOpen(id),
  };
  return {
    api,
    enrolment,
    limiters: {
      enrolments: createRateLimiter({ limit: limits.enrolments, clock }),
      challenges: createRateLimiter({ limit: limits.enrolments, clock }),
    },
    sessionEndpoints: settings.sessionEndpoints,
    heartbeatSeconds: heartbeatSecondsOf(settings),
  };
}

function clusterOf({ config }: ServerBase, { cluster, api }: ServerCluster): ConnectorCluster {
  const { name, rules } = cluster;
  const { clusterDomain, pathPrefixes, parentIdTemplate } = rules;
  const { trustDomain } = config;
  const facts = { trustDomain, clusterName: name, clusterDomain, pathPrefixes, parentIdTemplate };
  return { name, api, agentOf: (node) => nodeAgentId(facts, nodeFrom(node)) };
}
