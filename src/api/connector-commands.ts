import { fail, ok, type Result } from '../base/result.ts';
import type { Command } from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import { nextUpdateWindow, parseUpdateWindow } from '../rules/connector/update-window.ts';
import { lineField } from './connector-fields.ts';

/** How long an update may take where nobody says when, in milliseconds. */
const DEFAULT_WINDOW_MS = 3_600_000;

/** Longest way off that an update may lie, in milliseconds: 30 days. */
const MAX_WINDOW_AHEAD_MS = 30 * 86_400_000;

const IMAGE_DIGEST = /^sha256:[0-9a-f]{64}$/;

type Kind = NonNullable<Command['kind']>;

/** A command that was read. */
export interface ReadCommand {
  /** For the audit. */
  readonly name: string;
  /** What the connector of this turn, from 0, is told. */
  readonly commandOf: (turn: number) => Kind;
}

/**
 * Reads what connectors are to be told. An upgrade without a time takes the next window of the group; its
 * window is divided so that at most `maxUnavailable` of the connectors are in it at once.
 */
export function readCommand(
  command: Command | undefined,
  group: ConnectorGroup | undefined,
  count: number,
  nowMs: number,
): Result<ReadCommand> {
  const kind = command?.kind;
  const read = readKind(kind, group, nowMs);
  if (!read.ok) return read;
  const { value } = read;
  const most = group?.maxUnavailable || count;
  return ok({
    name: value.$case,
    commandOf: (turn) => (value.$case === 'upgrade' ? inTurn(value, turn, { count, most }) : value),
  });
}

function readKind(
  kind: Command['kind'],
  group: ConnectorGroup | undefined,
  nowMs: number,
): Result<Kind> {
  switch (kind?.$case) {
    case 'renewNow':
    case 'reEnrol': {
      const reason = lineField('reason', kind.value.reason);
      return reason.ok ? ok({ ...kind, value: { reason: reason.value } }) : reason;
    }
    case 'collectDiagnostics':
      return ok(kind);
    case 'upgrade':
      return readUpgrade(kind, group, nowMs);
    default:
      return fail(
        'FIELD_INVALID',
        'command: renew_now, re_enrol, upgrade or collect_diagnostics; the others have calls of their own',
      );
  }
}

type UpgradeKind = Extract<Kind, { $case: 'upgrade' }>;

function readUpgrade(
  { value }: UpgradeKind,
  group: ConnectorGroup | undefined,
  nowMs: number,
): Result<Kind> {
  const version = lineField('version', value.version);
  if (!version.ok) return version;
  if (version.value === '' && value.imageDigest === '') {
    return fail('FIELD_MISSING', 'upgrade: version or image_digest is required');
  }
  if (value.imageDigest !== '' && !IMAGE_DIGEST.test(value.imageDigest)) {
    return fail('FIELD_INVALID', 'image_digest: sha256: and 64 hexadecimal digits in lower case');
  }
  const stated = { startMs: Number(value.notBeforeMs), endMs: Number(value.notAfterMs) };
  const when = stated.endMs === 0 && stated.startMs === 0 ? windowOf(group, nowMs) : stated;
  if (when.startMs >= when.endMs || when.endMs <= nowMs) {
    return fail('FIELD_INVALID', 'not_after_ms: has to be after not_before_ms, and to come yet');
  }
  if (when.endMs > nowMs + MAX_WINDOW_AHEAD_MS) {
    return fail('FIELD_INVALID', 'not_after_ms: more than 30 days away');
  }
  return ok({
    $case: 'upgrade',
    value: {
      version: version.value,
      imageDigest: value.imageDigest,
      notBeforeMs: BigInt(when.startMs),
      notAfterMs: BigInt(when.endMs),
    },
  });
}

function windowOf(
  group: ConnectorGroup | undefined,
  nowMs: number,
): { readonly startMs: number; readonly endMs: number } {
  const window = parseUpdateWindow(group?.updateWindow ?? '');
  if (window === undefined) return { startMs: nowMs, endMs: nowMs + DEFAULT_WINDOW_MS };
  const { startMs, endMs } = nextUpdateWindow(window, nowMs);
  return { startMs: Math.max(startMs, nowMs), endMs };
}

/** The part of the window in which the connector of this turn is updated. */
function inTurn(
  { value }: UpgradeKind,
  turn: number,
  { count, most }: { readonly count: number; readonly most: number },
): UpgradeKind {
  const parts = Math.max(1, Math.ceil(count / most));
  const startMs = Number(value.notBeforeMs);
  const partMs = (Number(value.notAfterMs) - startMs) / parts;
  const part = Math.min(Math.floor(turn / most), parts - 1);
  return {
    $case: 'upgrade',
    value: {
      ...value,
      notBeforeMs: BigInt(Math.floor(startMs + part * partMs)),
      notAfterMs: BigInt(Math.floor(startMs + (part + 1) * partMs)),
    },
  };
}
