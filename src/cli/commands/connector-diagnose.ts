import { ok, type Result } from '../../base/result.ts';
import {
  ConnectorDiagnostics,
  type SelectConnectors,
} from '../../gen/signet/connector/v1/admin.ts';
import { ALL_OF, askConnectors, selectedConnectors, WHICH } from '../connector-acts.ts';
import {
  type ConnectorCall,
  listConnectors,
  printOut,
  withConnectors,
} from '../connector-calls.ts';
import { diagnosticsError, readDiagnostics, waitForDiagnostics } from '../connector-diagnose.ts';
import { formatDiagnostics } from '../connector-diagnose-view.ts';
import { outcomeError } from '../connector-outcome.ts';
import { flagError, wholeSecondsFlag } from '../flags.ts';
import { batchResult } from '../remote.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';

/** How long connectors may take to answer, in seconds, unless told. */
const DEFAULT_WITHIN_SECONDS = 10;

/** `signet connector diagnose`. */
export const connectorDiagnose: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'Asks connectors how they are inside, waits for what they tell, and prints it: of a companion its state and what its hook diagnostics prints. For one that is degraded, or refuses flows, where its own log is out of reach. Asked at the server that has their sessions, which keeps the last answers in memory.',
  flags: [
    ALL_OF,
    { name: 'within', value: 'duration', help: 'how long to wait; 10s unless told, at most 10m' },
    { name: 'last', help: 'ask nobody: print what they told last' },
  ],
  examples: [
    'signet connector diagnose db-7d4f',
    'signet connector diagnose --group db --within 40s -o json',
    'signet connector diagnose db-7d4f --last',
  ],
  run: async (input, io) => {
    const which = selectedConnectors(input);
    if (!which.ok) return which;
    const within = wholeSecondsFlag(input, 'within');
    if (!within.ok) return within;
    const withinSeconds = within.value ?? DEFAULT_WITHIN_SECONDS;
    if (withinSeconds < 1 || withinSeconds > 600) return flagError('within', 'must be 1s to 10m');
    return withConnectors(input, io, (call) =>
      input.has('last')
        ? printLast(call, which.value, input, io)
        : diagnose(call, which.value, withinSeconds, input, io),
    );
  },
};

async function diagnose(
  call: ConnectorCall,
  which: SelectConnectors,
  withinSeconds: number,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const command = {
    nonce: Buffer.alloc(0),
    kind: { $case: 'collectDiagnostics' as const, value: {} },
  };
  const asked = await askConnectors(call, 'asking', (client) => (m, o, done) => {
    return client.commandConnectors({ which, command }, m, o, done);
  });
  if (!asked.ok) return asked;
  const { outcomes } = asked.value;
  const refusals = outcomes.flatMap((outcome) => outcomeError(outcome) ?? []);
  const ids = outcomes.filter(({ errorCode }) => errorCode === '').map(({ id }) => id);
  const told = await waitForDiagnostics(call, io, { ids, withinSeconds });
  if (!told.ok) return told;
  print(told.value, input, io);
  const late = told.value.flatMap((one) => diagnosticsError(one, withinSeconds) ?? []);
  return batchResult([...refusals, ...late], outcomes.length);
}

async function printLast(
  call: ConnectorCall,
  { ids, group }: SelectConnectors,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const listed = group === '' ? ok([]) : await listConnectors(call, { group, states: [] });
  if (!listed.ok) return listed;
  const told = await readDiagnostics(call, [...ids, ...listed.value.map(({ id }) => id)]);
  if (!told.ok) return told;
  // Of a group those that were asked; of others whoever names them wants to know.
  const meant = told.value.filter(({ askedAtMs }) => group === '' || askedAtMs !== 0n);
  print(meant, input, io);
  return batchResult(
    meant.flatMap((one) => diagnosticsError(one, undefined) ?? []),
    meant.length,
  );
}

function print(told: readonly ConnectorDiagnostics[], input: Input, io: CliIo): void {
  const json = { diagnostics: told.map((one) => ConnectorDiagnostics.toJSON(one)) };
  printOut(input, io, json, () =>
    told.length === 0 ? 'No connector was asked\n' : formatDiagnostics(told, io),
  );
}
