import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { toSignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec } from '../../cli/spec.ts';
import { type DevProcess, startDevProcess } from './dev-process.ts';
import { DemoProcess } from './process.ts';
import { Screen } from './screen.ts';
import {
  type Cast,
  refuseStranger,
  register,
  rotate,
  sendToken,
  talk,
  waitInVain,
} from './story.ts';

/** Lives short enough to see both rotations within a minute, and long enough for a busy machine. */
const CA_TTL_SECONDS = 30;
const SVID_TTL_SECONDS = 10;
const TRUST_DOMAIN = 'demo.example';
const LONGEST_TMPDIR = 60;

/** `signet demo`: what `npm run demo` shows. */
export const demo: CommandSpec = {
  about:
    'Starts a server and an agent in a folder of its own, and three processes that stand for services. ' +
    'Leaves nothing behind; ends with 1 if any step fails.',
  flags: [{ name: 'keep', help: 'leave everything running at the end, until Ctrl-C' }],
  examples: ['npm run demo', 'npm run demo -- --keep'],
  run: async (input, io) => {
    if (process.platform !== 'linux') {
      return fail('CLI_PLATFORM', `the demo runs on Linux only, this is ${process.platform}`);
    }
    const stage = new Stage();
    const interrupted = new Promise<Result<void>>((resolve) => {
      io.signal.addEventListener('abort', () => {
        // After the last step, Ctrl-C is how the demo is meant to end.
        resolve(stage.kept ? ok(undefined) : fail('DEMO_FAILED', 'interrupted'));
      });
    });
    try {
      return await Promise.race([play(stage, input.has('keep'), io), interrupted]);
    } catch (error) {
      return { ok: false, error: toSignetError(error, 'the demo') };
    } finally {
      await stage.clear();
    }
  },
};

/** What must be gone at the end, in the order it was made. */
class Stage {
  readonly #undo: (() => void | Promise<void>)[] = [];
  #cleared = false;
  /** All steps are done, and everything is left running. */
  kept = false;

  /** A folder that is removed at the end. */
  folder(parent: string): string {
    const path = mkdtempSync(join(parent, 'signet-demo-'));
    this.#undo.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  /** Something that is stopped at the end; at once where the end has come. */
  async add<T extends { stop(): Promise<void> }>(part: T): Promise<T> {
    if (this.#cleared) await part.stop();
    else this.#undo.push(() => part.stop());
    return part;
  }

  async clear(): Promise<void> {
    this.#cleared = true;
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo();
  }
}

async function play(stage: Stage, keep: boolean, io: CliIo): Promise<Result<void>> {
  const screen = new Screen(io.out, process.stdout.isTTY === true);
  screen.say('Signet: two services get identities and talk to each other, while keys change.');
  const dev = await screen.step('A server and an agent start (signet dev)', async () => {
    const started = await stage.add(await startDev(stage));
    screen.fact(`server on ${started.line.serverAddress}, agent attested as`);
    screen.fact(started.line.agentId);
    return started;
  });
  const cast = await screen.step(
    'Services "web" and "billing" start and ask for an identity',
    async () => {
      const everyone = await hire(stage, dev);
      await waitInVain(everyone, screen);
      return everyone;
    },
  );
  await screen.step('The operator registers both', () => register(cast, screen, io));
  const port = await screen.step('They speak mTLS', () => talk(cast, screen));
  await screen.step('web proves who it is with a token', () => sendToken(cast, screen));
  await screen.step('A process that nobody registered is refused', () =>
    refuseStranger(cast, screen, port),
  );
  await screen.step(`Their SVIDs live ${SVID_TTL_SECONDS} s and are renewed at half`, () =>
    rotate(cast, screen, 'serial', SVID_TTL_SECONDS * 3000),
  );
  await screen.step(`The server's signing key lives ${CA_TTL_SECONDS} s and is replaced`, () =>
    rotate(cast, screen, 'authority', CA_TTL_SECONDS * 3000),
  );
  screen.say(`\nEverything worked, in ${screen.elapsed()}.`);
  stage.kept = keep;
  if (keep) await stay(cast, screen, io);
  else screen.say('Everything is stopped and removed now.');
  return ok(undefined);
}

function startDev(stage: Stage): Promise<DevProcess> {
  // A socket's path must be short, whatever TMPDIR says.
  const parent = tmpdir().length <= LONGEST_TMPDIR ? tmpdir() : '/tmp';
  const flags = ['--dir', join(stage.folder(parent), 'dev'), '--trust-domain', TRUST_DOMAIN];
  flags.push('--ca-ttl', `${CA_TTL_SECONDS}s`);
  flags.push('--x509-svid-ttl', `${SVID_TTL_SECONDS}s`, '--agent-ttl', `${SVID_TTL_SECONDS}s`);
  return startDevProcess(flags);
}

/** Three processes, each on a binary of its own, by whose path the agent knows it. */
async function hire(stage: Stage, dev: DevProcess): Promise<Cast> {
  // Beside the bundle: on Node.js's own file system, where links are free, and not on a noexec /tmp.
  const folder = stage.folder(dirname(process.argv[1] ?? ''));
  const start = (name: string): Promise<DemoProcess> =>
    stage.add(new DemoProcess(name, folder, dev.line.workloadSocket));
  return {
    dev: dev.line,
    web: await start('web'),
    billing: await start('billing'),
    stranger: await start('stranger'),
  };
}

/** Leaves everything running and says what can be tried. */
async function stay({ dev, web }: Cast, screen: Screen, io: CliIo): Promise<void> {
  const signet = join(dirname(dirname(process.argv[1] ?? '')), 'bin/signet');
  screen.say(`
Everything goes on running. Try in another terminal:

  export SIGNET_SERVER_SOCKET=${dev.adminSocket}
  export SPIFFE_ENDPOINT_SOCKET=unix://${dev.workloadSocket}

  ${signet} entry show
  ${signet} agent list
  ${signet} bundle show
  ${signet} entry create --selector unix:uid:${process.getuid?.() ?? 0} \\
    --spiffe-id spiffe://${dev.trustDomain}/me \\
    --parent-id ${dev.agentId}
  ${signet} api watch
  ${signet} entry delete --entry-id ID   # of ${web.name}: its calls end with its SVID

Stop and remove everything with Ctrl-C.`);
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    io.signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
