import { type JudgedCopy, STATES, type State } from './judge.ts';
import { type CopyPlace, refOf } from './model.ts';
import { shortOf } from './view.ts';

/** What is remembered of a copy between two looks. */
export interface Seen {
  readonly place: CopyPlace;
  readonly trustDomain: string | undefined;
  readonly states: readonly State[];
  readonly sequence: string | undefined;
  /** Fingerprints, with whether they are tainted. */
  readonly authorities: ReadonlyMap<string, boolean>;
}

/** What happened to a copy: a state that it came into, back in order, or something else about it. */
export type ChangeKind = 'Appeared' | 'Gone' | 'Changed' | State;

/** A copy that is another than at the look before. */
export interface Change {
  /** The copy, with its context where it has one. */
  readonly name: string;
  readonly kind: ChangeKind;
  /** The copy as it is, or was where it is gone. */
  readonly seen: Seen;
  /** As it was before; undefined where it appeared. */
  readonly was: Seen | undefined;
  /** Fingerprints of authorities that came, went, or were tainted. */
  readonly came: readonly string[];
  readonly went: readonly string[];
  readonly tainted: readonly string[];
}

/** Copies by their names, as they are at one look. */
export function seenOf(judged: readonly JudgedCopy[]): ReadonlyMap<string, Seen> {
  return new Map(
    judged.map(({ copy, states, trustDomain }) => {
      const { x509, jwt } = copy.content;
      const { context } = copy.place;
      const name = `${context === '' ? '' : `${context}@`}${refOf(copy.place, true)}`;
      const authorities = new Map([...x509, ...jwt].map((one) => [one.fingerprint, one.tainted]));
      const sequence = copy.sequence?.toString();
      return [name, { place: copy.place, trustDomain, states, sequence, authorities }];
    }),
  );
}

/**
 * Two looks as one: copies of a source that could not be listed this time stand as they were, for that
 * they are gone is not known.
 */
export function carried(
  before: ReadonlyMap<string, Seen>,
  now: ReadonlyMap<string, Seen>,
): ReadonlyMap<string, Seen> {
  const unlisted = [...now.values()].filter(isSource);
  const isUnlisted = (seen: Seen): boolean =>
    !isSource(seen) &&
    unlisted.some(
      ({ place: one }) =>
        one.context === seen.place.context &&
        one.source === seen.place.source &&
        (one.namespace === '*' || one.namespace === seen.place.namespace),
    );
  const kept = [...before].filter(([name, seen]) => !now.has(name) && isUnlisted(seen));
  return new Map([...now, ...kept]);
}

/** Whether it stands for all that a source would have told, had it been let. */
function isSource({ place }: Seen): boolean {
  return place.name === '*';
}

/** What is different between two looks, one for each copy. */
export function changesOf(
  before: ReadonlyMap<string, Seen>,
  now: ReadonlyMap<string, Seen>,
): readonly Change[] {
  const none = { came: [], went: [], tainted: [] };
  const changed = [...now].flatMap(([name, seen]): readonly Change[] => {
    const was = before.get(name);
    if (was === undefined) {
      const kind = isSource(seen) ? 'Unreadable' : 'Appeared';
      return [{ name, kind, seen, was, ...none }];
    }
    return changeOf(name, was, seen);
  });
  const gone = [...before].flatMap(([name, was]): readonly Change[] =>
    now.has(name) ? [] : [{ name, kind: 'Gone', seen: was, was, ...none }],
  );
  return [...changed, ...gone];
}

function changeOf(name: string, was: Seen, seen: Seen): readonly Change[] {
  const came = [...seen.authorities.keys()].filter((one) => !was.authorities.has(one));
  const went = [...was.authorities.keys()].filter((one) => !seen.authorities.has(one));
  const tainted = [...seen.authorities]
    .filter(([one, isTainted]) => isTainted && was.authorities.get(one) === false)
    .map(([one]) => one);
  const same =
    [came, went, tainted].every(({ length }) => length === 0) &&
    was.sequence === seen.sequence &&
    was.states.join() === seen.states.join();
  if (same) return [];
  const entered = STATES.find((one) => seen.states.includes(one) && !was.states.includes(one));
  return [{ name, kind: entered ?? 'Changed', seen, was, came, went, tainted }];
}

/** A change in one line, after the time. */
export function changeText({ name, kind, seen, was, came, went, tainted }: Change): string {
  const state = seen.states.join(',');
  if (was === undefined) return `${name}  new  ${state}`;
  if (kind === 'Gone') return `${name}  gone`;
  const before = was.states.join(',');
  const marks = [
    ...came.map((one) => `+${shortOf(one)}`),
    ...went.map((one) => `-${shortOf(one)}`),
    ...tainted.map((one) => `!${shortOf(one)}`),
    ...(was.sequence === seen.sequence
      ? []
      : [`seq ${was.sequence ?? '-'} > ${seen.sequence ?? '-'}`]),
    ...(before === state ? [] : [`${before} > ${state}`]),
  ];
  return [name, ...marks].join('  ');
}

/** A change for programs. */
export function changeJson(change: Change): Readonly<Record<string, unknown>> {
  const { kind, seen, was, came, went, tainted } = change;
  const { place } = seen;
  return {
    change: kind,
    ref: refOf(place, true),
    context: place.context,
    source: place.source,
    namespace: place.namespace,
    name: place.name,
    trustDomain: seen.trustDomain ?? null,
    states: kind === 'Gone' ? [] : seen.states,
    statesBefore: was?.states ?? [],
    sequence: kind === 'Gone' ? null : (seen.sequence ?? null),
    sequenceBefore: was?.sequence ?? null,
    came,
    went,
    tainted,
  };
}
