import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import {
  Connector,
  type ConnectorOptions,
  type Ended,
} from '../../examples/connector/connector.ts';
import {
  ConnectorAdminService,
  type CreateProvisioningKeyRequest,
  type GroupSpec,
  type SegmentSpec,
} from '../../src/gen/signet/connector/v1/admin.ts';
import type { Segment } from '../../src/gen/signet/connector/v1/connector.ts';
import type { PeerIdentity } from './connector-peer.ts';
import { eventually } from './dev.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import { wireSegment } from './scripted-connector-server.ts';
import { ask } from './server.ts';

/** What a connector says of itself. */
export interface Said {
  readonly event: string;
  readonly [detail: string]: unknown;
}

/** A reference connector in this process. */
export interface RunningConnector {
  readonly connector: Connector;
  /** Where it takes flows. */
  readonly port: number;
  readonly said: Said[];
  readonly ended: Promise<Ended>;
  /** Waits until it has said this so many times. */
  heard(event: string, times?: number): Promise<void>;
}

/** Where the connectors of a test belong. */
export interface ConnectorHome {
  readonly port: number;
  readonly root: { readonly pem: string };
}

/** Starts a reference connector of the group `edge`; the test's end ends it. */
export async function startConnector(
  context: { after(end: () => Promise<void>): void },
  { port, root }: ConnectorHome,
  options: Partial<ConnectorOptions> = {},
): Promise<RunningConnector> {
  const state = mkdtempSync(join(tmpdir(), 'sgn-'));
  const said: Said[] = [];
  const forget = (): void => rmSync(state, { recursive: true, force: true });
  const connector = await Connector.start({
    server: `127.0.0.1:${port}`,
    trustDomain: 'example.org',
    authorities: new Map([['example.org', [new X509Certificate(root.pem)]]]),
    group: 'edge',
    proof: { kind: 'provisioning-key', key: 'key' },
    state,
    listen: { host: '127.0.0.1', port: 0 },
    keepaliveMs: 30_000,
    backoffMs: 20,
    nowMs: Date.now,
    say: (event, detail) => said.push({ event, ...detail }),
    ...options,
  }).catch((error: unknown) => {
    forget();
    throw error;
  });
  const listening = await connector.serving.listen();
  const ended = connector.run();
  context.after(async () => {
    connector.close();
    await ended;
    forget();
  });
  const heard = (event: string, times = 1): Promise<void> =>
    eventually(() => said.filter((one) => one.event === event).length >= times, 60_000);
  return { connector, port: listening, said, ended, heard };
}

/** A group with plain values for what is left out. */
export function groupSpec(fields: Partial<GroupSpec> = {}): GroupSpec {
  return {
    name: 'edge',
    minInstances: 0,
    maxInstances: 0,
    segmentSelector: {},
    svidTtlSeconds: 0,
    offlineSeconds: 0,
    forgetAfterSeconds: 0,
    proofs: ['provisioning-key'],
    serviceAccounts: [],
    spiffeIds: [],
    zones: [],
    assurance: '',
    requireAttestedNode: false,
    segmentNamespaces: [],
    segmentHosts: [],
    updateWindow: '',
    maxUnavailable: 0,
    ...fields,
  };
}

/** A server as a process of its own with connectors on, and what operators do to them. */
export class ConnectorRig {
  readonly fleet: Fleet;
  readonly root: { readonly pem: string };
  readonly #clients: Client[] = [];
  #admin: Client | undefined;

  private constructor(fleet: Fleet, pem: string) {
    this.fleet = fleet;
    this.root = { pem };
  }

  /** @param connectors What the section of the server's settings says. */
  static async start(options: FleetOptions = {}, connectors = ''): Promise<ConnectorRig> {
    const { serverYaml = '' } = options;
    const fleet = await Fleet.start({
      serverOnly: true,
      ...options,
      serverYaml: `connectors: { ${connectors} }\n${serverYaml}`,
    });
    return new ConnectorRig(fleet, (await fleet.cli('bundle', 'show')).stdout);
  }

  get port(): number {
    return this.fleet.port;
  }

  /** A client of the admin socket. */
  admin(): Client {
    this.#admin ??= new Client(`unix:${this.fleet.adminSocket}`, credentials.createInsecure());
    return this.#admin;
  }

  /** A client of the TCP port; without an identity an anonymous one. */
  client(shown?: PeerIdentity): Client {
    const own = [shown?.key, shown?.cert].map((pem) =>
      pem === undefined ? null : Buffer.from(pem),
    );
    const [key = null, cert = null] = own;
    // A SPIFFE server has no DNS name, and Node refuses an IP address as one.
    const tls = credentials.createSsl(Buffer.from(this.root.pem), key, cert, {
      checkServerIdentity: () => undefined,
    });
    const options = { 'grpc.ssl_target_name_override': 'server.test' };
    const client = new Client(`127.0.0.1:${this.port}`, tls, options);
    this.#clients.push(client);
    return client;
  }

  async putGroup(fields: Partial<GroupSpec> = {}): Promise<void> {
    const request = { group: groupSpec(fields), expectedRevision: undefined };
    await ask(this.admin(), ConnectorAdminService.putGroup, request);
  }

  /** Puts a segment of `edge`. */
  async putSegment(id: string, fields: Partial<Segment> = {}): Promise<void> {
    const segment: SegmentSpec = { segment: wireSegment(id, fields), groups: ['edge'] };
    const request = { segment, expectedRevision: undefined };
    await ask(this.admin(), ConnectorAdminService.putSegment, request);
  }

  /** Makes a provisioning key of `edge`; answers with its text. */
  async createKey(fields: Partial<CreateProvisioningKeyRequest> = {}): Promise<string> {
    const plain = { group: 'edge', ttlSeconds: 3600, maxUses: 100, cidrs: [], description: '' };
    const request = { ...plain, ...fields };
    return (await ask(this.admin(), ConnectorAdminService.createProvisioningKey, request)).key;
  }

  /** An X.509-SVID of a workload. */
  async mint(path = '/app'): Promise<PeerIdentity> {
    const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
    const id = `spiffe://example.org${path}`;
    const done = await this.fleet.cli('x509', 'mint', '--spiffe-id', id, '--write', folder);
    if (done.code !== 0) throw new TypeError(done.stderr);
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
    const minted = { key: read('key.pem'), cert: read('svid.pem') };
    rmSync(folder, { recursive: true, force: true });
    return minted;
  }

  async stop(): Promise<void> {
    this.#admin?.close();
    for (const client of this.#clients) client.close();
    await this.fleet.stop();
  }
}
