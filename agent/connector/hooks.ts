import { readdir, readFile } from 'node:fs/promises';
import { BackOff } from '../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode, readFileIfPresent } from '../../src/runtime/atomic-file.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { runHookCommand } from './hook-command.ts';
import type { HookEvent, HookSettings, HookSpec } from './hook-settings.ts';
import { printable } from './printable.ts';

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
  /** Of the last asking. */
  facts: HookFacts;
  busy: boolean;
  /** Asked for while it ran: all who did get the answer of one more run. */
  next: PromiseWithResolvers<Result<string>> | undefined;
}

/**
 * Runs hooks, one run of an event at a time: what is asked for meanwhile, however often, is one more run with
 * the last facts. One that failed is tried again. A hook that is not configured goes well at once.
 */
export class Hooks {
  readonly #parts: HookParts;
  readonly #running = new Map<HookEvent, Running>();
  readonly #closing = new AbortController();

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
    if (spec === undefined || this.#closing.signal.aborted) return ok('');
    const running = this.#running.get(event) ?? newRunning();
    this.#running.set(event, running);
    running.cancel();
    running.facts = facts;
    if (running.busy) {
      running.next ??= Promise.withResolvers();
      return running.next.promise;
    }
    return this.#try(event, spec, running, new BackOff(RETRY, this.#parts.random));
  }

  /** Ends further tries, and what runs. */
  close(): void {
    this.#closing.abort();
    for (const running of this.#running.values()) running.cancel();
  }

  async #try(
    event: HookEvent,
    spec: HookSpec,
    running: Running,
    backOff: BackOff,
  ): Promise<Result<string>> {
    const { signal } = this.#closing;
    running.busy = true;
    const outcome = await runHook(spec, event, running.facts, signal);
    running.busy = false;
    if (signal.aborted) {
      running.next?.resolve(outcome);
      return outcome;
    }
    this.#tell(event, outcome);
    const { next } = running;
    running.next = undefined;
    if (next !== undefined) {
      const anew = new BackOff(RETRY, this.#parts.random);
      void this.#try(event, spec, running, anew).then(next.resolve);
    } else if (!outcome.ok) {
      running.cancel = this.#parts.clock.after(
        backOff.next(),
        () => void this.#try(event, spec, running, backOff),
      );
    }
    return outcome;
  }

  #tell(event: HookEvent, outcome: Result<string>): void {
    const { onRun, log } = this.#parts;
    onRun(event, outcome.ok ? undefined : outcome.error.message);
    if (outcome.ok) log.info({ hook: event }, 'hook went well');
    else {
      const { code, message: reason, action } = outcome.error;
      log.error({ hook: event, code, reason, action }, 'hook failed');
    }
  }
}

function newRunning(): Running {
  return { cancel: () => {}, facts: {}, busy: false, next: undefined };
}

/** Runs a hook once. Fails with COMPANION_HOOK; never rejects. */
export async function runHook(
  spec: HookSpec,
  event: HookEvent,
  facts: HookFacts,
  signal?: AbortSignal,
): Promise<Result<string>> {
  if (spec.signal !== undefined) return sendSignal(spec, spec.signal);
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/' } = process.env;
  // What a server says must not end the list of variables, or be longer than the system takes.
  const clean = Object.entries(facts).map(([name, text]) => [name, printable(text)]);
  return runHookCommand({
    command: spec.command ?? [],
    // The companion's own environment may hold the provisioning key.
    env: { PATH, HOME, ...Object.fromEntries(clean), SIGNET_EVENT: event },
    timeoutMs: spec.timeout * 1000,
    signal,
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
  if (bytes.value === undefined) return fail('COMPANION_HOOK', `${path} does not exist`);
  const text = Buffer.from(bytes.value).toString('utf8').trim();
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
