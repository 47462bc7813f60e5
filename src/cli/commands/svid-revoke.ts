import { fail, ok, type Result } from '../../base/result.ts';
import {
  RevocationClient,
  type RevokeX509SVIDRequest,
  RevokeX509SVIDResponse,
} from '../../gen/signet/revocation/v1/revocation.ts';
import { REVOCATION_REASONS, type RevocationReason } from '../../rules/revocation.ts';
import { serialToDecimal } from '../../x509/serial.ts';
import { spiffeIdFlag } from '../flags.ts';
import { serialFlag } from '../ledger-files.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { counted, formatTable, safeJson } from '../text.ts';
import { toWireId, wireIdText } from '../wire.ts';

const TARGETS = ['serial', 'spiffe-id', 'agent'] as const;

/** `signet svid revoke`. */
export const svidRevoke: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'Agents replace what was revoked at once, where its entry still stands; delete the entry first to take the identity away. The own SVID of an agent makes nobody an agent any more: it has to attest again. Peers that read no CRL trust a revoked SVID until it expires.',
  flags: [
    {
      name: 'serial',
      value: 'number',
      help: 'the certificate of this serial, hexadecimal or decimal',
    },
    { name: 'spiffe-id', spire: 'spiffeID', value: 'id', help: 'all that have this SPIFFE ID' },
    { name: 'agent', value: 'id', help: 'all that were issued through this agent, and its own' },
    {
      name: 'reason',
      value: 'reason',
      choices: Object.keys(REVOCATION_REASONS),
      help: 'what the CRL says of it; unspecified unless told',
    },
  ],
  refused: { instance: 'name the socket with --server-socket' },
  examples: [
    'signet svid revoke --spiffe-id spiffe://example.org/web --reason key-compromise',
    'signet svid revoke --serial 4f0a12 -o json',
  ],
  run: async (input, io) => {
    const request = readRequest(input);
    if (!request.ok) return request;
    return withServer(input, io, async (server) => {
      const client = server.client(RevocationClient);
      const answer = await server.call<RevokeX509SVIDResponse>('revoking', (m, o, done) =>
        client.revokeX509Svid(request.value, m, o, done),
      );
      if (!answer.ok) return answer;
      print(answer.value, input, io);
      return ok(undefined);
    });
  },
};

function readRequest(input: Input): Result<RevokeX509SVIDRequest> {
  const given = TARGETS.filter((flag) => input.text(flag) !== undefined);
  if (given.length !== 1) {
    return fail('CLI_USAGE', 'takes one of --serial, --spiffe-id and --agent');
  }
  const serials = serialFlag(input);
  if (!serials.ok) return serials;
  const spiffeId = spiffeIdFlag(input, 'spiffe-id');
  if (!spiffeId.ok) return spiffeId;
  const agent = spiffeIdFlag(input, 'agent');
  if (!agent.ok) return agent;
  const target = targetOf(serials.value, spiffeId.value, agent.value);
  return ok({ target, reason: REVOCATION_REASONS[reasonOf(input)] });
}

function targetOf(
  serials: readonly string[] | undefined,
  spiffeId: Parameters<typeof toWireId>[0] | undefined,
  agent: Parameters<typeof toWireId>[0] | undefined,
): RevokeX509SVIDRequest['target'] {
  if (spiffeId !== undefined) return { $case: 'spiffeId', value: toWireId(spiffeId) };
  if (agent !== undefined) return { $case: 'agentId', value: toWireId(agent) };
  const readings = (serials ?? []).map((hex) => serialToDecimal(Buffer.from(hex, 'hex')));
  return { $case: 'serialNumbers', value: { values: [...new Set(readings)] } };
}

function reasonOf(input: Input): RevocationReason {
  // Its spec allows these names only.
  return (input.text('reason') ?? 'unspecified') as RevocationReason;
}

function print(response: RevokeX509SVIDResponse, input: Input, io: CliIo): void {
  if (input.text('output') === 'json') {
    const empty = { count: 0, alreadyRevoked: 0, revoked: [] };
    // protojson leaves out what is zero; programs are better served with every field.
    const json = RevokeX509SVIDResponse.toJSON(response) as object;
    io.out(`${safeJson({ ...empty, ...json })}\n`);
    return;
  }
  const { count, alreadyRevoked, revoked } = response;
  const before = alreadyRevoked === 0 ? '' : `; ${alreadyRevoked} had been revoked before`;
  io.out(`Revoked ${counted(count, 'X.509-SVID', 'X.509-SVIDs')}${before}\n`);
  if (revoked.length === 0) return;
  const rows = revoked.map(({ serialNumber, id }) => [serialNumber, wireIdText(id)]);
  io.out(`\n${formatTable(['SERIAL', 'SPIFFE ID'], rows)}`);
  if (count > revoked.length) io.out(`and ${count - revoked.length} more\n`);
}
