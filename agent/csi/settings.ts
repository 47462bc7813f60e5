import { join } from 'node:path';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { checkSocketPath } from '../../src/rpc/unix-path.ts';

/** Name of the SPIFFE project's driver, so that volumes written for it work as they are. */
export const DEFAULT_CSI_DRIVER = 'csi.spiffe.io';

/** Root directory of the kubelet unless told. */
export const DEFAULT_KUBELET_DIR = '/var/lib/kubelet';

/** What the driver is told. */
export interface CsiSettings {
  /** As CSIDriver objects and volumes name it. */
  readonly driverName: string;
  /** The node's name in the cluster. */
  readonly nodeId: string;
  /** Folder with the Workload API socket, absolute. */
  readonly socketDir: string;
  /** The kubelet's root directory, absolute. */
  readonly kubeletDir: string;
}

/** Where the driver listens and mounts. */
export interface CsiPaths {
  /** Socket of the driver. */
  readonly endpoint: string;
  /** Socket that the kubelet finds by itself. */
  readonly registration: string;
  readonly pods: string;
}

/**
 * Checks a driver's name by the rules of CSIDriver objects: at most 63 characters, letters and digits at
 * both ends, dashes and dots between. Fails with CLI_USAGE.
 */
export function checkDriverName(name: string): Result<string> {
  if (/^[a-zA-Z0-9]([-a-zA-Z0-9.]{0,61}[a-zA-Z0-9])?$/.test(name)) return ok(name);
  return fail('CLI_USAGE', '--driver-name: is no name of a driver, such as csi.spiffe.io');
}

/** The paths that follow. Fails where a socket's path is longer than the system allows. */
export function csiPaths({ driverName, kubeletDir }: CsiSettings): Result<CsiPaths> {
  const endpoint = join(kubeletDir, 'plugins', driverName, 'csi.sock');
  const registration = join(kubeletDir, 'plugins_registry', `${driverName}-reg.sock`);
  for (const path of [endpoint, registration]) {
    const spelled = checkSocketPath(path);
    if (!spelled.ok) return spelled;
  }
  return ok({ endpoint, registration, pods: join(kubeletDir, 'pods') });
}
