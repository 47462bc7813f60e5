import type { ConnectorAdminService } from '../gen/signet/connector/v1/admin.ts';
import type { ConnectorService } from '../gen/signet/connector/v1/connector.ts';
import { connectorsOff } from '../policy/connector-callers.ts';
import type { Handlers, ServiceShape } from '../rpc/service.ts';
import { type EnrolCalls, enrol, getChallenge } from './connector-enrol.ts';

/** Handlers of `signet.connector.v1.Connector`. */
export type ConnectorHandlers = Handlers<ConnectorService>;

/** Handlers of `signet.connector.v1.ConnectorAdmin`. */
export type ConnectorAdminHandlers = Handlers<ConnectorAdminService>;

/** `signet.connector.v1.Connector`: enrolment, and sessions where something holds them. */
export function createConnectorService(
  calls: EnrolCalls,
  session: ConnectorHandlers['session'] = async () => connectorsOff(),
): ConnectorHandlers {
  return {
    getChallenge: (request, context) => getChallenge(calls, request, context),
    enrol: (request, context) => enrol(calls, request, context),
    session,
  };
}

/** A service of a server that serves no connectors: every call is refused with CONNECTORS_OFF. */
export function refuseConnectors<S extends ServiceShape>(service: S): Handlers<S> {
  const refuse = async () => connectorsOff();
  const handlers = Object.keys(service).map((name) => [name, refuse]);
  // A refusal is an answer of every kind of method.
  return Object.fromEntries(handlers) as Handlers<S>;
}
