import { fail, ok } from '../../src/base/result.ts';
import type { IdentityService, NodeService } from '../../src/gen/csi/csi.ts';
import type { RegistrationService } from '../../src/gen/kubelet/registration.ts';
import type { Handlers } from '../../src/rpc/service.ts';
import type { HealthPart } from '../../src/runtime/health.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { CsiMetrics } from './metrics.ts';
import type { SocketMounts } from './socket-mounts.ts';
import { checkVolume, podOf } from './volume-rules.ts';

/** Versions of the interface that a kubelet is told; it takes those of 1. */
const SUPPORTED_VERSIONS = ['1.0.0'];

/** Whose driver this is. */
export interface DriverIdentity {
  readonly driverName: string;
  /** At most 128 bytes. */
  readonly version: string;
  readonly mounts: SocketMounts;
}

/** The Identity service of the Container Storage Interface 1. */
export function createIdentityService(driver: DriverIdentity): Handlers<IdentityService> {
  return {
    getPluginInfo: () => ok({ name: driver.driverName, vendorVersion: driver.version }),
    getPluginCapabilities: () => ok({}),
    // Not ready is no error: the call is answered, and the driver will be of use once the agent is there.
    probe: () => ok({ ready: driver.mounts.present }),
  };
}

/** What the Node service works with. */
export interface NodeServiceParts {
  readonly nodeId: string;
  readonly mounts: SocketMounts;
  readonly metrics: CsiMetrics;
  readonly log: Logger;
}

/** The Node service: volumes that are written in pods. */
export function createNodeService(parts: NodeServiceParts): Handlers<NodeService> {
  const { nodeId, mounts, metrics, log } = parts;
  return {
    nodePublishVolume: (request) => {
      const checked = checkVolume(request);
      const published = checked.ok ? mounts.publish(request.targetPath) : checked;
      const facts = { volume: request.volumeId, ...podOf(request) };
      if (!published.ok) {
        const { code, message, action } = published.error;
        log.warn({ ...facts, code, reason: message, action }, 'volume not mounted');
        return published;
      }
      metrics.published(published.value);
      if (published.value !== 'unchanged') {
        log.info({ ...facts, outcome: published.value }, 'volume mounted');
      }
      return ok({});
    },
    nodeUnpublishVolume: ({ volumeId, targetPath }) => {
      if (volumeId === '') return fail('CSI_REQUEST_INCOMPLETE', 'volume_id is missing');
      const gone = mounts.unpublish(targetPath);
      if (!gone.ok) {
        const { code, message, action } = gone.error;
        log.warn({ volume: volumeId, code, reason: message, action }, 'volume not unmounted');
        return gone;
      }
      if (gone.value) log.info({ volume: volumeId }, 'volume unmounted');
      return ok({});
    },
    nodeGetCapabilities: () => ok({}),
    nodeGetInfo: () => ok({ nodeId }),
  };
}

/** What the kubelet is told, and what becomes of its answer. */
export interface RegistrationParts {
  readonly driverName: string;
  /** Socket of the driver, as the kubelet reaches it. */
  readonly endpoint: string;
  readonly part: HealthPart;
  readonly log: Logger;
}

/** The kubelet's registration of plugins, served in place of the node-driver-registrar. */
export function createRegistration(parts: RegistrationParts): Handlers<RegistrationService> {
  const { driverName, endpoint, part, log } = parts;
  return {
    getInfo: () =>
      ok({ type: 'CSIPlugin', name: driverName, endpoint, supportedVersions: SUPPORTED_VERSIONS }),
    notifyRegistrationStatus: ({ pluginRegistered, error }) => {
      if (pluginRegistered) {
        part.ready();
        log.info({ driver: driverName }, 'registered with the kubelet');
        return ok({});
      }
      part.notReady(`the kubelet did not take the driver: ${error.slice(0, 500)}`);
      const refused = fail('CSI_NOT_REGISTERED', error.slice(0, 500)).error;
      const { code, message, action } = refused;
      log.error({ driver: driverName, code, reason: message, action }, 'not registered');
      return ok({});
    },
  };
}
