import { fail, ok, type Result } from '../base/result.ts';
import type { ConnectorChange } from '../gen/signet/connector/v1/admin.ts';
import { followConnectors } from './connector-follow.ts';
import { formatError } from './report.ts';
import type { ServerConnection } from './server-connection.ts';
import type { CliIo } from './spec.ts';
import { counted, safe } from './text.ts';

/** How much longer than its deadline a connector may take to say that it leaves, in milliseconds. */
const GRACE_MS = 15_000;

/** What is waited for. */
export interface Drained {
  readonly ids: ReadonlySet<string>;
  readonly withinSeconds: number;
  /** Their group, where it was named. */
  readonly group: string;
}

/** States in which a connector has left. */
const LEFT: readonly string[] = ['stopped', 'expired', 'revoked'];

/** Waits until connectors that drain have left, and tells how it goes. Fails with CLI_PARTLY_FAILED. */
export async function waitForDrain(
  server: ServerConnection,
  io: CliIo,
  { ids, withinSeconds, group }: Drained,
): Promise<Result<void>> {
  const waiting = new Map([...ids].map((id) => [id, { state: 'draining', flows: 0n }]));
  const progress = createProgress(ids.size, waiting, io);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), withinSeconds * 1000 + GRACE_MS);
  const signal = AbortSignal.any([io.signal, end.signal]);
  let whole = false;
  const onChange = (change: ConnectorChange): boolean => {
    note(change, waiting);
    whole ||= change.initialDone;
    // Before the whole beginning is told nobody knows who is gone already.
    if (whole) progress();
    return !whole || (waiting.size > 0 && !isOver(waiting));
  };
  const onLost = (error: Parameters<typeof formatError>[0]): void => io.err(formatError(error));
  const error = await followConnectors(
    server,
    { ...io, signal },
    { group, states: [] },
    { onChange, onLost },
  );
  clearTimeout(timer);
  if (error !== undefined) return { ok: false, error };
  if (waiting.size === 0) return ok(undefined);
  const left = [...waiting].map(([id, { state, flows }]) => {
    return `  ${safe(id)} is ${safe(state)}, ${counted(Number(flows), 'flow', 'flows')} open`;
  });
  return fail(
    'CLI_PARTLY_FAILED',
    `${waiting.size} of ${ids.size} have not left\n${left.slice(0, 20).join('\n')}`,
  );
}

type Waiting = Map<string, { readonly state: string; readonly flows: bigint }>;

function note({ connector, removed }: ConnectorChange, waiting: Waiting): void {
  if (connector === undefined || !waiting.has(connector.id)) return;
  if (removed || LEFT.includes(connector.state)) waiting.delete(connector.id);
  else waiting.set(connector.id, { state: connector.state, flows: connector.activeFlows });
}

/** Whether nothing comes of waiting: those that are left were told to go on, or are out of reach. */
function isOver(waiting: Waiting): boolean {
  return [...waiting.values()].every(({ state }) => state !== 'draining');
}

function createProgress(count: number, waiting: Waiting, io: Pick<CliIo, 'err'>): () => void {
  let told = '';
  return () => {
    const flows = [...waiting.values()].reduce((sum, one) => sum + one.flows, 0n);
    const line = `${count - waiting.size} of ${count} drained, ${counted(Number(flows), 'flow', 'flows')} open`;
    if (line !== told) io.err(`${line}\n`);
    told = line;
  };
}
