import { SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import {
  formatWorkloadAddress,
  parseWorkloadAddress,
  type WorkloadAddress,
} from '../client/address.ts';
import { WorkloadClient } from '../client/workload-client.ts';
import { flagError, timeoutFlag } from './flags.ts';
import { unreachableError } from './remote.ts';
import { checkSocketPath } from './server-connection.ts';
import type { CliIo, Input } from './spec.ts';

/** Where the Workload API is unless said otherwise. */
export const DEFAULT_AGENT_SOCKET = '/run/signet/agent/public/api.sock';

const DEFAULT_TIMEOUT_MS = 5000;

/** A client of the Workload API that a command line names. */
export interface AgentConnection {
  readonly client: WorkloadClient;
  readonly address: WorkloadAddress;
  /** The address for messages. */
  readonly text: string;
  readonly timeoutMs: number;
}

/** Runs `work` with a client of the agent that flags and environment name, and closes it. */
export async function withAgent(
  input: Input,
  io: CliIo,
  work: (agent: AgentConnection) => Promise<Result<void>>,
): Promise<Result<void>> {
  const address = agentAddress(input, io);
  if (!address.ok) return address;
  const timeoutMs = timeoutFlag(input, DEFAULT_TIMEOUT_MS);
  if (!timeoutMs.ok) return timeoutMs;
  const text = formatWorkloadAddress(address.value);
  const client = new WorkloadClient(address.value, { timeoutMs: timeoutMs.value });
  try {
    const done = await work({ client, address: address.value, text, timeoutMs: timeoutMs.value });
    return done.ok ? done : { ok: false, error: explain(done.error, text, timeoutMs.value) };
  } finally {
    client.close();
  }
}

/** Says at which socket nobody answered, and why that may be. */
function explain(error: SignetError, address: string, timeoutMs: number): SignetError {
  if (error.code === 'WORKLOAD_UNAVAILABLE') {
    return unreachableError(error.message.split(':')[0] ?? '', { peer: 'agent', address });
  }
  if (error.statusName === 'DeadlineExceeded') {
    const waited = `no answer from ${address} in ${timeoutMs / 1000} s`;
    return new SignetError('CLI_TIMEOUT', waited);
  }
  return error;
}

/** Flag, then SIGNET_AGENT_SOCKET, then SPIFFE_ENDPOINT_SOCKET (WEP-9); a path or a URI. */
export function agentAddress(input: Input, io: CliIo): Result<WorkloadAddress> {
  const text =
    input.text('agent-socket') ??
    io.env.SIGNET_AGENT_SOCKET ??
    io.env.SPIFFE_ENDPOINT_SOCKET ??
    DEFAULT_AGENT_SOCKET;
  if (/^[a-z]+:/.test(text)) {
    const address = parseWorkloadAddress(text);
    return address.ok ? address : flagError('agent-socket', address.error.message);
  }
  const path = checkSocketPath(text, 'agent-socket');
  return path.ok ? ok({ kind: 'unix', path: path.value }) : path;
}
