import { type ChildProcess, spawn } from 'node:child_process';
import { constants, copyFileSync, linkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SignetError } from '../../base/errors.ts';
import type { DemoEvent, DemoOrder } from './protocol.ts';

/** A process of the demo that asks the Workload API for an identity. */
export class DemoProcess {
  readonly name: string;
  /** The binary it runs: by this path the agent tells the processes apart. */
  readonly binary: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #seen: DemoEvent[] = [];
  readonly #waiters = new Set<() => void>();
  #ended: string | undefined;

  /** Starts it on a copy of Node.js of its own. */
  constructor(name: string, folder: string, workloadSocket: string) {
    this.name = name;
    this.binary = join(folder, name);
    copyBinary(this.binary);
    const program = join(dirname(process.argv[1] ?? ''), 'demo-workload.js');
    this.#child = spawn(this.binary, ['--disable-sigusr1', program], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: `unix://${workloadSocket}` },
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.on('message', (event: DemoEvent) => this.#note(event));
    this.#child.on('error', (error) => this.#end(error.message));
    this.#child.on('exit', (code, signal) => this.#end(`it ended (${signal ?? code})`));
  }

  /** Tells it to do something. */
  order(order: DemoOrder): void {
    if (this.#child.connected) this.#child.send(order);
  }

  /**
   * The first event of a kind that fits, from those that came and those to come. Rejects when the
   * process fails or ends, or after `limitMs`.
   */
  async event<K extends DemoEvent['event']>(
    kind: K,
    limitMs: number,
    fits: (event: Extract<DemoEvent, { event: K }>) => boolean = () => true,
  ): Promise<Extract<DemoEvent, { event: K }>> {
    const lastMs = performance.now() + limitMs;
    for (;;) {
      const found = this.#seen.find((seen): seen is Extract<DemoEvent, { event: K }> => {
        // The kind is what tells the members of the union apart.
        return seen.event === kind && fits(seen as Extract<DemoEvent, { event: K }>);
      });
      if (found !== undefined) return found;
      if (this.#ended !== undefined) throw this.#problem(this.#ended);
      const leftMs = lastMs - performance.now();
      if (leftMs <= 0) throw this.#problem(`no "${kind}" within ${limitMs / 1000} s`);
      await this.#next(leftMs);
    }
  }

  /** Forgets what was told so far, so that `event` waits for what comes. */
  forget(kind: DemoEvent['event']): void {
    const kept = this.#seen.filter(({ event }) => event !== kind);
    this.#seen.splice(0, this.#seen.length, ...kept);
  }

  /** Ends it and waits for that. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  #note(event: DemoEvent): void {
    this.#seen.push(event);
    if (event.event === 'failed') this.#end(event.reason);
    else this.#wake();
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
  }

  #next(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, limitMs);
      this.#waiters.add(wake);
    });
  }

  #problem(reason: string): SignetError {
    return new SignetError('DEMO_FAILED', `${this.name}: ${reason}`);
  }
}

/** A hard link costs nothing; where the file system or the kernel forbids it, a copy. */
function copyBinary(path: string): void {
  try {
    linkSync(process.execPath, path);
  } catch {
    copyFileSync(process.execPath, path, constants.COPYFILE_FICLONE);
  }
}
