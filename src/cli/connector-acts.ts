import { fail, ok, type Result } from '../base/result.ts';
import type { ConnectorAdminClient } from '../gen/signet/connector/v1/admin.ts';
import {
  type ConnectorOutcome,
  ConnectorsResponse,
  type SelectConnectors,
} from '../gen/signet/connector/v1/admin.ts';
import type { Command } from '../gen/signet/connector/v1/connector.ts';
import { type ConnectorCall, printOut, withConnectors } from './connector-calls.ts';
import { GROUP_FLAG } from './connector-flags.ts';
import { outcomeError } from './connector-outcome.ts';
import type { UnaryCall } from './remote.ts';
import { batchResult } from './remote.ts';
import type { CliIo, FlagSpec, Input } from './spec.ts';
import { counted, safe } from './text.ts';

/** What help calls the connectors that a command is about. */
export const WHICH = '[ID...]';

/** In place of IDs. */
export const ALL_OF: FlagSpec = { ...GROUP_FLAG, help: 'all connectors of this group' };

type Ask = (client: ConnectorAdminClient) => UnaryCall<ConnectorsResponse>;

/** Asks the server to do something to connectors. */
export function askConnectors(
  call: ConnectorCall,
  doing: string,
  request: Ask,
): Promise<Result<ConnectorsResponse>> {
  return call<ConnectorsResponse>(`${doing} connectors`, request);
}

/** Does something to the connectors that are named, and prints what became of each. */
export async function actOnConnectors(
  doing: string,
  done: string,
  input: Input,
  io: CliIo,
  request: (which: SelectConnectors) => Ask,
): Promise<Result<void>> {
  const which = selectedConnectors(input);
  if (!which.ok) return which;
  return withConnectors(input, io, async (call) => {
    const answer = await askConnectors(call, doing, request(which.value));
    return answer.ok ? reportOutcomes(answer.value, done, input, io) : answer;
  });
}

/** Gives a command to the sessions of connectors. */
export function commandConnectors(
  kind: NonNullable<Command['kind']>,
  done: string,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const told = { nonce: Buffer.alloc(0), kind };
  return actOnConnectors(
    'telling',
    done,
    input,
    io,
    (which) => (client) => (m, o, over) =>
      client.commandConnectors({ which, command: told }, m, o, over),
  );
}

/** IDs, or a group; nothing must not mean everybody. Fails with CLI_USAGE. */
export function selectedConnectors(input: Input): Result<SelectConnectors> {
  const ids = [...new Set(input.args)];
  const group = input.text('group') ?? '';
  if (ids.length > 0 !== (group !== '') && !ids.includes('')) return ok({ ids, group });
  return fail('CLI_USAGE', 'takes IDs, as "signet connector list" shows them, or --group');
}

/** Prints what became of each, and refuses where some were refused. */
export function reportOutcomes(
  answer: ConnectorsResponse,
  done: string,
  input: Input,
  io: CliIo,
): Result<void> {
  const { outcomes } = answer;
  printOut(input, io, ConnectorsResponse.toJSON(answer), () => textOf(outcomes, done));
  const errors = outcomes.flatMap((outcome) => outcomeError(outcome) ?? []);
  return batchResult(errors, outcomes.length);
}

function textOf(outcomes: readonly ConnectorOutcome[], done: string): string {
  const good = outcomes.filter(({ errorCode }) => errorCode === '');
  if (outcomes.length === 0) return 'No connector of the group is concerned\n';
  if (good.length === 0) return '';
  const later = good.filter(({ told }) => !told).length;
  const names = good.length <= 5 ? `: ${good.map(({ id }) => safe(id)).join(', ')}` : '';
  const lines = [`${done} ${counted(good.length, 'connector', 'connectors')}${names}`];
  if (later > 0 && done === 'Draining') {
    lines.push(`${later} without a session here: told when they have one`);
  }
  return `${lines.join('\n')}\n`;
}
