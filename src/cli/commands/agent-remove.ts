import { ok } from '../../base/result.ts';
import type { Empty } from '../../gen/google/protobuf/empty.ts';
import { AgentClient } from '../../gen/spire/api/server/agent/v1/agent.ts';
import { spiffeIdFlag } from '../flags.ts';
import { withServer } from '../server-connection.ts';
import type { CommandSpec, FlagSpec } from '../spec.ts';
import { safe, safeJson } from '../text.ts';
import { toWireId } from '../wire.ts';

const AGENT_FLAG: FlagSpec = {
  name: 'spiffe-id',
  spire: 'spiffeID',
  value: 'id',
  required: true,
  help: 'the agent',
};

/** `signet agent ban`. */
export const agentBan = removal('ban', 'banAgent', {
  about:
    'Its SVID is refused from now on, and it cannot attest again under this ID. SVIDs of workloads that it holds live on until they expire.',
  doing: 'banning the agent',
  done: 'Banned',
});

/** `signet agent evict`. */
export const agentEvict = removal('evict', 'deleteAgent', {
  about: 'The server forgets the agent; it may attest again, where its attestor allows that.',
  doing: 'evicting the agent',
  done: 'Evicted',
});

function removal(
  verb: 'ban' | 'evict',
  method: 'banAgent' | 'deleteAgent',
  { about, doing, done }: { about: string; doing: string; done: string },
): CommandSpec {
  return {
    connects: 'server',
    prints: true,
    about,
    flags: [AGENT_FLAG],
    refused: { instance: 'name the socket with --server-socket' },
    examples: [
      `signet agent ${verb} --spiffe-id spiffe://example.org/spire/agent/join_token/TOKEN`,
    ],
    run: async (input, io) => {
      const id = spiffeIdFlag(input, 'spiffe-id');
      if (!id.ok) return id;
      if (id.value === undefined) throw new TypeError('--spiffe-id is required');
      const wireId = toWireId(id.value);
      const uri = id.value.uri;
      return withServer(input, io, async (server) => {
        const client = server.client(AgentClient);
        const answer = await server.call<Empty>(doing, (metadata, options, callback) =>
          client[method]({ id: wireId }, metadata, options, callback),
        );
        if (!answer.ok) return answer;
        io.out(input.text('output') === 'json' ? `${safeJson({})}\n` : `${done} ${safe(uri)}\n`);
        return ok(undefined);
      });
    },
  };
}
