import { ok } from '../base/result.ts';
import { observeFleet } from '../connectors/fleet-metrics.ts';
import { renewConnector } from '../connectors/issue.ts';
import type { ConnectorParts } from '../connectors/parts.ts';
import { startConnectorPruner } from '../connectors/pruner.ts';
import { SessionHub } from '../connectors/session-hub.ts';
import { observeSessions } from '../connectors/session-metrics.ts';
import { toSvidMessage } from '../connectors/svid-message.ts';
import { resolveConnector } from '../policy/connector-callers.ts';
import { type ConnectorSettings, connectorLimits } from './connector-settings.ts';
import type { ServerCore } from './core.ts';
import type { ServerBase } from './server.ts';

/** Starts what holds the sessions of connectors, and forgets those that have ended. */
export function startConnectorSessions(
  base: ServerBase,
  { api }: ServerCore,
  settings: ConnectorSettings,
  parts: ConnectorParts,
): SessionHub {
  const { clock, random, metrics, life } = base;
  const { registry, policy, crl } = api;
  const log = base.log.child({ part: 'connectors' });
  const limits = connectorLimits(() => base.settings.config.connectors ?? settings);
  const hub = new SessionHub({
    registry,
    judge: (facts) => resolveConnector(facts, policy),
    crl,
    async renew(connector, csr) {
      const renewed = await renewConnector(connector, csr, parts);
      return renewed.ok ? ok(toSvidMessage(renewed.value.issued)) : renewed;
    },
    clock,
    random,
    log,
    heartbeatSeconds: heartbeatSecondsOf(settings),
    get sessionsPerSecond() {
      return limits.sessionsPerSecond;
    },
  });
  observeSessions(metrics, hub, registry.connectors);
  observeFleet(metrics, hub, registry.connectors, clock);
  const stopPruner = startConnectorPruner({
    registry: registry.connectors,
    clock,
    onForgotten: (count) => log.info({ count }, 'connectors that had ended are forgotten'),
    onFault: ({ code }) => log.warn({ code }, 'connectors that ended cannot be forgotten yet'),
  });
  life.add('connectors', async () => {
    stopPruner();
    await hub.close();
  });
  return hub;
}

/** How often connectors are asked to tell how they are, in seconds. */
export function heartbeatSecondsOf({ heartbeat }: Pick<ConnectorSettings, 'heartbeat'>): number {
  return Math.max(1, Math.round(heartbeat));
}
