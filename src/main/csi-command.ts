import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { DEFAULT_WORKLOAD_SOCKET } from '../../agent/config.ts';
import {
  checkDriverName,
  DEFAULT_CSI_DRIVER,
  DEFAULT_KUBELET_DIR,
} from '../../agent/csi/settings.ts';
import manifest from '../../package.json' with { type: 'json' };
import { ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { CommandSpec, Input } from '../cli/spec.ts';
import { hostSetting, MAX_PATH_BYTES } from '../runtime/config.ts';
import { LOG_LEVELS, type LogLevel } from '../runtime/log.ts';
import type { TelemetryConfig } from '../runtime/telemetry.ts';

const DEFAULT_SOCKET_DIR = dirname(DEFAULT_WORKLOAD_SOCKET);

/** A subdomain (RFC 1123 §2.1), as names of nodes are. */
const NODE_NAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** `signet csi run`. */
export const csiRun: CommandSpec = {
  about:
    'A node driver of the Container Storage Interface: pods find the folder of the Workload API socket ' +
    'in a volume, read-only. It registers itself with the kubelet. It needs root with CAP_SYS_ADMIN, no ' +
    'network and no keys; mounts outlive it. SIGTERM stops.',
  flags: [
    {
      name: 'node-id',
      value: 'name',
      help: "the node's name in the cluster; the machine's name unless told",
    },
    {
      name: 'driver-name',
      value: 'name',
      help: `as volumes and the CSIDriver object name it; ${DEFAULT_CSI_DRIVER} unless told`,
    },
    {
      name: 'socket-dir',
      value: 'folder',
      help: `folder with the Workload API socket; ${DEFAULT_SOCKET_DIR} unless told`,
    },
    {
      name: 'kubelet-dir',
      value: 'folder',
      help: `root directory of the kubelet; ${DEFAULT_KUBELET_DIR} unless told`,
    },
    {
      name: 'telemetry-address',
      value: 'address',
      help: 'of /metrics, /live and /ready; 127.0.0.1 unless told',
    },
    { name: 'telemetry-port', value: 'port', help: 'nothing listens unless told' },
    {
      name: 'log-level',
      value: 'level',
      choices: LOG_LEVELS,
      help: 'info unless told',
    },
  ],
  examples: [
    'signet csi run --node-id node-a',
    'signet csi run --node-id node-a --driver-name csi.signet.dev --telemetry-port 9989',
  ],
  run: async (input) => {
    const driverName = checkDriverName(input.text('driver-name') ?? DEFAULT_CSI_DRIVER);
    if (!driverName.ok) return driverName;
    const telemetry = telemetryOf(input);
    if (!telemetry.ok) return telemetry;
    const nodeId = input.text('node-id') ?? hostname();
    if (!NODE_NAME.test(nodeId)) return flagError('node-id', 'is no name of a node');
    const socketDir = folderOf(input, 'socket-dir', DEFAULT_SOCKET_DIR);
    if (!socketDir.ok) return socketDir;
    const kubeletDir = folderOf(input, 'kubelet-dir', DEFAULT_KUBELET_DIR);
    if (!kubeletDir.ok) return kubeletDir;
    const settings = {
      driverName: driverName.value,
      nodeId,
      socketDir: socketDir.value,
      kubeletDir: kubeletDir.value,
    };
    const { runCsi } = await import('../../agent/csi/run.ts');
    return runCsi(
      { settings, telemetry: telemetry.value, logLevel: logLevelOf(input) },
      manifest.version,
    );
  },
};

function folderOf(input: Input, flag: string, fallback: string): Result<string> {
  const text = input.text(flag) ?? fallback;
  if (text === '') return flagError(flag, 'is empty');
  const path = resolve(text);
  return Buffer.byteLength(path) <= MAX_PATH_BYTES ? ok(path) : flagError(flag, 'is too long');
}

function telemetryOf(input: Input): Result<TelemetryConfig> {
  const address = input.text('telemetry-address') ?? '127.0.0.1';
  if (!hostSetting.safeParse(address).success) {
    return flagError('telemetry-address', 'must be an IP address or a host name');
  }
  const text = input.text('telemetry-port');
  if (text === undefined) return ok({ address });
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return port <= 65_535 ? ok({ address, port }) : flagError('telemetry-port', 'is no port');
}

function logLevelOf(input: Input): LogLevel {
  return LOG_LEVELS.find((level) => level === input.text('log-level')) ?? 'info';
}
