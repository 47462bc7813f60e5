import { basename, dirname } from 'node:path';
import { fail, ok } from '../../base/result.ts';
import { AgentClient } from '../../gen/spire/api/server/agent/v1/agent.ts';
import { JoinToken } from '../../gen/spire/api/types/jointoken.ts';
import { writeFiles } from '../files.ts';
import { spiffeIdFlag, wholeSecondsFlag } from '../flags.ts';
import { withServer } from '../server-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { formatTime, safe, safeJson } from '../text.ts';
import { toWireId } from '../wire.ts';

const DEFAULT_TTL_SECONDS = 600;

/** `signet token generate`. */
export const tokenGenerate: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The token lets one agent attest, once. Write it to a file for "signet agent run --join-token-file".',
  flags: [
    {
      name: 'spiffe-id',
      spire: 'spiffeID',
      value: 'id',
      help: 'a further name for the node, for entries to use as parent',
    },
    { name: 'ttl', value: 'duration', help: 'how long the token may be used; 10m unless told' },
    { name: 'write', value: 'file', help: 'write the token there, 0600, instead of printing it' },
  ],
  refused: { instance: 'name the socket with --server-socket' },
  examples: [
    'signet token generate',
    'signet token generate --write join-token',
    'signet token generate --spiffe-id spiffe://example.org/rack-7 --ttl 1h -o json',
  ],
  run: async (input, io) => {
    const id = spiffeIdFlag(input, 'spiffe-id');
    if (!id.ok) return id;
    const ttl = wholeSecondsFlag(input, 'ttl');
    if (!ttl.ok) return ttl;
    if (ttl.value === 0) return fail('CLI_USAGE', '--ttl: must be at least 1s');
    return withServer(input, io, async (server) => {
      const client = server.client(AgentClient);
      const agentId = id.value === undefined ? undefined : toWireId(id.value);
      const request = { ttl: ttl.value ?? DEFAULT_TTL_SECONDS, token: '', agentId };
      const token = await server.call<JoinToken>('creating a join token', (m, o, done) =>
        client.createJoinToken(request, m, o, done),
      );
      if (!token.ok) return token;
      const expires = formatTime(Number(token.value.expiresAt), io.clock.nowMs());
      const path = input.text('write');
      if (path !== undefined) {
        const file = { name: basename(path), content: `${token.value.value}\n`, secret: true };
        const written = await writeFiles(dirname(path), [file]);
        if (!written.ok) return written;
        io.err(`Join token written to ${safe(path)}; expires ${expires}\n`);
      } else if (input.text('output') === 'json') {
        io.out(`${safeJson(JoinToken.toJSON(token.value))}\n`);
      } else {
        io.out(`Token: ${safe(token.value.value)}\nExpires: ${expires}\n`);
      }
      return ok(undefined);
    });
  },
};
