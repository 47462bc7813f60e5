import type { ConnectorMessage } from '../../src/gen/signet/connector/v1/connector.ts';
import type { Hooks } from './hooks.ts';
import { clipped } from './printable.ts';

/** Most that one event tells, in bytes: the server keeps 65,536 characters of all of them. */
const MAX_EVENT_BYTES = 32 * 1024;

/** Where what helps to find a fault comes from, and goes to. */
export interface DiagnoseParts {
  readonly hooks: Pick<Hooks, 'has' | 'ask'>;
  readonly status: () => object;
  readonly send: (kind: NonNullable<ConnectorMessage['kind']>) => void;
}

/** Answers CollectDiagnostics: how the companion stands, then what its hook prints, if there is one. */
export async function tellDiagnostics(
  { hooks, status, send }: DiagnoseParts,
  commandNonce: Buffer,
): Promise<void> {
  const tell = (text: string, warning: boolean, more: boolean): void => {
    const message = clipped(text, MAX_EVENT_BYTES);
    const value = { reason: 'diagnostics', message, warning, commandNonce, more };
    send({ $case: 'event', value });
  };
  const hasHook = hooks.has('diagnostics');
  tell(JSON.stringify(status()), false, hasHook);
  if (!hasHook) return;
  const output = await hooks.ask('diagnostics');
  tell(output.ok ? output.value : output.error.message, !output.ok, false);
}
