import { ok } from '../../base/result.ts';
import { ConnectorInfo } from '../../gen/signet/connector/v1/admin.ts';
import { CONNECTOR_STATES } from '../../rules/connector/record.ts';
import { listConnectors, printAll, printOut, withConnectors } from '../connector-calls.ts';
import { GROUP_FLAG, oneArg } from '../connector-flags.ts';
import { formatConnector, formatConnectors } from '../connector-view.ts';
import type { CommandSpec, FlagSpec } from '../spec.ts';

/** Which states a list or a watch is of. */
export const STATE_FLAG: FlagSpec = {
  name: 'state',
  value: 'state',
  choices: CONNECTOR_STATES,
  repeat: true,
  help: 'only those in this state',
};

/** `signet connector list`. */
export const connectorList: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'HEARD: how long ago its session said anything. CERT: until its certificate ends. FLOWS: open ones. After a restart of the server those that have not come back are degraded for three heartbeats, and lost then.',
  flags: [GROUP_FLAG, STATE_FLAG],
  examples: ['signet connector list', 'signet connector list --group db --state lost -o json'],
  run: (input, io) =>
    withConnectors(input, io, async (call) => {
      const filter = { group: input.text('group') ?? '', states: [...input.texts('state')] };
      const listed = await listConnectors(call, filter);
      if (!listed.ok) return listed;
      printAll(input, io, listed.value, {
        noun: 'connector',
        nouns: 'connectors',
        toJson: (one) => ConnectorInfo.toJSON(one),
        formatAll: formatConnectors,
      });
      return ok(undefined);
    }),
};

/** `signet connector show`. */
export const connectorShow: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'ID',
  about: 'Who it is, how it enrolled, and how it says that it is.',
  flags: [],
  examples: ['signet connector show db-7d4f', 'signet connector show db-7d4f -o json'],
  run: async (input, io) => {
    const id = oneArg(input, 'ID', 'signet connector list');
    if (!id.ok) return id;
    return withConnectors(input, io, async (call) => {
      const one = await call<ConnectorInfo>('reading the connector', (client) => (m, o, done) => {
        return client.getConnector({ name: id.value }, m, o, done);
      });
      if (!one.ok) return one;
      printOut(input, io, ConnectorInfo.toJSON(one.value), () => formatConnector(one.value, io));
      return ok(undefined);
    });
  },
};
