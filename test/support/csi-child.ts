import { runCsi } from '../../agent/csi/run.ts';

/** A driver as a process of its own, from the sources: `csi-child.ts KUBELET_DIR SOCKET_DIR [log]`. */
const [, , kubeletDir = '', socketDir = '', log] = process.argv;
const logLevel = log === 'log' ? 'info' : 'silent';
const settings = { driverName: 'csi.spiffe.io', nodeId: 'node-a', kubeletDir, socketDir };
const telemetry = { address: '127.0.0.1', port: 0 };
const ended = await runCsi({ settings, telemetry, logLevel }, '1.2.3');
if (!ended.ok) {
  process.stderr.write(`${ended.error.code}: ${ended.error.message}\n`);
  process.exitCode = 1;
}
