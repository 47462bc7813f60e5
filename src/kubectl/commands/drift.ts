import { ok } from '../../base/result.ts';
import type { CommandSpec } from '../../cli/spec.ts';
import { counted, safe } from '../../cli/text.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, outputOf, SCOPE_FLAGS } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { DRIFT, findings, isIn, JUDGING_FLAGS, unreached } from '../judging.ts';
import { placeText, refOf } from '../model.ts';
import { isForPrograms, printObject, printTable, type Table } from '../print.ts';
import { areSeveral, copyJson, shortOf } from '../view.ts';

/** `kubectl signet drift`. */
export const drift: CommandSpec = {
  about:
    'Compares every copy to the reference of its trust domain and prints those that differ: + an\n' +
    'authority that the reference does not list, - one that is lacking. Order and comments never\n' +
    'count, nor does the same key in a new certificate. Exit code 1 where a copy differs.',
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'wide', 'json', 'yaml', 'name']),
    NO_HEADERS,
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet drift -A',
    'kubectl signet drift -A --against server --server-socket /run/signet/server/private/api.sock',
    'kubectl signet drift --context prod --context staging -A -o json',
  ],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      const judged = await collect(input, io, clusters);
      if (!judged.ok) return judged;
      const differing = judged.value.filter((one) => isIn(one, DRIFT));
      const form = outputOf(input);
      if (isForPrograms(input)) {
        const references = judged.value.filter(({ isReference }) => isReference);
        const members = {
          copies: judged.value.length,
          references: references.map(({ copy }) => refOf(copy.place, true)),
          items: differing.map(copyJson),
        };
        await printObject('DriftReport', members, input, io);
      } else if (form === 'name') {
        io.out(differing.map(({ copy }) => `${safe(refOf(copy.place))}\n`).join(''));
      } else if (differing.length > 0) {
        const wide = form === 'wide';
        printTable(driftTable(differing, wide, wide || areSeveral(judged.value)), input, io);
      } else {
        io.out(`${counted(judged.value.length, 'copy', 'copies')}, none differs\n`);
      }
      const reached = unreached(judged.value);
      if (!reached.ok) return reached;
      return differing.length === 0 ? ok(undefined) : findings(differing, judged.value.length);
    }),
};

/** Differences that a table names before it counts the others. */
const MAX_NAMED = 2;

function driftTable(judged: readonly JudgedCopy[], wide: boolean, withContext: boolean): Table {
  return {
    heads: [
      ...(withContext ? ['CONTEXT'] : []),
      'TRUST DOMAIN',
      'SOURCE',
      'NAMESPACE/NAME',
      'SEQ',
      'DIFFERENCE',
      'STATE',
    ],
    rows: judged.map((one) => [
      ...(withContext ? [one.copy.place.context || '-'] : []),
      one.trustDomain ?? '-',
      one.copy.place.source,
      placeText(one.copy.place),
      one.copy.sequence?.toString() ?? '-',
      differenceText(one, wide),
      wide ? one.states.join(',') : (one.states[0] ?? ''),
    ]),
  };
}

function differenceText({ extra, missing, copy }: JudgedCopy, wide: boolean): string {
  if (copy.problem !== undefined) return copy.problem.code;
  const all = [
    ...extra.map((one) => `+${shortOf(one)}`),
    ...missing.map((one) => `-${shortOf(one)}`),
  ];
  if (all.length === 0) return '-';
  if (wide || all.length <= MAX_NAMED) return all.join(' ');
  return `${all.slice(0, MAX_NAMED - 1).join(' ')} and ${all.length - MAX_NAMED + 1} more`;
}
