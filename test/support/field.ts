import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type RunningAgent, startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import type { Result } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { AgentClient } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleClient } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryClient } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { type ClientConstructor, openUnixChannel, type RpcChannel } from '../../src/rpc/channel.ts';
import { createLogger, type Logger } from '../../src/runtime/log.ts';
import { serverConfigSchema } from '../../src/server/config.ts';
import { type RunningServer, startServer } from '../../src/server/server.ts';
import { wireEntry } from './agent-ca.ts';
import { assertValue } from './refused.ts';
import { answerOf, testFolder } from './workload-api.ts';

/** A selector of this very process. */
export const UID = { type: 'unix', value: `uid:${process.geteuid?.()}` };
const log = createLogger({ level: 'silent' });

/** A real server and as many agents as a test wants, in one folder. */
export class Field {
  readonly #context: TestContext;
  readonly dir: string;
  readonly #settings: object;
  #server: RunningServer | undefined;
  #admin: RpcChannel | undefined;
  #port = 0;

  constructor(context: TestContext, settings: object = {}) {
    this.#context = context;
    this.dir = testFolder(context);
    this.#settings = settings;
    context.after(() => this.stopServer());
  }

  /** Port of the server. */
  get port(): number {
    return this.#port;
  }

  /** Port of its /metrics and /crl; undefined when off. */
  get telemetryPort(): number | undefined {
    return this.#server?.telemetryPort;
  }

  async startServer(): Promise<void> {
    const config = serverConfigSchema.parse({
      trustDomain: 'example.org',
      dataDir: join(this.dir, 's'),
      listen: { address: '127.0.0.1', port: this.#port },
      adminSocket: { path: join(this.dir, 'p', 'api.sock') },
      ...this.#settings,
    });
    this.#server = assertValue(await startServer(config, { log }));
    this.#port = this.#server.port;
    this.#admin = openUnixChannel(config.adminSocket.path);
  }

  async stopServer(): Promise<void> {
    this.#admin?.close();
    await this.#server?.stop('test');
    this.#server = undefined;
  }

  async token(): Promise<string> {
    const client = this.#client(AgentClient);
    const answer = await answerOf<{ value: string }>((done) =>
      client.createJoinToken({ ttl: 60, token: '', agentId: undefined }, done),
    );
    assert.equal(answer.code, 0, answer.details);
    return answer.value?.value ?? '';
  }

  /** Starts an agent; stopped after the test. */
  async agent(settings: object, agentLog: Logger = log): Promise<Result<RunningAgent>> {
    const config = agentConfigSchema.parse({
      trustDomain: 'example.org',
      dataDir: join(this.dir, 'a'),
      server: { address: '127.0.0.1', port: this.#port },
      bootstrap: { insecure: true },
      workloadSocket: { path: join(this.dir, 'w', 'api.sock') },
      // A machine under load must not turn a wait into a refusal.
      startupGrace: '2m',
      ...settings,
    });
    const agent = await startAgent(config, { log: agentLog, version: 'test/1' });
    if (agent.ok) this.#context.after(() => agent.value.stop('test is over'));
    return agent;
  }

  async createEntry(token: string, path: string): Promise<string> {
    const client = this.#client(EntryClient);
    const entry = wireEntry('', {
      spiffeId: { trustDomain: 'example.org', path },
      parentId: { trustDomain: 'example.org', path: `/spire/agent/join_token/${token}` },
      selectors: [UID],
    });
    const answer = await answerOf<{ results: { entry: { id: string } | undefined }[] }>((done) =>
      client.batchCreateEntry({ entries: [entry], outputMask: undefined }, done as never),
    );
    return answer.value?.results[0]?.entry?.id ?? '';
  }

  async deleteEntry(id: string): Promise<void> {
    const client = this.#client(EntryClient);
    await answerOf<unknown>((done) => client.batchDeleteEntry({ ids: [id] }, done));
  }

  async ban(token: string): Promise<void> {
    const client = this.#client(AgentClient);
    const id = { trustDomain: 'example.org', path: `/spire/agent/join_token/${token}` };
    assert.equal((await answerOf<unknown>((done) => client.banAgent({ id }, done))).code, 0);
  }

  async evict(token: string): Promise<void> {
    const client = this.#client(AgentClient);
    const id = { trustDomain: 'example.org', path: `/spire/agent/join_token/${token}` };
    assert.equal((await answerOf<unknown>((done) => client.deleteAgent({ id }, done))).code, 0);
  }

  async bundlePem(): Promise<string> {
    const client = this.#client(BundleClient);
    const answer = await answerOf<{ x509Authorities: { asn1: Buffer }[] }>((done) =>
      client.getBundle({ outputMask: undefined }, done),
    );
    return (answer.value?.x509Authorities ?? [])
      .map(({ asn1 }) => encodePem('CERTIFICATE', asn1))
      .join('');
  }

  async agentIds(): Promise<readonly string[]> {
    const client = this.#client(AgentClient);
    const request = { pageSize: 0, pageToken: '', filter: undefined, outputMask: undefined };
    const answer = await answerOf<{ agents: { id: { path: string } | undefined }[] }>((done) =>
      client.listAgents(request, done),
    );
    return (answer.value?.agents ?? []).map(({ id }) => id?.path ?? '');
  }

  #client<C>(type: ClientConstructor<C>): C {
    assert.ok(this.#admin);
    return this.#admin.client(type);
  }
}
