import { readdir, readFile } from 'node:fs/promises';
import { BackOff } from '../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode, readFileIfPresent } from '../../src/runtime/atomic-file.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { runTool } from '../workload/run-tool.ts';
import type { HookEvent, HookSettings, HookSpec } from './hook-settings.ts';

/** Waits between tries of a hook that failed. */
const RETRY = { firstMs: 1000, maxMs: 60_000 };

/** What a hook's command is told beside the event, as variables. */
export type HookFacts = Readonly<Record<string, string>>;

/** What hooks need. */
export interface HookParts {
  readonly settings: HookSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Counts runs; `undefined` is one that went well. */
  readonly onRun: (event: HookEvent, problem: string | undefined) => void;
}

/** A hook that is run until it goes well, or is asked for once more. */
interface Running {
  cancel: Cancel;
  /** Grows with each asking: an older round ends when it sees that. */
  round: number;
}

/**
 * Runs hooks, one round of an event at a time: what is asked for meanwhile begins anew, and one that failed
 * is tried again. A hook that is not configured goes well at once.
 */
export class Hooks {
  readonly #parts: HookParts;
  readonly #running = new Map<HookEvent, Running>();
  #closed = false;

  constructor(parts: HookParts) {
    this.#parts = parts;
  }

  /** Whether anything is configured for an event. */
  has(event: HookEvent): boolean {
    return this.#parts.settings[event] !== undefined;
  }

  /** Runs a hook and tries again until it went well. Answers what the first try came to: its output. */
  async ask(event: HookEvent, facts: HookFacts = {}): Promise<Result<string>> {
    const spec = this.#parts.settings[event];
    if (spec === undefined || this.#closed) return ok('');
    const running = this.#running.get(event) ?? { cancel: () => {}, round: 0 };
    this.#running.set(event, running);
    running.cancel();
    running.round += 1;
    return this.#try(event, spec, facts, running, new BackOff(RETRY, this.#parts.random));
  }

  /** Ends further tries. */
  close(): void {
    this.#closed = true;
    for (const running of this.#running.values()) running.cancel();
  }

  async #try(
    event: HookEvent,
    spec: HookSpec,
    facts: HookFacts,
    running: Running,
    backOff: BackOff,
  ): Promise<Result<string>> {
    const { round } = running;
    const outcome = await runHook(spec, event, facts);
    // Another round has begun, and says how the hook stands.
    if (running.round !== round) return outcome;
    const { onRun, log, clock } = this.#parts;
    onRun(event, outcome.ok ? undefined : outcome.error.message);
    if (outcome.ok) {
      log.info({ hook: event }, 'hook went well');
      return outcome;
    }
    log.error(
      { hook: event, code: outcome.error.code, reason: outcome.error.message },
      'hook failed',
    );
    if (!this.#closed) {
      running.cancel = clock.after(
        backOff.next(),
        () => void this.#try(event, spec, facts, running, backOff),
      );
    }
    return outcome;
  }
}

/** Runs a hook once. Fails with COMPANION_HOOK. */
export async function runHook(
  spec: HookSpec,
  event: HookEvent,
  facts: HookFacts,
): Promise<Result<string>> {
  if (spec.signal !== undefined) return sendSignal(spec, spec.signal);
  const [path = '', ...args] = spec.command ?? [];
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/' } = process.env;
  return runTool({
    path,
    args,
    // The companion's own environment may hold the provisioning key.
    env: { PATH, HOME, ...facts, SIGNET_EVENT: event },
    code: 'COMPANION_HOOK',
    timeoutMs: spec.timeout * 1000,
  });
}

async function sendSignal(
  { pidPath, processName }: HookSpec,
  signal: NodeJS.Signals,
): Promise<Result<string>> {
  const pids = pidPath === undefined ? await pidsOf(processName ?? '') : await pidIn(pidPath);
  if (!pids.ok) return pids;
  try {
    for (const pid of pids.value) process.kill(pid, signal);
    return ok('');
  } catch (cause) {
    const which = pids.value.join(', ');
    return fail('COMPANION_HOOK', `${signal} to ${which} failed (${errnoCode(cause)})`, { cause });
  }
}

async function pidIn(path: string): Promise<Result<readonly number[]>> {
  const bytes = await readFileIfPresent(path, 4096);
  if (!bytes.ok) return fail('COMPANION_HOOK', bytes.error.message);
  const text = Buffer.from(bytes.value ?? [])
    .toString('utf8')
    .trim();
  // Zero and negative numbers would be groups of processes.
  if (/^[1-9]\d{0,8}$/.test(text)) return ok([Number(text)]);
  return fail('COMPANION_HOOK', `${path} holds no process number`);
}

async function pidsOf(name: string): Promise<Result<readonly number[]>> {
  const entries = await readdir('/proc').catch(() => []);
  const found: number[] = [];
  for (const entry of entries.filter((text) => /^[1-9]\d*$/.test(text))) {
    // It may have ended since; others' are readable too.
    const comm = await readFile(`/proc/${entry}/comm`, 'utf8').catch(() => '');
    if (comm.trimEnd() === name && Number(entry) !== process.pid) found.push(Number(entry));
  }
  return found.length > 0 ? ok(found) : fail('COMPANION_HOOK', `no process is called ${name}`);
}
