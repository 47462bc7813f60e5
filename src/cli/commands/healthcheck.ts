import { fail, ok, type Result } from '../../base/result.ts';
import {
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthClient,
} from '../../gen/grpc/health/v1/health.ts';
import { openUnixChannel } from '../../rpc/channel.ts';
import { agentAddress } from '../agent-connection.ts';
import { timeoutFlag } from '../flags.ts';
import { callUnary } from '../remote.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { safeJson } from '../text.ts';

const DEFAULT_TIMEOUT_MS = 5000;

const FLAGS: readonly FlagSpec[] = [
  { name: 'shallow', help: 'as SPIRE writes it; the check is of the whole process either way' },
  { name: 'verbose', help: 'say what was asked' },
];

/** `signet healthcheck server`. */
export const healthcheckServer: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: FLAGS,
  refused: { instance: 'name the socket with --server-socket' },
  examples: ['signet healthcheck server'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(HealthClient);
      const answer = await server.call<HealthCheckResponse>('checking the server', (m, o, done) =>
        client.check({ service: '' }, m, o, done),
      );
      return answer.ok ? report('server', answer.value, server.address, input, io) : answer;
    }),
};

/** `signet healthcheck agent`. */
export const healthcheckAgent: CommandSpec = {
  connects: 'agent',
  prints: true,
  flags: FLAGS,
  examples: ['signet healthcheck agent'],
  run: async (input, io) => {
    const address = agentAddress(input, io);
    if (!address.ok) return address;
    if (address.value.kind !== 'unix') {
      return fail('CLI_USAGE', 'the health of an agent is told on its Unix socket only');
    }
    const { path } = address.value;
    const timeoutMs = timeoutFlag(input, DEFAULT_TIMEOUT_MS);
    if (!timeoutMs.ok) return timeoutMs;
    const channel = openUnixChannel(path);
    try {
      const client = channel.client(HealthClient);
      const settings = { peer: 'agent', address: path, timeoutMs: timeoutMs.value } as const;
      const answer = await callUnary<HealthCheckResponse>(
        'checking the agent',
        (metadata, options, done) => client.check({ service: '' }, metadata, options, done),
        settings,
      );
      return answer.ok ? report('agent', answer.value, path, input, io) : answer;
    } finally {
      channel.close();
    }
  },
};

function report(
  who: 'server' | 'agent',
  answer: HealthCheckResponse,
  address: string,
  input: Input,
  io: CliIo,
): Result<void> {
  if (input.has('verbose')) io.err(`Asked grpc.health.v1 at ${address}\n`);
  const serving = answer.status === HealthCheckResponse_ServingStatus.SERVING;
  if (input.text('output') === 'json') {
    io.out(`${safeJson(HealthCheckResponse.toJSON(answer))}\n`);
  } else if (serving) {
    io.out(`The ${who} is healthy.\n`);
  }
  return serving ? ok(undefined) : fail('CLI_UNHEALTHY', `the ${who} at ${address} is not serving`);
}
