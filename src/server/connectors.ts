import { refuseConnectors } from '../api/connector-service.ts';
import { ConnectorAdminService } from '../gen/signet/connector/v1/admin.ts';
import { ConnectorService } from '../gen/signet/connector/v1/connector.ts';
import type { RpcHost } from '../rpc/host.ts';
import type { CallGuard } from '../rpc/service.ts';
import type { ServerCore } from './core.ts';
import type { ServerBase } from './server.ts';

/** The services about connectors, as listeners serve them. */
export interface ServerConnectors {
  /** Those that operators call, on either listener. */
  serveAdmin(host: RpcHost, guards: readonly CallGuard[]): void;
  /** Those that connectors call, over TCP. */
  serveTcp(host: RpcHost, guards: readonly CallGuard[]): void;
}

/** Starts what connectors need; without `connectors` in the configuration every call is refused. */
export function startConnectors(_base: ServerBase, _core: ServerCore): ServerConnectors {
  const admin = refuseConnectors(ConnectorAdminService);
  const connector = refuseConnectors(ConnectorService);
  return {
    serveAdmin: (host, guards) => host.addService(ConnectorAdminService, admin, guards),
    serveTcp: (host, guards) => host.addService(ConnectorService, connector, guards),
  };
}
