import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fail, ok, type Result } from '../../base/result.ts';
import { flagError, wholeSecondsFlag } from '../../cli/flags.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { formatBlock, safeJson } from '../../cli/text.ts';
import { watchLifeline } from '../../runtime/lifecycle.ts';
import { LOG_LEVELS } from '../../runtime/log.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';
import { DevAdmin } from './admin.ts';
import { type DevLayout, openDevDir } from './layout.ts';
import { childEnded, findFreePort, type RunningDev, startDev, stopDev } from './run.ts';
import type { DevSettings } from './settings.ts';

const DEFAULT_TRUST_DOMAIN = 'example.org';
const BUNDLE_EVERY_MS = 5000;

/** `signet dev`. */
export const dev: CommandSpec = {
  about:
    'For trying things out and for tests: both listen on this machine only, their state is in one folder, ' +
    'and they end with this command, however it ends. Started again on the same folder it goes on ' +
    'with the same keys and entries.',
  flags: [
    {
      name: 'dir',
      value: 'folder',
      help: 'where everything is kept; ~/.local/state/signet/dev unless told',
    },
    {
      name: 'trust-domain',
      spire: 'trustDomain',
      value: 'name',
      help: `${DEFAULT_TRUST_DOMAIN} unless told, or the folder's own`,
    },
    {
      name: 'port',
      spire: 'serverPort',
      value: 'port',
      help: 'port of the server on 127.0.0.1; a free one unless told',
    },
    { name: 'json', help: 'print one line of JSON when both are ready' },
    { name: 'ca-ttl', value: 'duration', help: 'life of signing keys; 24h unless told' },
    { name: 'x509-svid-ttl', value: 'duration', help: 'life of X.509-SVIDs; 1h unless told' },
    { name: 'jwt-svid-ttl', value: 'duration', help: 'life of JWT-SVIDs; 5m unless told' },
    { name: 'agent-ttl', value: 'duration', help: "life of the agent's SVID; 1h unless told" },
    {
      name: 'log-level',
      spire: 'logLevel',
      value: 'level',
      choices: LOG_LEVELS,
      help: 'of both processes; info unless told',
    },
  ],
  examples: [
    'signet dev',
    'signet dev --dir /tmp/try --trust-domain acme.test --json',
    'signet dev --ca-ttl 1m --x509-svid-ttl 20s',
  ],
  run: async (input, io) => {
    if (process.platform !== 'linux') {
      return fail('CLI_PLATFORM', `signet dev runs on Linux only, this is ${process.platform}`);
    }
    const trustDomain = trustDomainFlag(input);
    if (!trustDomain.ok) return trustDomain;
    const settings = await settingsOf(input);
    if (!settings.ok) return settings;
    const fallback = parseTrustDomain(DEFAULT_TRUST_DOMAIN);
    if (!fallback.ok) return fallback;
    const dir = input.text('dir') ?? defaultDir(io);
    if (dir === '') return flagError('dir', 'is empty');
    const layout = await openDevDir(dir, trustDomain.value, fallback.value);
    if (!layout.ok) return layout;
    try {
      return await runDev(layout.value, settings.value, input, io);
    } finally {
      layout.value.lock.release();
    }
  },
};

async function runDev(
  layout: DevLayout,
  settings: DevSettings,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const stopped = stopAsked(io);
  const quiet = input.has('json');
  const running = await startDev(layout, settings, io.clock, (step) => {
    if (!quiet) io.err(`${step} …\n`);
  });
  if (!running.ok) return running;
  const { server, agent } = running.value;
  io.out(quiet ? `${safeJson(jsonLine(layout, running.value))}\n` : welcome(layout, running.value));
  const endBundle = keepBundle(layout);
  const ended = await Promise.race([
    stopped,
    server.ended.then((how) => ({ child: server, how })),
    agent.ended.then((how) => ({ child: agent, how })),
  ]);
  endBundle();
  if (!quiet) io.err('\nStopping …\n');
  await stopDev(running.value);
  return ended === 'asked' ? ok(undefined) : childEnded(ended.child, ended.how);
}

/** Keeps the bundle's file current: signing keys change while it runs. Returns what ends that. */
function keepBundle(layout: DevLayout): () => void {
  const admin = new DevAdmin(layout.adminSocket);
  const timer = setInterval(() => void admin.writeBundle(layout.bundlePath), BUNDLE_EVERY_MS);
  return () => {
    clearInterval(timer);
    admin.close();
  };
}

/** Ctrl-C, SIGTERM, or the end of whoever started us with a lifeline. */
function stopAsked(io: CliIo): Promise<'asked'> {
  return new Promise((resolve) => {
    const stop = (): void => resolve('asked');
    io.signal.addEventListener('abort', stop, { once: true });
    watchLifeline(process.env, stop);
  });
}

function trustDomainFlag(input: Input): Result<TrustDomain | undefined> {
  const text = input.text('trust-domain');
  if (text === undefined) return ok(undefined);
  const trustDomain = parseTrustDomain(text);
  return trustDomain.ok ? trustDomain : flagError('trust-domain', trustDomain.error.message);
}

async function settingsOf(input: Input): Promise<Result<DevSettings>> {
  const portText = input.text('port') ?? '0';
  const chosen = /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN;
  if (!(chosen <= 65_535)) {
    return flagError('port', 'must be a number from 1 to 65535, or 0 for a free one');
  }
  const ttls: (number | undefined)[] = [];
  for (const flag of ['ca-ttl', 'x509-svid-ttl', 'agent-ttl', 'jwt-svid-ttl']) {
    const seconds = wholeSecondsFlag(input, flag);
    if (!seconds.ok) return seconds;
    ttls.push(seconds.value);
  }
  const [caTtlSeconds, x509TtlSeconds, agentTtlSeconds, jwtTtlSeconds] = ttls;
  const logLevel = LOG_LEVELS.find((level) => level === input.text('log-level')) ?? 'info';
  const port = chosen === 0 ? await findFreePort() : chosen;
  return ok({ port, caTtlSeconds, x509TtlSeconds, agentTtlSeconds, jwtTtlSeconds, logLevel });
}

/** XDG's place for state; without a home, one in the temporary folder. */
function defaultDir(io: CliIo): string {
  const state = io.env.XDG_STATE_HOME ?? join(homedir(), '.local/state');
  return join(state, 'signet/dev');
}

function jsonLine(layout: DevLayout, running: RunningDev): unknown {
  return {
    trustDomain: layout.trustDomain.name,
    serverAddress: running.serverAddress,
    adminSocket: layout.adminSocket,
    workloadSocket: layout.workloadSocket,
    bundlePath: layout.bundlePath,
    agentId: running.agentId.uri,
    serverPid: running.server.pid,
    agentPid: running.agent.pid,
  };
}

/** What runs where, and what to try next, in lines that can be pasted. */
function welcome(layout: DevLayout, running: RunningDev): string {
  const signet = join(dirname(dirname(process.argv[1] ?? '')), 'bin/signet');
  const facts = formatBlock([
    ['Trust domain', layout.trustDomain.name],
    ['Server', `${running.serverAddress} (pid ${running.server.pid})`],
    ['Agent', `pid ${running.agent.pid}`],
    ['Admin socket', layout.adminSocket],
    ['Workload API', layout.workloadSocket],
    ['Trust bundle', layout.bundlePath],
    ['Logs', `${layout.serverLog}, ${running.agent.logPath}`],
  ]);
  return `
Signet runs.

${facts}
Try in another terminal:

  export SIGNET_SERVER_SOCKET=${layout.adminSocket}
  export SPIFFE_ENDPOINT_SOCKET=unix://${layout.workloadSocket}

  ${signet} entry create --selector unix:uid:${process.getuid?.() ?? 0} \\
    --spiffe-id ${layout.trustDomain.id}/me \\
    --parent-id ${running.agentId.uri}
  ${signet} api fetch x509
  ${signet} api fetch jwt --audience test
  ${signet} entry show
  ${signet} ledger search --data-dir ${layout.serverData}

Stop with Ctrl-C.
`;
}
