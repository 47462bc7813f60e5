import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  ConnectorAdminService,
  type ConnectorInfo,
  GroupSpec,
} from '../../src/gen/signet/connector/v1/admin.ts';
import type { Segment } from '../../src/gen/signet/connector/v1/connector.ts';
import { freePort, soon } from './processes.ts';
import { ask, TestServer } from './server.ts';
import { testFolder } from './workload-api.ts';

/**
 * Settings of a companion of the group `edge` that keeps everything in one folder, where `bundle.pem` and
 * the provisioning key `key` are.
 */
export function plainSettings(folder: string, port: number): Record<string, unknown> {
  const at = (name: string): string => join(folder, name);
  mkdirSync(at('data'), { mode: 0o700, recursive: true });
  return {
    trustDomain: 'example.org',
    group: 'edge',
    dataDir: at('data'),
    server: { address: '127.0.0.1', port },
    bootstrap: { bundlePath: at('bundle.pem') },
    enrol: { method: 'provisioning-key', keyPath: at('key') },
    outputs: { directory: at('out') },
    segments: { path: at('segments.json') },
    local: { path: at('local.sock') },
    session: { reconnectWithin: '50ms', reconnectAtMost: '200ms' },
    drain: { timeout: '10s', quiet: '0s' },
    log: { level: 'silent' },
  };
}

/** A real server with a connector group `edge`, and settings for companions of it. */
export class CompanionRig {
  readonly server: TestServer;
  readonly folder: string;

  private constructor(server: TestServer, folder: string) {
    this.server = server;
    this.folder = folder;
  }

  /** Starts the server, on a port that it keeps; it ends with the test. */
  static async start(context: TestContext, group: Partial<GroupSpec> = {}): Promise<CompanionRig> {
    const server = await TestServer.start({
      listen: { address: '127.0.0.1', port: await freePort() },
      connectors: { heartbeat: '1s' },
    });
    context.after(() => server.stop());
    const rig = new CompanionRig(server, testFolder(context));
    await ask(server.admin(), ConnectorAdminService.putGroup, {
      group: {
        ...GroupSpec.fromJSON({}),
        name: 'edge',
        proofs: ['provisioning-key', 'bound-key'],
        ...group,
      },
      expectedRevision: 0n,
    });
    writeFileSync(join(rig.folder, 'bundle.pem'), await server.bundlePem());
    return rig;
  }

  /** The server's port. */
  get port(): number {
    return this.server.running.port;
  }

  /** Settings of a companion in the rig's folder, with a provisioning key of so many uses. */
  async settings(
    maxUses = 1,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<Record<string, unknown>> {
    const { key } = await ask(this.server.admin(), ConnectorAdminService.createProvisioningKey, {
      group: 'edge',
      ttlSeconds: 600,
      maxUses,
      cidrs: [],
      description: '',
    });
    writeFileSync(join(this.folder, 'key'), `${key}\n`);
    return { ...plainSettings(this.folder, this.port), ...more };
  }

  /** The connectors of the group, as operators see them. */
  async connectors(): Promise<readonly ConnectorInfo[]> {
    const request = { group: 'edge', states: [], pageSize: 0, pageToken: '' };
    const answer = await ask(this.server.admin(), ConnectorAdminService.listConnectors, request);
    return answer.connectors;
  }

  /** Waits until the only connector is in a state, and answers it. */
  async only(state: string): Promise<ConnectorInfo> {
    let found: readonly ConnectorInfo[] = [];
    await soon(async () => {
      found = await this.connectors();
      return found.length === 1 && found[0]?.state === state;
    });
    const [one] = found;
    if (one === undefined) throw new TypeError('there is no connector');
    return one;
  }

  /** Writes a segment of the group. */
  async putSegment(segment: Segment): Promise<void> {
    await ask(this.server.admin(), ConnectorAdminService.putSegment, {
      segment: { segment, groups: ['edge'] },
      expectedRevision: undefined,
    });
  }

  /** What commands choose: all of the group. */
  get all() {
    return { ids: [], group: 'edge' };
  }
}
