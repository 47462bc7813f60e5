import { dirname, join } from 'node:path';
import { toSignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { type DevProcess, startDevProcess } from './dev-process.ts';
import { dpuHints, playDpu } from './dpu/play.ts';
import { DemoProcess } from './process.ts';
import { Screen } from './screen.ts';
import { Stage } from './stage.ts';
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

/** `signet demo`: what `npm run demo` shows. */
export const demo: CommandSpec = {
  about:
    'Starts a server and an agent in a folder of its own, and three processes that stand for services. ' +
    'With --dpu: a mock of a DPU with its BMC, by which the node attests, and a firmware that changes. ' +
    'Leaves nothing behind; ends with 1 if any step fails.',
  flags: [
    { name: 'dpu', help: 'show a node that attests by its DPU, quarantine and release' },
    { name: 'keep', help: 'leave everything running at the end, until Ctrl-C' },
  ],
  examples: ['npm run demo', 'npm run demo -- --dpu', 'npm run demo -- --keep'],
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
      return await Promise.race([show(stage, input, io), interrupted]);
    } catch (error) {
      return { ok: false, error: toSignetError(error, 'the demo') };
    } finally {
      await stage.clear();
    }
  },
};

async function show(stage: Stage, input: Input, io: CliIo): Promise<Result<void>> {
  const screen = new Screen(io.out, process.stdout.isTTY === true);
  const hints = input.has('dpu')
    ? dpuHints(await playDpu(stage, screen, io))
    : serviceHints(await play(stage, screen, io));
  screen.say(`\nEverything worked, in ${screen.elapsed()}.`);
  stage.kept = input.has('keep');
  if (stage.kept) await stay(hints, screen, io);
  else screen.say('Everything is stopped and removed now.');
  return ok(undefined);
}

async function play(stage: Stage, screen: Screen, io: CliIo): Promise<Cast> {
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
  return cast;
}

function startDev(stage: Stage): Promise<DevProcess> {
  const flags = ['--dir', join(stage.folder(), 'dev'), '--trust-domain', TRUST_DOMAIN];
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

/** What can be tried while everything goes on running. */
function serviceHints({ dev, web }: Cast): string {
  const signet = join(dirname(dirname(process.argv[1] ?? '')), 'bin/signet');
  return `
  export SIGNET_SERVER_SOCKET=${dev.adminSocket}
  export SPIFFE_ENDPOINT_SOCKET=unix://${dev.workloadSocket}

  ${signet} entry show
  ${signet} agent list
  ${signet} bundle show
  ${signet} entry create --selector unix:uid:${process.getuid?.() ?? 0} \\
    --spiffe-id spiffe://${dev.trustDomain}/me \\
    --parent-id ${dev.agentId}
  ${signet} api watch
  ${signet} entry delete --entry-id ID   # of ${web.name}: its calls end with its SVID`;
}

/** Leaves everything running and says what can be tried. */
async function stay(hints: string, screen: Screen, io: CliIo): Promise<void> {
  screen.say(`
Everything goes on running. Try in another terminal:
${hints}

Stop and remove everything with Ctrl-C.`);
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    io.signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
