import type { ErrorCode } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import type { Diagnostics } from '../connectors/diagnostics.ts';
import type {
  ConnectorDiagnostics,
  ListDiagnosticsRequest,
  ListDiagnosticsResponse,
} from '../gen/signet/connector/v1/admin.ts';
import { checkBatch } from './batch.ts';
import type { ConnectorAdminContext } from './connector-writes.ts';

/** Characters of what connectors told in one answer: with UTF-8 it stays below what clients accept. */
const MAX_ANSWER_TEXT = 1024 * 1024;

/** What the answer stands on. */
export interface DiagnosticsContext {
  readonly api: {
    readonly limits: Pick<ConnectorAdminContext['api']['limits'], 'maxBatchEntries'>;
  };
  readonly live: Pick<ConnectorAdminContext['live'], 'diagnostics' | 'isOpen'>;
}

/** What connectors told when they were asked last; what is still to come has no time of an answer. */
export function listDiagnostics(
  { api, live }: DiagnosticsContext,
  { ids }: ListDiagnosticsRequest,
): Result<ListDiagnosticsResponse> {
  const fits = checkBatch(ids.length, api.limits.maxBatchEntries, 'connectors');
  if (!fits.ok) return fits;
  const diagnostics: ConnectorDiagnostics[] = [];
  let room = MAX_ANSWER_TEXT;
  for (const id of ids) {
    const known = live.diagnostics.of(id);
    room -= known?.parts.reduce((sum, { text }) => sum + text.length, 0) ?? 0;
    if (room < 0) break;
    diagnostics.push(known === undefined ? never(id) : wireOf(id, known, live.isOpen(id)));
  }
  return ok({ diagnostics });
}

function wireOf(id: string, known: Diagnostics, isOpen: boolean): ConnectorDiagnostics {
  const { askedAtMs, answeredAtMs, parts, isCut, refusal } = known;
  const isLost = answeredAtMs === 0 && !isOpen;
  const lost = ['CONNECTOR_NOT_CONNECTED', `the session of connector ${id} ended before`] as const;
  const refused = ['CONNECTOR_DIAGNOSTICS_REFUSED', `connector ${id}: ${refusal}`] as const;
  const [errorCode, error]: readonly [ErrorCode | '', string] =
    refusal !== undefined ? refused : isLost ? lost : ['', ''];
  return {
    id,
    askedAtMs: BigInt(Math.floor(askedAtMs)),
    answeredAtMs: BigInt(Math.floor(answeredAtMs)),
    parts: parts.map((part) => ({ ...part })),
    truncated: isCut,
    errorCode,
    error,
  };
}

function never(id: string): ConnectorDiagnostics {
  return {
    id,
    askedAtMs: 0n,
    answeredAtMs: 0n,
    parts: [],
    truncated: false,
    errorCode: 'CONNECTOR_DIAGNOSTICS_NONE',
    error: `connector ${JSON.stringify(id.slice(0, 80))} was not asked here, or too many were since`,
  };
}
