import { arch, hostname, platform } from 'node:os';
import type { Instance } from '../../src/gen/signet/connector/v1/connector.ts';

/** What the companion says of itself, for people; POD_NAME and NODE_NAME are the downward API's by custom. */
export function instanceOf(
  version: string,
  env: Readonly<Record<string, string | undefined>>,
): Instance {
  return {
    version,
    os: platform(),
    arch: arch(),
    hostname: hostname(),
    podName: env.POD_NAME ?? '',
    nodeName: env.NODE_NAME ?? '',
  };
}
