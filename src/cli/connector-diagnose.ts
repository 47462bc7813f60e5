import { SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import type {
  ConnectorDiagnostics,
  ListDiagnosticsResponse,
} from '../gen/signet/connector/v1/admin.ts';
import type { ConnectorCall } from './connector-calls.ts';
import { pause } from './connector-follow.ts';
import { outcomeError } from './connector-outcome.ts';
import type { CliIo } from './spec.ts';

/** Connectors that one call asks about. */
const AT_ONCE = 100;

/** How often the server is asked whether the answers have come, in milliseconds: at first, and at last. */
const AGAIN_MS = { first: 50, last: 500 } as const;

/** Whose answers are waited for, and how long. */
export interface WaitedFor {
  readonly ids: readonly string[];
  readonly withinSeconds: number;
}

/** What connectors told when they were asked last, in this order. */
export async function readDiagnostics(
  call: ConnectorCall,
  ids: readonly string[],
): Promise<Result<readonly ConnectorDiagnostics[]>> {
  const told: ConnectorDiagnostics[] = [];
  while (told.length < ids.length) {
    const some = ids.slice(told.length, told.length + AT_ONCE);
    const answer = await call<ListDiagnosticsResponse>(
      'reading diagnostics',
      (client) => (m, o, done) => client.listDiagnostics({ ids: some }, m, o, done),
    );
    if (!answer.ok) return answer;
    // An answer that holds nothing would be asked for again without end.
    if (answer.value.diagnostics.length === 0) break;
    told.push(...answer.value.diagnostics);
  }
  return ok(told);
}

/**
 * Waits until connectors have told what they were asked for, the time is over or the user interrupts;
 * answers with what there is then, in the order of the IDs.
 */
export async function waitForDiagnostics(
  call: ConnectorCall,
  io: Pick<CliIo, 'signal'>,
  { ids, withinSeconds }: WaitedFor,
): Promise<Result<readonly ConnectorDiagnostics[]>> {
  const told = new Map<string, ConnectorDiagnostics>();
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(withinSeconds * 1000)]);
  for (let againMs: number = AGAIN_MS.first; ; againMs = Math.min(2 * againMs, AGAIN_MS.last)) {
    const isOver = signal.aborted;
    const waiting = ids.filter((id) => !isAnswered(told.get(id)));
    const read = await readDiagnostics(call, waiting);
    if (!read.ok) return read;
    for (const one of read.value) told.set(one.id, one);
    if (isOver || read.value.every(isAnswered)) break;
    await pause(againMs, signal);
  }
  return ok(ids.flatMap((id) => told.get(id) ?? []));
}

/**
 * Why a connector has not told, if it has not.
 *
 * @param withinSeconds How long was waited for it; undefined where nobody did.
 */
export function diagnosticsError(
  one: ConnectorDiagnostics,
  withinSeconds: number | undefined,
): SignetError | undefined {
  const refusal = outcomeError(one);
  if (refusal !== undefined || isAnswered(one)) return refusal;
  const long = withinSeconds === undefined ? 'yet' : `within ${withinSeconds} s`;
  return new SignetError('CONNECTOR_DIAGNOSTICS_LATE', `connector ${one.id}: no answer ${long}`);
}

function isAnswered(one: ConnectorDiagnostics | undefined): boolean {
  return one !== undefined && (one.answeredAtMs !== 0n || one.errorCode !== '');
}
