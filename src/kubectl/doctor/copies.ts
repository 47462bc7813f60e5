import type { Result } from '../../base/result.ts';
import { counted } from '../../cli/text.ts';
import type { JudgedCopy, State } from '../judge.ts';
import { DRIFT, isIn } from '../judging.ts';
import { refOf } from '../model.ts';
import { type Finding, findingOf } from './finding.ts';

/** States that are told, with what to do about each. */
const REMEDIES: readonly (readonly [State, string])[] = [
  ['Unreadable', '"kubectl signet list -o json" says why each may not be read, or holds no bundle'],
  ['Empty', 'who trusts an empty bundle refuses everybody: look why its writer wrote none'],
  [
    'Extra',
    'somebody trusts an authority that the reference does not list: "kubectl signet drift" names it; ' +
      'find out who wrote it, and delete the object, so that it is written anew',
  ],
  ['Expired', 'remove past authorities from the bundle; "kubectl signet expiring" names them'],
  ['Tainted', 'let workloads take new SVIDs, then revoke the authority on the server'],
  [
    'Stale',
    'look whether whoever writes it still runs and may write there; its log and events tell why not',
  ],
  ['Missing', 'what that authority signs is refused there: compare by "kubectl signet diff"'],
  [
    'Expiring',
    'prepare and activate a new authority before the end; see "kubectl signet expiring"',
  ],
];

/** What the copies of a cluster say: whether there are any, of whom, and what is wrong with them. */
export function copyFindings(
  context: string,
  judged: Result<readonly JudgedCopy[]>,
): readonly Finding[] {
  if (!judged.ok) {
    const none = judged.error.code === 'TRUST_NOT_FOUND';
    const remedy = none
      ? 'look with -A, or let the server publish (kubernetes.clusters[].trustBundles, .configMaps)'
      : 'run "kubectl signet list" with the same flags, which says more';
    const found = none ? 'none' : judged.error.code;
    return [findingOf(context, 'copies', found, none ? 'Hint' : 'Failed', remedy)];
  }
  const all = judged.value;
  const differing = all.filter((one) => isIn(one, DRIFT)).length;
  const states = REMEDIES.flatMap(([state, remedy]) => stateFinding(context, all, state, remedy));
  const copies = counted(all.length, 'copy', 'copies');
  const found = differing === 0 ? `${copies}, none differs` : `${differing} of ${copies} differ`;
  const remedy = 'see "kubectl signet drift" with the same flags, and the states below';
  return [
    findingOf(context, 'copies', found, differing === 0 ? 'Ok' : 'Failed', remedy),
    publishedFinding(context, all),
    ...states,
  ];
}

function publishedFinding(context: string, all: readonly JudgedCopy[]): Finding {
  const published = all.filter(({ copy }) => copy.isPublished).length;
  return findingOf(
    context,
    'published by Signet',
    published === 0 ? 'none' : counted(published, 'copy', 'copies'),
    published === 0 ? 'Hint' : 'Ok',
    'let the server publish (kubernetes.clusters[].trustBundles, .configMaps), or look with -A',
  );
}

function stateFinding(
  context: string,
  all: readonly JudgedCopy[],
  state: State,
  remedy: string,
): readonly Finding[] {
  const found = all.filter((one) => isIn(one, [state]));
  if (found.length === 0) return [];
  const count = counted(found.length, 'copy', 'copies');
  const result = state === 'Expiring' ? 'Hint' : 'Failed';
  const details = found.map(({ copy }) => refOf(copy.place, true));
  return [{ ...findingOf(context, `state ${state}`, count, result, remedy), details }];
}
