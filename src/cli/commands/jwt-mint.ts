import { basename, dirname } from 'node:path';
import { fail, ok } from '../../base/result.ts';
import { MintJWTSVIDResponse, SVIDClient } from '../../gen/spire/api/server/svid/v1/svid.ts';
import { writeFiles } from '../files.ts';
import { spiffeIdFlag, wholeSecondsFlag } from '../flags.ts';
import { withServer } from '../server-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { safe, safeJson } from '../text.ts';
import { toWireId } from '../wire.ts';

/** `signet jwt mint`. */
export const jwtMint: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'For operators: the token is made by the server itself, without an entry.',
  flags: [
    { name: 'spiffe-id', spire: 'spiffeID', value: 'id', required: true, help: 'its subject' },
    {
      name: 'audience',
      value: 'audience',
      repeat: true,
      required: true,
      help: 'who shall accept it',
    },
    { name: 'ttl', value: 'duration', help: 'its life; the server decides when absent' },
    { name: 'write', value: 'file', help: 'write it there, 0600, instead of printing it' },
  ],
  refused: { instance: 'name the socket with --server-socket' },
  examples: ['signet jwt mint --spiffe-id spiffe://example.org/web --audience db'],
  run: async (input, io) => {
    const id = spiffeIdFlag(input, 'spiffe-id');
    if (!id.ok) return id;
    const ttl = wholeSecondsFlag(input, 'ttl');
    if (!ttl.ok) return ttl;
    const request = {
      id: id.value === undefined ? undefined : toWireId(id.value),
      audience: [...input.texts('audience')],
      ttl: ttl.value ?? 0,
    };
    return withServer(input, io, async (server) => {
      const client = server.client(SVIDClient);
      const answer = await server.call<MintJWTSVIDResponse>('minting a JWT-SVID', (m, o, done) =>
        client.mintJwtsvid(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const { svid } = answer.value;
      if (svid === undefined) return fail('CLI_ANSWER_INVALID', 'the answer holds no JWT-SVID');
      const path = input.text('write');
      if (path !== undefined) {
        const file = { name: basename(path), content: svid.token, secret: true };
        const written = await writeFiles(dirname(path), [file]);
        if (!written.ok) return written;
        io.err(`JWT-SVID written to ${safe(path)}\n`);
      } else if (input.text('output') === 'json') {
        io.out(`${safeJson(MintJWTSVIDResponse.toJSON(answer.value))}\n`);
      } else {
        io.out(`${safe(svid.token)}\n`);
      }
      return ok(undefined);
    });
  },
};
