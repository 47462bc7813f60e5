import type { SignetError } from '../../base/errors.ts';
import { ok, type Result } from '../../base/result.ts';
import { flagError } from '../../cli/flags.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { counted, safe, safeJson } from '../../cli/text.ts';
import { carried, changeJson, changesOf, changeText, type Seen, seenOf } from '../changes.ts';
import { type Cluster, withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { CONNECTION_FLAGS, durationFlag, outputFlag, SCOPE_FLAGS } from '../flags.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { API_VERSION, isForPrograms } from '../print.ts';
import { timeText } from '../view.ts';

const INTERVAL_MS = 5000;
const MIN_INTERVAL_MS = 1000;
const MAX_INTERVAL_MS = 86_400_000;

/** `kubectl signet watch`. */
export const watch: CommandSpec = {
  about:
    'Prints what changes in the copies, a line each, until it is interrupted: + an authority that came,\n' +
    '- one that went, ! one that was tainted, sequences and states; with -o json one object a line. It\n' +
    'lists anew every --interval. A look that fails is told, and does not end it.',
  flags: [
    {
      name: 'interval',
      value: 'duration',
      help: 'time between two looks, 1s to 1d; 5s unless told',
    },
    ...SCOPE_FLAGS,
    outputFlag(['table', 'json']),
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet watch -A',
    'kubectl signet watch -A --interval 30s -o json | jq -c "select(.change == \\"Extra\\")"',
  ],
  run: (input, io) => {
    const intervalMs = durationFlag(input, 'interval', INTERVAL_MS);
    if (!intervalMs.ok) return Promise.resolve(intervalMs);
    if (intervalMs.value < MIN_INTERVAL_MS || intervalMs.value > MAX_INTERVAL_MS) {
      return Promise.resolve(flagError('interval', 'is from 1s to 1d'));
    }
    return withClusters(input, io, (clusters) => look(input, io, clusters, intervalMs.value));
  },
};

async function look(
  input: Input,
  io: CliIo,
  clusters: readonly Cluster[],
  intervalMs: number,
): Promise<Result<void>> {
  const tell = teller(input, io);
  let before: ReadonlyMap<string, Seen> | undefined;
  let failing: SignetError | undefined;
  const interrupted = aborted(io.signal);
  while (!io.signal.aborted) {
    // An interrupt does not wait for answers; what is under way ends with the clusters.
    const judged = await Promise.race([collect(input, io, clusters), interrupted]);
    if (judged === undefined) break;
    if (judged.ok || judged.error.code === 'TRUST_NOT_FOUND') {
      const seen = seenOf(judged.ok ? judged.value : []);
      if (failing !== undefined) tell('Reached', {}, 'looking again');
      failing = undefined;
      const now = before === undefined ? seen : carried(before, seen);
      if (before === undefined) {
        const copies = counted(now.size, 'copy', 'copies');
        tell('Watching', { copies: now.size }, `watching ${copies}`);
      } else {
        for (const one of changesOf(before, now)) {
          tell('BundleChange', changeJson(one), changeText(one));
        }
      }
      before = now;
    } else {
      // What cannot be looked at from the start is no watch; later it may come back.
      if (before === undefined) return judged;
      const { code, message } = judged.error;
      if (failing?.code !== code) {
        tell('Unreached', { error: { code, message } }, `could not look: ${code} (${message})`);
      }
      failing = judged.error;
    }
    await pause(io, intervalMs, interrupted);
  }
  return ok(undefined);
}

function aborted(signal: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (signal.aborted) resolve(undefined);
  else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  return promise;
}

/** Prints an event as a line for people or for programs. */
function teller(
  input: Input,
  io: CliIo,
): (kind: string, members: Readonly<Record<string, unknown>>, text: string) => void {
  const forPrograms = isForPrograms(input);
  return (kind, members, text) => {
    const time = timeText(io.clock.nowMs());
    const line = forPrograms
      ? safeJson({ apiVersion: API_VERSION, kind, time, ...members })
      : `${time}  ${safe(text)}`;
    io.out(`${line}\n`);
  };
}

/** Waits for a timer or an interrupt. A timer alone would not keep the process alive. */
async function pause(
  { clock }: CliIo,
  intervalMs: number,
  interrupted: Promise<undefined>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const alive = setInterval(() => {}, 60_000);
  const cancel = clock.after(intervalMs, resolve);
  await Promise.race([promise, interrupted]);
  cancel();
  clearInterval(alive);
}
