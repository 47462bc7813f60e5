import { stat } from 'node:fs/promises';
import { utf8 } from '../../base/bytes.ts';
import { ok, type Result } from '../../base/result.ts';
import { batchResult, callUnary, itemError, type UnaryCall } from '../../cli/remote.ts';
import { toWireId } from '../../cli/wire.ts';
import { fromWireBundle } from '../../cli/wire-bundle.ts';
import {
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthClient,
} from '../../gen/grpc/health/v1/health.ts';
import { AgentClient } from '../../gen/spire/api/server/agent/v1/agent.ts';
import { BundleClient } from '../../gen/spire/api/server/bundle/v1/bundle.ts';
import {
  type BatchUpdateEntryResponse,
  EntryClient,
  ListEntriesRequest_Filter,
  type ListEntriesResponse,
} from '../../gen/spire/api/server/entry/v1/entry.ts';
import type { Agent } from '../../gen/spire/api/types/agent.ts';
import type { Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { EntryMask } from '../../gen/spire/api/types/entry.ts';
import type { JoinToken } from '../../gen/spire/api/types/jointoken.ts';
import { openUnixChannel, type RpcChannel } from '../../rpc/channel.ts';
import { writeFileAtomic } from '../../runtime/atomic-file.ts';
import { formatPemBundle } from '../../spiffe/bundle-format.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';

const TIMEOUT_MS = 10_000;
const TOKEN_TTL_SECONDS = 600;

/** Whether a process says on its socket that it serves; false also when nobody is there yet. */
export async function isServing(socketPath: string): Promise<boolean> {
  const exists = await stat(socketPath).then(
    () => true,
    () => false,
  );
  if (!exists) return false;
  // One channel a try: a channel whose first connection failed waits a second before the next.
  const channel = openUnixChannel(socketPath);
  try {
    const client = channel.client(HealthClient);
    const answer = await callUnary<HealthCheckResponse>(
      'checking',
      (metadata, options, done) => client.check({ service: '' }, metadata, options, done),
      { peer: 'server', address: socketPath, timeoutMs: 2000 },
    );
    return answer.ok && answer.value.status === HealthCheckResponse_ServingStatus.SERVING;
  } finally {
    channel.close();
  }
}

/** What `signet dev` asks the server on its admin socket. */
export class DevAdmin {
  readonly #channel: RpcChannel;
  readonly #socketPath: string;
  #written = '';

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#channel = openUnixChannel(socketPath);
  }

  /** Writes the trust bundle, as PEM for everyone to read, where it changed since the last time. */
  async writeBundle(path: string): Promise<Result<void>> {
    const client = this.#channel.client(BundleClient);
    const wire = await this.#call<WireBundle>('reading the bundle', (metadata, options, done) =>
      client.getBundle({ outputMask: undefined }, metadata, options, done),
    );
    if (!wire.ok) return wire;
    const bundle = fromWireBundle(wire.value);
    if (!bundle.ok) return bundle;
    const pem = formatPemBundle(bundle.value);
    if (pem === this.#written) return ok(undefined);
    const written = await writeFileAtomic(path, utf8(pem), { mode: 0o644 });
    if (written.ok) this.#written = pem;
    return written;
  }

  /** An agent; undefined where the server knows none of that ID. */
  async agent(id: SpiffeId): Promise<Result<Agent | undefined>> {
    const client = this.#channel.client(AgentClient);
    const agent = await this.#call<Agent>('reading the agent', (metadata, options, done) =>
      client.getAgent({ id: toWireId(id), outputMask: undefined }, metadata, options, done),
    );
    return !agent.ok && agent.error.statusName === 'NotFound' ? ok(undefined) : agent;
  }

  /** Forgets an agent. */
  async evict(id: SpiffeId): Promise<Result<unknown>> {
    const client = this.#channel.client(AgentClient);
    return this.#call<unknown>('evicting the agent', (metadata, options, done) =>
      client.deleteAgent({ id: toWireId(id) }, metadata, options, done),
    );
  }

  /** Gives the entries of one parent to another. */
  async moveEntries(from: SpiffeId, to: SpiffeId): Promise<Result<void>> {
    const client = this.#channel.client(EntryClient);
    const filter = { ...ListEntriesRequest_Filter.fromJSON({}), byParentId: toWireId(from) };
    const request = { filter, outputMask: undefined, pageSize: 0, pageToken: '' };
    const listed = await this.#call<ListEntriesResponse>('listing entries', (m, o, done) =>
      client.listEntries(request, m, o, done),
    );
    if (!listed.ok) return listed;
    const entries = listed.value.entries.map((entry) => ({ ...entry, parentId: toWireId(to) }));
    if (entries.length === 0) return ok(undefined);
    const inputMask = { ...EntryMask.fromJSON({}), parentId: true };
    const updated = await this.#call<BatchUpdateEntryResponse>('moving entries', (m, o, done) =>
      client.batchUpdateEntry({ entries, inputMask, outputMask: undefined }, m, o, done),
    );
    if (!updated.ok) return updated;
    const errors = updated.value.results.flatMap(
      ({ status }) => itemError('moving an entry', status) ?? [],
    );
    return batchResult(errors, entries.length);
  }

  /** A join token that the server chooses. */
  createToken(): Promise<Result<JoinToken>> {
    const client = this.#channel.client(AgentClient);
    const request = { ttl: TOKEN_TTL_SECONDS, token: '', agentId: undefined };
    return this.#call<JoinToken>('creating a join token', (metadata, options, done) =>
      client.createJoinToken(request, metadata, options, done),
    );
  }

  close(): void {
    this.#channel.close();
  }

  #call<Res>(doing: string, call: UnaryCall<Res>): Promise<Result<Res>> {
    const settings = { peer: 'server', address: this.#socketPath, timeoutMs: TIMEOUT_MS } as const;
    return callUnary(doing, call, settings);
  }
}
