import { ok, type Result } from '../base/result.ts';
import {
  type ConnectorChange,
  ConnectorInfo,
  type ListConnectorsRequest,
} from '../gen/signet/connector/v1/admin.ts';
import type { CallContext, ResponseStream } from '../rpc/service.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import { type ConnectorFilter, connectorFilter } from './connector-filter.ts';
import type { ConnectorAdminContext } from './connector-writes.ts';
import { toWireConnector } from './convert/connectors.ts';

/** Of one that is gone only its ID is told. */
const GONE = ConnectorInfo.fromJSON({});

/** Tells how connectors stand, then what changes. What a slow reader has not taken is merged. */
export async function watchConnectors(
  admin: ConnectorAdminContext,
  request: ListConnectorsRequest,
  stream: ResponseStream<ConnectorChange>,
  { signal }: CallContext,
): Promise<Result<void>> {
  const filter = connectorFilter(admin, request);
  if (!filter.ok) return filter;
  const watch = new Watch(admin, filter.value, signal);
  try {
    await watch.tellStart(stream);
    while (!signal.aborted) {
      await watch.changed();
      await watch.tellChanges(stream);
    }
    return ok(undefined);
  } finally {
    watch.close();
  }
}

/** One reader: which connectors it knows of, and which have changed since it was told. */
class Watch {
  readonly #admin: ConnectorAdminContext;
  readonly #matches: ConnectorFilter;
  readonly #known = new Set<string>();
  readonly #changed = new Set<string>();
  readonly #signal: AbortSignal;
  readonly #unsubscribe: () => void;
  #wake: () => void = () => {};

  constructor(admin: ConnectorAdminContext, matches: ConnectorFilter, signal: AbortSignal) {
    this.#admin = admin;
    this.#matches = matches;
    this.#signal = signal;
    // One listener for the whole call: one for each wait would pile up on a watch of weeks.
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    this.#unsubscribe = admin.live.onChange((ids) => {
      for (const id of ids) this.#changed.add(id);
      this.#wake();
    });
  }

  async tellStart(stream: ResponseStream<ConnectorChange>): Promise<void> {
    const all = [...this.#admin.api.registry.connectors.connectors()].map(({ id }) => id);
    for (const id of all.sort()) {
      if (this.#signal.aborted) return;
      await this.#tell(stream, id);
    }
    stream.write({ connector: undefined, removed: false, initialDone: true });
  }

  /** Answers when there is something to tell, or the reader has gone. */
  async changed(): Promise<void> {
    if (this.#changed.size > 0 || this.#signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
  }

  async tellChanges(stream: ResponseStream<ConnectorChange>): Promise<void> {
    const ids = [...this.#changed];
    this.#changed.clear();
    for (const id of ids) {
      if (this.#signal.aborted) return;
      await this.#tell(stream, id);
    }
  }

  close(): void {
    this.#unsubscribe();
  }

  /** Tells one connector as it stands now, however often it changed before. */
  async #tell(stream: ResponseStream<ConnectorChange>, id: string): Promise<void> {
    const { api, live } = this.#admin;
    const connector: ConnectorRecord | undefined = api.registry.connectors.connector(id);
    let goesOn = true;
    if (connector !== undefined && this.#matches(connector)) {
      this.#known.add(id);
      const message = toWireConnector(connector, live);
      goesOn = stream.write({ connector: message, removed: false, initialDone: false });
    } else if (this.#known.delete(id)) {
      goesOn = stream.write({ connector: { ...GONE, id }, removed: true, initialDone: false });
    }
    if (!goesOn) await stream.drained();
  }
}
