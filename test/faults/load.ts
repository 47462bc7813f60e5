import type { Client } from '@grpc/grpc-js';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { ask, attest, type TestAgent, wireEntry } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';
import type { Clients } from './field.ts';

/** Selectors of every entry that the load makes: one with fewer would be half an entry. */
export const LOAD_SELECTORS = [
  { type: 'unix', value: 'uid:4000000001' },
  { type: 'unix', value: 'gid:4000000001' },
];

/**
 * Registration, deletion, attestation and issuance at once, until the server answers no more. It
 * keeps what was answered: that must outlive the server.
 */
export class Load {
  /** Entries whose creation was answered and whose deletion was never asked for: id → path. */
  readonly entries = new Map<string, string>();
  /** Entries whose deletion was answered. */
  readonly deleted = new Set<string>();
  /** Agents whose attestation was answered. */
  readonly agents: TestAgent[] = [];
  /** Certificates of the SVIDs that were answered. */
  readonly issued: Uint8Array[] = [];
  #count = 0;

  /**
   * Runs until the first call of each kind fails, which is when the server is killed.
   *
   * @param onIssued Called at each batch of SVIDs that was answered.
   */
  async run(clients: Clients, onIssued: () => void): Promise<void> {
    const work = [
      ...[clients.admin(), clients.admin()].map((admin) => this.#register(admin)),
      this.#attest(clients),
      // The kill may come before there is an issuer.
      this.#issuer(clients).then(({ client, entryId }) => this.#issue(client, entryId, onIssued)),
    ];
    await Promise.allSettled(work);
  }

  async #register(admin: Client): Promise<void> {
    for (;;) {
      const entries = Array.from({ length: 5 }, () => this.#entry());
      const request = { entries, outputMask: undefined };
      const { results } = await ask(admin, EntryService.batchCreateEntry, request);
      for (const { entry } of results) {
        if (entry !== undefined) this.entries.set(entry.id, entry.spiffeId?.path ?? '');
      }
      const [first] = this.entries.keys();
      if (first === undefined) continue;
      // From now on nobody can say whether it is there, until the deletion is answered.
      this.entries.delete(first);
      await ask(admin, EntryService.batchDeleteEntry, { ids: [first] });
      this.deleted.add(first);
    }
  }

  async #attest(clients: Clients): Promise<void> {
    const admin = clients.admin();
    const anybody = await clients.tcp();
    for (;;) {
      const request = { ttl: 600, token: '', agentId: undefined };
      const token = (await ask(admin, AgentService.createJoinToken, request)).value;
      const key = makeKey();
      const { svid } = await attest(anybody, token, makeCsr({ key }));
      const path = `/spire/agent/join_token/${token}`;
      this.agents.push({ token, key, chain: svid?.certChain ?? [], path });
    }
  }

  async #issue(agent: Client, entryId: string, onIssued: () => void): Promise<void> {
    const csr = Buffer.from(makeCsr());
    const params = Array.from({ length: 20 }, () => ({ entryId, csr }));
    for (;;) {
      const { results } = await ask(agent, SVIDService.batchNewX509Svid, { params });
      this.issued.push(...results.flatMap(({ svid }) => svid?.certChain[0] ?? []));
      onIssued();
    }
  }

  async #issuer(clients: Clients): Promise<{ client: Client; entryId: string }> {
    const agent = await clients.attest();
    this.agents.push(agent);
    const parentId = { trustDomain: 'example.org', path: agent.path };
    const entries = [{ ...this.#entry(), parentId }];
    const request = { entries, outputMask: undefined };
    const created = await ask(clients.admin(), EntryService.batchCreateEntry, request);
    return { client: await clients.tcp(agent), entryId: created.results[0]?.entry?.id ?? '' };
  }

  #entry(): Entry {
    const path = `/load/${process.pid}/${performance.now()}/${this.#count++}`;
    return wireEntry({
      spiffeId: { trustDomain: 'example.org', path },
      parentId: { trustDomain: 'example.org', path: '/spire/agent/nobody' },
      selectors: LOAD_SELECTORS,
    });
  }
}
