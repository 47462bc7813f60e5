import { fail, ok } from '../../base/result.ts';
import { withAgent } from '../agent-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { safe, safeJson } from '../text.ts';

/** `signet api validate`. */
export const apiValidate: CommandSpec = {
  connects: 'agent',
  prints: true,
  args: '[jwt]',
  about: 'Has the agent validate a JWT-SVID, as a process without a JWT library would.',
  flags: [
    {
      name: 'audience',
      value: 'audience',
      required: true,
      help: 'audience that the token must name: yours',
    },
    { name: 'svid', value: 'token', required: true, help: 'the token; "-" reads standard input' },
  ],
  examples: ['signet api validate jwt --audience db --svid "$TOKEN"'],
  run: async (input, io) => {
    const [kind = 'jwt', extra] = input.args;
    if (kind !== 'jwt' || extra !== undefined) return fail('CLI_USAGE', 'takes jwt, or nothing');
    const audience = input.text('audience') ?? '';
    const given = input.text('svid') ?? '';
    const read = given === '-' ? await io.readStdin(64 * 1024) : ok(Buffer.from(given));
    if (!read.ok) return read;
    const token = Buffer.from(read.value).toString('utf8').trim();
    return withAgent(input, io, async ({ client }) => {
      const valid = await client.validateJwtSvid(token, audience);
      if (!valid.ok) return valid;
      const { id, claims } = valid.value;
      if (input.text('output') === 'json') {
        io.out(`${safeJson({ spiffeId: id.uri, claims })}\n`);
        return ok(undefined);
      }
      io.out(`SVID is valid.\nSPIFFE ID : ${safe(id.uri)}\nClaims    : ${safeJson(claims)}\n`);
      return ok(undefined);
    });
  },
};
