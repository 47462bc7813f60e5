import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { connectorConfigSchema, DEFAULT_LOCAL_SOCKET } from '../../agent/connector/config.ts';
import { readPatterns } from '../../agent/connector/zpa/patterns.ts';
import { readStatusLine } from '../../agent/connector/zpa/status-line.ts';
import manifest from '../../package.json' with { type: 'json' };
import { fail, ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { CommandSpec } from '../cli/spec.ts';
import { safeJson } from '../cli/text.ts';
import { MAX_PATH_BYTES } from '../runtime/config.ts';
import { callHttp } from '../runtime/http-call.ts';
import { parseDuration } from '../runtime/units.ts';
import { CLIENT_OVERRIDES } from './client-overrides.ts';
import {
  configSourceOf,
  EXPAND_ENV_FLAG,
  LOG_REFUSALS,
  loadFrom,
  type OverrideFlag,
} from './config-source.ts';
import { validateCommand } from './validate-command.ts';

const DEFAULT_CONFIG = '/etc/signet/connector.yaml';

const CONFIG_FLAG = {
  name: 'config',
  value: 'file',
  help: `YAML file; ${DEFAULT_CONFIG} unless told`,
} as const;

const OVERRIDES: readonly OverrideFlag[] = [
  CLIENT_OVERRIDES.trustDomain,
  { name: 'group', value: 'name', key: 'group', help: 'connector group to be in' },
  CLIENT_OVERRIDES.serverAddress,
  CLIENT_OVERRIDES.serverPort,
  {
    name: 'trust-bundle',
    value: 'file',
    key: 'bootstrap.bundlePath',
    kind: 'path',
    help: 'bundle that the server is verified against',
  },
  CLIENT_OVERRIDES.insecureBootstrap,
  {
    name: 'method',
    value: 'method',
    key: 'enrol.method',
    help: 'kubernetes-token, provisioning-key, bound-key or x509-svid',
  },
  {
    name: 'token-file',
    value: 'file',
    key: 'enrol.tokenPath',
    kind: 'path',
    help: "projected token of the pod's service account",
  },
  {
    name: 'key-file',
    value: 'file',
    key: 'enrol.keyPath',
    kind: 'path',
    help: 'provisioning key; SIGNET_PROVISIONING_KEY without it',
  },
  {
    name: 'workload-socket',
    value: 'path',
    key: 'workloadApi.socket',
    kind: 'path',
    help: "Workload API of the node's agent",
  },
  {
    name: 'data-dir',
    value: 'folder',
    key: 'dataDir',
    kind: 'path',
    help: 'where key, certificate and segments are kept',
  },
  {
    name: 'output-dir',
    value: 'folder',
    key: 'outputs.directory',
    kind: 'path',
    help: 'where the certificate files are written',
  },
  {
    name: 'local-socket',
    value: 'path',
    key: 'local.path',
    kind: 'path',
    help: 'socket for the connector beside it',
  },
  CLIENT_OVERRIDES.logLevel,
];

/** `signet connector run`. */
export const connectorRun: CommandSpec = {
  about:
    'The companion of a connector that cannot enrol by itself: it enrols, keeps certificate files new, ' +
    'hands on what may be reached, and drains. Flags lie over the file. SIGTERM drains and stops; exit ' +
    'code 3 says that the connector was revoked.',
  flags: [CONFIG_FLAG, EXPAND_ENV_FLAG, ...OVERRIDES],
  refused: LOG_REFUSALS,
  examples: [
    'signet connector run --config /etc/signet/connector.yaml',
    'signet connector run --trust-domain example.org --group edge \\\n' +
      '      --server-address server.example.org --trust-bundle bundle.pem \\\n' +
      '      --method provisioning-key --key-file key --output-dir ./tls',
  ],
  run: async (input, io) => {
    const source = configSourceOf(input, io, { fallback: DEFAULT_CONFIG, flags: OVERRIDES });
    if (!source.ok) return source;
    const { runConnector } = await import('../../agent/connector/run.ts');
    return runConnector(() => loadFrom(source.value, connectorConfigSchema), manifest.version);
  },
};

const validate = validateCommand({
  program: 'connector',
  fallback: DEFAULT_CONFIG,
  configFlag: CONFIG_FLAG,
  schema: connectorConfigSchema,
});

/** `signet connector validate`. */
export const connectorValidate: CommandSpec = {
  ...validate,
  flags: [
    ...validate.flags,
    {
      name: 'zpa-line',
      value: 'line',
      help: 'show what is read from that line of the log of a ZPA App Connector',
    },
  ],
  examples: [
    ...validate.examples,
    "signet connector validate --config connector.yaml \\\n      --zpa-line 'Control connection state: fohh_connection_connected'",
  ],
  run: async (input, io) => {
    const valid = await validate.run(input, io);
    const line = input.text('zpa-line');
    if (!valid.ok || line === undefined) return valid;
    const source = configSourceOf(input, io, { fallback: DEFAULT_CONFIG, flags: [] });
    if (!source.ok) return source;
    const config = await loadFrom({ ...source.value, required: true }, connectorConfigSchema);
    if (!config.ok) return config;
    const { zpa } = config.value;
    if (zpa === undefined) return flagError('zpa-line', 'needs zpa in the configuration');
    const facts = readStatusLine(line, readPatterns(zpa.patterns));
    for (const fact of facts) io.out(`${safeJson(fact)}\n`);
    return facts.length > 0
      ? ok(undefined)
      : flagError('zpa-line', 'says nothing that is understood');
  },
};

/** Time for the companion's answer beyond the time for draining, in milliseconds. */
const ANSWER_MS = 5000;

/** `signet connector pre-stop`. */
export const connectorPreStop: CommandSpec = {
  about:
    'For the preStop hook of a pod: tells the companion to drain, and waits until no flow is open or the ' +
    'time is over.',
  flags: [
    {
      name: 'socket',
      value: 'path',
      help: `local socket of the companion; ${DEFAULT_LOCAL_SOCKET} unless told`,
    },
    { name: 'timeout', value: 'duration', help: 'how long flows may go on; 25s unless told' },
  ],
  examples: ['signet connector pre-stop', 'signet connector pre-stop --timeout 5m'],
  run: async (input, io) => {
    const path = pathOf(input.text('socket') ?? DEFAULT_LOCAL_SOCKET, 'socket');
    if (!path.ok) return path;
    const timeout = parseDuration(input.text('timeout') ?? '25s');
    if (!timeout.ok || timeout.value > 86_400) {
      return flagError('timeout', 'is no duration of at most a day, such as 30s');
    }
    const drained = await askToDrain(path.value, Math.ceil(timeout.value));
    if (drained.ok) io.out('drained\n');
    return drained;
  },
};

async function askToDrain(socketPath: string, seconds: number): Promise<Result<void>> {
  try {
    const { status, text } = await callHttp(
      new URL(`http://local/drain?timeoutSeconds=${seconds}`),
      {
        method: 'POST',
        socketPath,
        maxAnswerBytes: 65_536,
        signal: AbortSignal.timeout(seconds * 1000 + ANSWER_MS),
      },
    );
    if (status === 200) return ok(undefined);
    const said = text.trim().slice(0, 200);
    return status === 504
      ? fail('COMPANION_NOT_DRAINED', `not drained in ${seconds} s: ${said}`)
      : fail('COMPANION_LOCAL', `${socketPath} answered ${status}: ${said}`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return fail('COMPANION_LOCAL', `${socketPath}: ${reason}`, { cause });
  }
}

/** `signet connector make-key`. */
export const connectorMakeKey: CommandSpec = {
  about:
    'Makes a bound key and prints its public half in PEM, to be registered at the server. A key that is ' +
    'there already is left as it is, and its public half printed.',
  flags: [
    {
      name: 'data-dir',
      value: 'folder',
      required: true,
      help: 'folder of mode 0700 that the private key is kept in',
    },
  ],
  examples: ['signet connector make-key --data-dir /var/lib/signet/connector'],
  run: async (input, io) => {
    const folder = pathOf(input.text('data-dir') ?? '', 'data-dir');
    if (!folder.ok) return folder;
    const found = await stat(folder.value).catch(() => undefined);
    if (found?.isDirectory() !== true || (found.mode & 0o077) !== 0) {
      return flagError('data-dir', 'is no folder of mode 0700: install -d -m 0700 makes one');
    }
    const { BOUND_KEY_FILE, openBoundKey, publicKeyPem } = await import(
      '../../agent/connector/bound-key.ts'
    );
    const key = await openBoundKey(join(folder.value, BOUND_KEY_FILE), true);
    if (!key.ok) return key;
    io.out(publicKeyPem(key.value));
    return ok(undefined);
  },
};

function pathOf(text: string, flag: string): Result<string> {
  if (text === '') return flagError(flag, 'is empty');
  const path = resolve(text);
  return Buffer.byteLength(path) <= MAX_PATH_BYTES ? ok(path) : flagError(flag, 'is too long');
}
