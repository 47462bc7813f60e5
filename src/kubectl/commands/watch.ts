import { ok } from '../../base/result.ts';
import type { CommandSpec } from '../../cli/spec.ts';
import { safe } from '../../cli/text.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { CONNECTION_FLAGS, durationFlag, SCOPE_FLAGS } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { refOf } from '../model.ts';
import { shortOf, timeText } from '../view.ts';

const INTERVAL_MS = 5000;

/** What is remembered of a copy between two looks. */
interface Seen {
  readonly state: string;
  readonly sequence: string;
  /** Fingerprints, with whether they are tainted. */
  readonly authorities: ReadonlyMap<string, boolean>;
}

/** `kubectl signet watch`. */
export const watch: CommandSpec = {
  about:
    'Prints what changes in the copies, a line each, until it is interrupted: + an authority that came,\n' +
    '- one that went, ! one that was tainted, and states. It lists anew every --interval.',
  flags: [
    { name: 'interval', value: 'duration', help: 'time between two looks; 5s unless told' },
    ...SCOPE_FLAGS,
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: ['kubectl signet watch -A', 'kubectl signet watch -A --interval 30s'],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      const intervalMs = durationFlag(input, 'interval', INTERVAL_MS);
      if (!intervalMs.ok) return intervalMs;
      let before: ReadonlyMap<string, Seen> | undefined;
      while (!io.signal.aborted) {
        const judged = await collect(input, io, clusters);
        if (!judged.ok && judged.error.code !== 'TRUST_NOT_FOUND') return judged;
        const now = seenOf(judged.ok ? judged.value : []);
        const time = timeText(io.clock.nowMs());
        if (before === undefined) io.out(`${time}  watching ${now.size} copies\n`);
        else for (const line of changes(before, now)) io.out(`${time}  ${safe(line)}\n`);
        before = now;
        await pause(io.signal, (action) => io.clock.after(intervalMs.value, action));
      }
      return ok(undefined);
    }),
};

/** Waits for a timer or an interrupt. A timer alone would not keep the process alive. */
function pause(signal: AbortSignal, after: (action: () => void) => () => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const alive = setInterval(() => {}, 60_000);
  const cancel = after(resolve);
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  return promise.finally(() => {
    cancel();
    clearInterval(alive);
  });
}

function seenOf(judged: readonly JudgedCopy[]): ReadonlyMap<string, Seen> {
  return new Map(
    judged.map(({ copy, states }) => {
      const { x509, jwt } = copy.content;
      const name = `${copy.place.context === '' ? '' : `${copy.place.context}@`}${refOf(copy.place, true)}`;
      const authorities = new Map([...x509, ...jwt].map((one) => [one.fingerprint, one.tainted]));
      const sequence = copy.sequence?.toString() ?? '-';
      return [name, { state: states.join(','), sequence, authorities }];
    }),
  );
}

/** What is different between two looks, a line each. */
export function changes(
  before: ReadonlyMap<string, Seen>,
  now: ReadonlyMap<string, Seen>,
): readonly string[] {
  const lines: string[] = [];
  for (const [name, seen] of now) {
    const was = before.get(name);
    if (was === undefined) lines.push(`${name}  new  ${seen.state}`);
    else lines.push(...changesOf(was, seen).map((what) => `${name}  ${what}`));
  }
  for (const name of before.keys()) if (!now.has(name)) lines.push(`${name}  gone`);
  return lines;
}

function changesOf(was: Seen, seen: Seen): readonly string[] {
  const came = [...seen.authorities.keys()].filter((one) => !was.authorities.has(one));
  const went = [...was.authorities.keys()].filter((one) => !seen.authorities.has(one));
  const tainted = [...seen.authorities].filter(
    ([one, isTainted]) => isTainted && was.authorities.get(one) === false,
  );
  const marks = [
    ...came.map((one) => `+${shortOf(one)}`),
    ...went.map((one) => `-${shortOf(one)}`),
    ...tainted.map(([one]) => `!${shortOf(one)}`),
  ];
  const sequence = was.sequence === seen.sequence ? [] : [`seq ${was.sequence} > ${seen.sequence}`];
  const state = was.state === seen.state ? [] : [`${was.state} > ${seen.state}`];
  const all = [...marks, ...sequence, ...state];
  return all.length === 0 ? [] : [all.join('  ')];
}
