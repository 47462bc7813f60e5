import { ok, type Result } from '../../base/result.ts';
import {
  LocalAuthorityClient,
  RevokeX509UpstreamAuthorityResponse,
  TaintX509UpstreamAuthorityResponse,
} from '../../gen/spire/api/server/localauthority/v1/localauthority.ts';
import type { UnaryCall } from '../remote.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { safe, safeJson } from '../text.ts';

const KEY_FLAG: FlagSpec = {
  name: 'subject-key-id',
  spire: 'subjectKeyID',
  value: 'id',
  required: true,
  help: "the root's subject key identifier, as localauthority x509 show prints it",
};

const REFUSED = { instance: 'name the socket with --server-socket' };

const taint: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'Agents renew at once what leads to it. Only a root that no authority in use leads to can be tainted: have the upstream sign below another first.',
  flags: [KEY_FLAG],
  refused: REFUSED,
  examples: ['signet upstreamauthority taint --subject-key-id ID'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(LocalAuthorityClient);
      const request = { subjectKeyId: input.text('subject-key-id') ?? '' };
      return finish<TaintX509UpstreamAuthorityResponse>(server, input, io, {
        doing: 'tainting the root of the upstream',
        done: 'Tainted X.509 upstream authority',
        call: (m, o, done) => client.taintX509UpstreamAuthority(request, m, o, done),
        encode: TaintX509UpstreamAuthorityResponse.toJSON,
      });
    }),
};

const revoke: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'It leaves the trust bundle for good, even where the upstream still names it: whatever leads to it is refused from then on. Only a tainted root can be revoked.',
  flags: [KEY_FLAG],
  refused: REFUSED,
  examples: ['signet upstreamauthority revoke --subject-key-id ID'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(LocalAuthorityClient);
      const request = { subjectKeyId: input.text('subject-key-id') ?? '' };
      return finish<RevokeX509UpstreamAuthorityResponse>(server, input, io, {
        doing: 'revoking the root of the upstream',
        done: 'Revoked X.509 upstream authority',
        call: (m, o, done) => client.revokeX509UpstreamAuthority(request, m, o, done),
        encode: RevokeX509UpstreamAuthorityResponse.toJSON,
      });
    }),
};

/** `signet upstreamauthority taint|revoke`. */
export const upstreamAuthority = { taint, revoke };

interface Act<Res> {
  readonly doing: string;
  readonly done: string;
  readonly call: UnaryCall<Res>;
  readonly encode: (answer: Res) => unknown;
}

async function finish<Res extends { readonly upstreamAuthoritySubjectKeyId: string }>(
  server: ServerConnection,
  input: Input,
  io: CliIo,
  { doing, done, call, encode }: Act<Res>,
): Promise<Result<void>> {
  const answer = await server.call<Res>(doing, call);
  if (!answer.ok) return answer;
  const { upstreamAuthoritySubjectKeyId: id } = answer.value;
  const json = input.text('output') === 'json';
  io.out(json ? `${safeJson(encode(answer.value))}\n` : `${done} ${safe(id)}\n`);
  return ok(undefined);
}
