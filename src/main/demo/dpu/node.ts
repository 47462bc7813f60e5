import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { systemRandom } from '../../../base/random.ts';
import { unwrap } from '../../../base/result.ts';
import type { CliIo } from '../../../cli/spec.ts';
import { DevAdmin } from '../../dev/admin.ts';
import { type DevChild, startChild } from '../../dev/child.ts';
import { findFreePort, waitUntilServing } from '../../dev/run.ts';
import { DEV_ADDRESS } from '../../dev/settings.ts';
import type { Stage } from '../stage.ts';
import { CardProcess } from './card-process.ts';
import { DEMO_CLASS, makeManifest } from './manifest.ts';
import { DEMO_TARGET } from './protocol.ts';

/** Serial number of the demo's card. */
export const SERIAL = 'DEMO00000001';

/** The host that the card sits in, as the inventory and the host itself have it. */
export const HOST = {
  serial: 'DEMOHOST0001',
  uuid: '00000000-0000-4000-8000-00000000000a',
} as const;

/** Trust domain of the demo. */
export const TRUST_DOMAIN = 'demo.example';

/** The agent attests again after half of this: soon enough to see it, long enough for a busy machine. */
const AGENT_TTL = '20s';

const CARD_LIMIT_MS = 20_000;

/** Where everything of the demo is. */
export interface DpuPlaces {
  readonly dir: string;
  readonly adminSocket: string;
  /** Of the agent on the card, and of that on the host. */
  readonly cardSocket: string;
  readonly hostSocket: string;
  readonly serverLog: string;
  readonly cardLog: string;
  readonly hostLog: string;
  /** Rows for `signet dpu import`. */
  readonly inventory: string;
}

/** The card with its BMC, and the server that is to attest it. */
export interface DpuSite {
  readonly places: DpuPlaces;
  readonly card: CardProcess;
  readonly server: DevChild;
  readonly port: number;
  /** Where the agent on the card vouches for that on the host. */
  readonly voucherPort: number;
  readonly origin: string;
  readonly spkiSha256: string;
}

/** Starts the card's process, then a server that pins its vendor and publisher. */
export async function startSite(stage: Stage, io: CliIo): Promise<DpuSite> {
  const dir = stage.folder();
  const places = makePlaces(dir);
  const account = writeAccount(dir);
  const card = await stage.add(new CardProcess({ serial: SERIAL, ...account }));
  const ready = await card.event('ready', CARD_LIMIT_MS);
  const port = await findFreePort();
  const voucherPort = await findFreePort();
  const { envelope, publisher } = makeManifest(io.clock.nowMs());
  const config = {
    trustDomain: TRUST_DOMAIN,
    dataDir: join(dir, 'server-data'),
    listen: { address: DEV_ADDRESS, port },
    adminSocket: { path: places.adminSocket },
    svid: { agentTtl: AGENT_TTL },
    attestation: {
      dpu: {
        classes: [{ name: DEMO_CLASS, roots: [ready.root], classCas: [ready.classCa] }],
        targets: [{ id: DEMO_TARGET, class: DEMO_CLASS }],
        manifests: {
          paths: [write(dir, 'manifest.json', envelope)],
          signerPaths: [write(dir, 'publisher.pem', publisher)],
        },
        bmc: account,
      },
      dpuHost: { enabled: true },
    },
  };
  const path = write(dir, 'server.yaml', stringify(config));
  const server = await stage.add(
    startChild('server', ['server', 'run', '--config', path], places.serverLog),
  );
  unwrap(await waitUntilServing(server, places.adminSocket, io.clock));
  writeInventory(places, ready);
  return { ...ready, places, card, server, port, voucherPort };
}

/** Starts the agent on the card: it asks the card's BMC, by a path that the host does not have. */
export async function startCardAgent(stage: Stage, site: DpuSite, io: CliIo): Promise<DevChild> {
  const { places, voucherPort, origin, spkiSha256 } = site;
  const admin = new DevAdmin(places.adminSocket);
  const bundle = await admin.writeBundle(bundlePath(places));
  admin.close();
  unwrap(bundle);
  const bmc = {
    address: origin,
    tlsPin: `spki-sha256:${spkiSha256}`,
    ...accountPaths(places.dir),
  };
  const config = {
    ...agentConfig(site, 'card', places.cardSocket),
    attestation: { dpu: { serial: SERIAL, bmc } },
    voucher: {
      // On a card it is the link to the host, and an address of that link alone.
      listen: { address: DEV_ADDRESS, port: voucherPort, anyAddress: true },
      host: HOST,
    },
  };
  return startAgent(stage, places, io, {
    name: 'card',
    config,
    socket: places.cardSocket,
    log: places.cardLog,
  });
}

/** Starts the agent on the host: the card vouches for it. */
export async function startHostAgent(stage: Stage, site: DpuSite, io: CliIo): Promise<DevChild> {
  const { places, voucherPort } = site;
  const dpuHost = {
    address: DEV_ADDRESS,
    port: voucherPort,
    uuidPath: write(places.dir, 'host-uuid', HOST.uuid),
    serialPath: write(places.dir, 'host-serial', HOST.serial),
  };
  const config = {
    ...agentConfig(site, 'host', places.hostSocket),
    attestation: { dpuHost },
  };
  return startAgent(stage, places, io, {
    name: 'host',
    config,
    socket: places.hostSocket,
    log: places.hostLog,
  });
}

interface AgentStart {
  readonly name: string;
  readonly config: object;
  readonly socket: string;
  readonly log: string;
}

async function startAgent(
  stage: Stage,
  { dir }: DpuPlaces,
  io: CliIo,
  { name, config, socket, log }: AgentStart,
): Promise<DevChild> {
  const path = write(dir, `${name}.yaml`, stringify(config));
  const child = startChild('agent', ['agent', 'run', '--config', path], log);
  const agent = await stage.add(child);
  unwrap(await waitUntilServing(agent, socket, io.clock));
  return agent;
}

function agentConfig({ places, port }: DpuSite, name: string, socket: string): object {
  return {
    trustDomain: TRUST_DOMAIN,
    dataDir: join(places.dir, `${name}-data`),
    server: { address: DEV_ADDRESS, port },
    bootstrap: { bundlePath: bundlePath(places) },
    workloadSocket: { path: socket },
    workloadAttestors: { unix: { discoverPath: true, maxHashBytes: '0B' } },
  };
}

function bundlePath({ dir }: DpuPlaces): string {
  return join(dir, 'bundle.pem');
}

function makePlaces(dir: string): DpuPlaces {
  mkdirSync(join(dir, 'admin'), { mode: 0o700 });
  for (const name of ['card', 'host']) {
    mkdirSync(join(dir, name), { mode: 0o755 });
    // The umask may have taken bits away.
    chmodSync(join(dir, name), 0o755);
  }
  return {
    dir,
    adminSocket: join(dir, 'admin/api.sock'),
    cardSocket: join(dir, 'card/api.sock'),
    hostSocket: join(dir, 'host/api.sock'),
    serverLog: join(dir, 'server.log'),
    cardLog: join(dir, 'card.log'),
    hostLog: join(dir, 'host.log'),
    inventory: join(dir, 'dpus.csv'),
  };
}

/** An account of this one BMC, with a password that nobody ever sees. */
function writeAccount(dir: string): ReturnType<typeof accountPaths> {
  write(dir, 'bmc-user', 'signet');
  write(dir, 'bmc-password', Buffer.from(systemRandom.bytes(18)).toString('base64url'));
  return accountPaths(dir);
}

function accountPaths(dir: string): { userNamePath: string; passwordPath: string } {
  return { userNamePath: join(dir, 'bmc-user'), passwordPath: join(dir, 'bmc-password') };
}

function writeInventory(
  { inventory }: DpuPlaces,
  { origin, spkiSha256 }: { readonly origin: string; readonly spkiSha256: string },
): void {
  const { hostname, port } = new URL(origin);
  const head = 'serial,model,zone,rack,bmc_host,bmc_port,bmc_tls_pin,host_serial,host_uuid';
  const bmc = [hostname, port, spkiSha256];
  const row = [SERIAL, 'demo-dpu', '1', 'r12', ...bmc, HOST.serial, HOST.uuid];
  writeFileSync(inventory, `${head}\n${row.join(',')}\n`);
}

function write(dir: string, name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
