import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** What a finished program said. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    readonly input?: string;
  } = {},
): Promise<Finished> {
  const child = spawn(command, args, {
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Ends a child and waits until it is gone. */
export async function stopChild(
  child: ChildProcess,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Waits until something accepts connections on a Unix socket, or `child` has ended. */
export async function waitForSocket(path: string, child: ChildProcess): Promise<void> {
  for (;;) {
    const socket = connect(path);
    const connected = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
    ]);
    socket.destroy();
    if (connected) return;
    if (child.exitCode !== null) throw new TypeError(`process ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A long-running program that prints JSON objects, one a line. */
export class JsonLines<T> {
  readonly child: ChildProcess;
  readonly seen: T[] = [];
  #waiting: { readonly test: (event: T) => boolean; readonly done: (event: T) => void }[] = [];
  #stderr = '';

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.#stderr += bytes.toString();
    });
    if (this.child.stdout !== null) {
      createInterface({ input: this.child.stdout }).on('line', (line) => this.#take(line));
    }
  }

  /** The first event, seen already from index `from` or still to come, that passes the test. */
  async next(test: (event: T) => boolean, from = 0): Promise<T> {
    const earlier = this.seen.slice(from).find(test);
    if (earlier !== undefined) return earlier;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.push({ test, done: resolve });
    const timer = setTimeout(
      () =>
        reject(
          new TypeError(
            `no such event; seen: ${JSON.stringify(this.seen.slice(-5))}; stderr: ${this.#stderr.slice(-2000)}`,
          ),
        ),
      60_000,
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async stop(): Promise<void> {
    await stopChild(this.child, 'SIGKILL');
  }

  #take(line: string): void {
    if (!line.startsWith('{')) return;
    const event = JSON.parse(line) as T;
    this.seen.push(event);
    const fits = this.#waiting.filter(({ test }) => test(event));
    this.#waiting = this.#waiting.filter(({ test }) => !test(event));
    for (const { done } of fits) done(event);
  }
}

/** Asks again and again until the answer is yes: what goes through processes takes a moment. */
export async function soon(ask: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await ask()); tries++) {
    if (tries === 1000) throw new TypeError('what was waited for never came');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
