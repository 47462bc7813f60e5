import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { safe } from '../../cli/text.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, outputOf, SCOPE_FLAGS } from '../flags.ts';
import { type JudgedCopy, STATES, type State } from '../judge.ts';
import { DRIFT, findings, isIn, JUDGING_FLAGS, unreached } from '../judging.ts';
import { refOf } from '../model.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { SOURCE_HELP } from '../reference.ts';
import { copiesTable, copyJson } from '../view.ts';

/** What the states mean, for help pages. */
const ABOUT =
  'States, the worst first: Unreadable, Empty, Extra (holds an authority that the reference does not\n' +
  'list), Expired, Tainted, Stale (older sequence), Missing, Expiring, Reissued (the same key in a new\n' +
  `certificate), InSync. ${SOURCE_HELP}`;

/** `kubectl signet list`. */
export const list: CommandSpec = {
  about: ABOUT,
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'wide', 'json', 'yaml', 'name', 'pem', 'jwks']),
    NO_HEADERS,
    ...JUDGING_FLAGS,
    {
      name: 'fail-on',
      value: 'states',
      help: 'end with exit code 1 where a copy has one of these states, such as Extra,Expired',
    },
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet -A',
    'kubectl signet list -A --context prod --context staging -o wide',
    'kubectl signet list -n shop -o json --fail-on Expired,Extra',
  ],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      const states = failOn(input);
      if (!states.ok) return states;
      const judged = await collect(input, io, clusters);
      if (!judged.ok) return judged;
      const printed = await printCopies(judged.value, input, io);
      if (!printed.ok) return printed;
      const reached = unreached(judged.value);
      if (!reached.ok) return reached;
      const found = judged.value.filter((one) => isIn(one, states.value));
      return found.length === 0 ? ok(undefined) : findings(found, judged.value.length);
    }),
};

function failOn(input: Input): Result<readonly State[]> {
  const names = (input.text('fail-on') ?? '').split(',').filter((text) => text !== '');
  const states: State[] = [];
  for (const name of names) {
    if (name.toLowerCase() === 'drift') {
      states.push(...DRIFT);
      continue;
    }
    const state = STATES.find((one) => one.toLowerCase() === name.toLowerCase());
    if (state === undefined) {
      return fail(
        'CLI_USAGE',
        `--fail-on: "${name.slice(0, 40)}" is none of drift, ${STATES.join(', ')}`,
      );
    }
    states.push(state);
  }
  return ok(states);
}

/** Prints copies in the form that is asked for. */
export async function printCopies(
  judged: readonly JudgedCopy[],
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const form = outputOf(input);
  if (isForPrograms(input)) {
    await printObject('BundleList', { items: judged.map(copyJson) }, input, io);
  } else if (form === 'name') {
    io.out(judged.map(({ copy }) => `${safe(refOf(copy.place))}\n`).join(''));
  } else if (form === 'pem' || form === 'jwks') {
    const { exportText } = await import('../export-text.ts');
    const text = exportText(judged, form);
    if (!text.ok) return text;
    io.out(text.value);
  } else {
    printTable(copiesTable(judged, io.clock.nowMs(), form === 'wide'), input, io);
  }
  return ok(undefined);
}
