import { statSync } from 'node:fs';
import {
  type CallOptions,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import {
  type CallError,
  hasAnswered,
  sentErrorCode,
  statusNameOf,
} from '../client/remote-error.ts';
import { NOTE_KEY } from '../rpc/service.ts';
import type { Connects } from './spec.ts';

/** A generated client's unary method, bound to its request. */
export type UnaryCall<Res> = (
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Res) => void,
) => Pick<ClientUnaryCall, 'on'>;

/** What a call needs besides itself. */
export interface CallSettings {
  readonly peer: Connects;
  /** Socket path, or address, for messages. */
  readonly address: string;
  readonly timeoutMs: number;
  readonly metadata?: Metadata;
  /** Told what the other side adds to an answer, before the answer. */
  readonly onNote?: (text: string) => void;
}

/**
 * Makes one unary call. Fails with the code that the other side sent, or with what its status means.
 * @param doing What is being done, for the message: `creating entries`.
 */
export function callUnary<Res>(
  doing: string,
  call: UnaryCall<Res>,
  settings: CallSettings,
): Promise<Result<Res>> {
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + settings.timeoutMs };
    let result: Result<Res>;
    const running = call(settings.metadata ?? new Metadata(), options, (error, response) => {
      result =
        error === null ? ok(response) : { ok: false, error: remoteError(doing, error, settings) };
    });
    // grpc-js tells the status, with the notes, after the answer.
    running.on('status', ({ metadata }: StatusObject) => {
      for (const note of metadata.get(NOTE_KEY)) settings.onNote?.(String(note));
      resolve(result);
    });
  });
}

/** The refusal that a failed call stands for. */
export function remoteError(
  doing: string,
  error: CallError,
  settings: Pick<CallSettings, 'peer' | 'address' | 'timeoutMs'>,
): SignetError {
  const unreachable = error.code === status.UNAVAILABLE && !hasAnswered(error);
  if (unreachable) return unreachableError(doing, settings);
  if (error.code === status.DEADLINE_EXCEEDED && !hasAnswered(error)) {
    const waited = `${settings.timeoutMs / 1000} s`;
    return new SignetError(
      'CLI_TIMEOUT',
      `${doing}: no answer from ${settings.address} in ${waited}`,
    );
  }
  const statusName = statusNameOf(error.code);
  const code = sentErrorCode(error);
  return new SignetError(code ?? 'CLI_REFUSED', `${doing}: ${error.details}`, {
    status: statusName,
  });
}

/** The refusal that stands for a peer that nobody reaches, with what its socket looks like. */
export function unreachableError(
  doing: string,
  { peer, address }: Pick<CallSettings, 'peer' | 'address'>,
): SignetError {
  const code = peer === 'server' ? 'CLI_SERVER_UNREACHABLE' : 'CLI_AGENT_UNREACHABLE';
  const problem = address.startsWith('/') ? socketProblem(address) : 'nobody answers';
  if (problem === 'denied') {
    return new SignetError('CLI_SOCKET_DENIED', `${doing}: this user may not open ${address}`);
  }
  return new SignetError(code, `${doing}: cannot reach the ${peer} at ${address}: ${problem}`);
}

function socketProblem(path: string): string {
  try {
    const found = statSync(path);
    if (!found.isSocket()) return 'this is no socket';
    // Root may open what others may not, so the mode says nothing to it.
    return process.getuid?.() !== 0 &&
      (found.mode & 0o002) === 0 &&
      found.uid !== process.getuid?.()
      ? 'denied'
      : 'nobody listens there';
  } catch (error) {
    // Node's file system errors carry a code.
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES') return 'denied';
    return code === 'ENOENT' ? 'there is no such socket' : `cannot look at it (${code})`;
  }
}

/** A status inside a batch answer, as a refusal; undefined when it says OK. */
export function itemError(
  what: string,
  sent: { readonly code: number; readonly message: string } | undefined,
): SignetError | undefined {
  if (sent === undefined) {
    return new SignetError('CLI_ANSWER_INVALID', `${what}: the answer has no status`);
  }
  if (sent.code === 0) return undefined;
  return new SignetError('CLI_REFUSED', `${what}: ${sent.message}`, {
    status: statusNameOf(sent.code),
  });
}

/** One refusal for a batch: the only one, or all of them as lines. */
export function batchResult(errors: readonly SignetError[], total: number): Result<void> {
  const [first] = errors;
  if (first === undefined) return ok(undefined);
  if (total === 1) return { ok: false, error: first };
  const lines = errors.map((error) => `  ${error.message} (${error.statusName})`);
  return fail('CLI_PARTLY_FAILED', `${errors.length} of ${total} failed\n${lines.join('\n')}`, {
    status: first.statusName,
  });
}
