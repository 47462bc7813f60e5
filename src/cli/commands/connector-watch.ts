import { ok } from '../../base/result.ts';
import { ConnectorChange, type ConnectorInfo } from '../../gen/signet/connector/v1/admin.ts';
import { GROUP_FLAG } from '../connector-flags.ts';
import { followConnectors } from '../connector-follow.ts';
import { formatError } from '../report.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec } from '../spec.ts';
import { COLUMNS, cut, safe, safeJson } from '../text.ts';
import { STATE_FLAG } from './connector-list.ts';

/** `signet connector watch`. */
export const connectorWatch: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'Until Ctrl-C. A server that goes away is asked again. With -o json, one change a line.',
  flags: [GROUP_FLAG, STATE_FLAG],
  examples: ['signet connector watch', 'signet connector watch --group db -o json'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const filter = { group: input.text('group') ?? '', states: [...input.texts('state')] };
      const json = input.text('output') === 'json';
      const shown = new Map<string, string>();
      const onChange = (change: ConnectorChange): boolean => {
        if (json) io.out(`${safeJson(ConnectorChange.toJSON(change))}\n`);
        else io.out(lineOf(change, shown, io));
        return true;
      };
      const onLost = (error: Parameters<typeof formatError>[0]): void => {
        io.err(formatError(error));
      };
      const error = await followConnectors(server, io, filter, { onChange, onLost });
      return error === undefined ? ok(undefined) : { ok: false, error };
    }),
};

/** A line for a change that people see: heartbeats that say the same as before give none. */
function lineOf(
  { connector, removed, initialDone }: ConnectorChange,
  shown: Map<string, string>,
  io: Pick<CliIo, 'clock'>,
): string {
  if (connector === undefined || initialDone) return '';
  const said = removed ? 'gone' : stateText(connector);
  if (shown.get(connector.id) === said) return '';
  if (removed) shown.delete(connector.id);
  else shown.set(connector.id, said);
  const time = new Date(io.clock.nowMs()).toISOString().slice(11, 19);
  return `${cut(safe(`${time}  ${connector.id}  ${said}`), COLUMNS)}\n`;
}

function stateText({ group, state, reason, activeFlows }: ConnectorInfo): string {
  const flows = state === 'draining' ? `, ${activeFlows} flows open` : '';
  return `${group}  ${state}${flows}${reason === '' ? '' : `: ${reason}`}`;
}
