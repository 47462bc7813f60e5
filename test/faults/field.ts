import { readdirSync, readFileSync } from 'node:fs';
import { Client, credentials } from '@grpc/grpc-js';
import { encodePem } from '../../src/der/pem.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import type { Fleet } from '../support/fleet.ts';
import { ask, attest, type TestAgent, type TestIdentity } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

/** Limits off: what these tests send comes faster than any honest caller's. */
export const NO_RATE_LIMITS = `limits:
  attestation: { perSecond: 0 }
  anonymousCalls: { perSecond: 0 }
  anonymousConnections: { perSecond: 0 }
  agentCalls: { perSecond: 0 }
  agentSignatures: { perSecond: 0 }
`;

/** Clients of a fleet's server, of every kind. */
export class Clients {
  readonly #fleet: Fleet;
  readonly #open: Client[] = [];

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** A client on the admin socket, on a connection of its own. */
  admin(): Client {
    const client = new Client(`unix:${this.#fleet.adminSocket}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#open.push(client);
    return client;
  }

  /** A client on the TCP port; without an identity an anonymous one. */
  async tcp(identity?: TestIdentity): Promise<Client> {
    const bundle = await ask(this.admin(), BundleService.getBundle, { outputMask: undefined });
    const roots = bundle.x509Authorities.map(({ asn1 }) => encodePem('CERTIFICATE', asn1)).join('');
    const key = identity?.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const chain = identity?.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const channel = credentials.createSsl(
      Buffer.from(roots),
      key === undefined ? null : Buffer.from(key),
      chain === undefined ? null : Buffer.from(chain),
      { checkServerIdentity: () => undefined },
    );
    const client = new Client(`127.0.0.1:${this.#fleet.port}`, channel, {
      'grpc.ssl_target_name_override': 'server.test',
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#open.push(client);
    return client;
  }

  async token(ttl = 600): Promise<string> {
    const request = { ttl, token: '', agentId: undefined };
    return (await ask(this.admin(), AgentService.createJoinToken, request)).value;
  }

  /** Joins an agent that only the test plays. */
  async attest(): Promise<TestAgent> {
    const token = await this.token();
    const key = makeKey();
    const { svid } = await attest(await this.tcp(), token, makeCsr({ key }));
    return {
      token,
      key,
      chain: svid?.certChain ?? [],
      path: `/spire/agent/join_token/${token}`,
    };
  }

  close(): void {
    for (const client of this.#open.splice(0)) client.close();
  }
}

/** Resident memory of a process, in MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN) / 1024;
}

/** Number of open descriptors of a process. */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Rounds of a crash run: `SIGNET_FAULT_ROUNDS`, else 8. */
export const ROUNDS = Number(process.env.SIGNET_FAULT_ROUNDS ?? 8);
