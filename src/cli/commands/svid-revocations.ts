import { ok, type Result } from '../../base/result.ts';
import {
  ListRevokedX509SVIDsResponse,
  RevocationClient,
  type RevokedX509SVID,
} from '../../gen/signet/revocation/v1/revocation.ts';
import { reasonOfNumber } from '../../rules/revocation.ts';
import { serialToHexForms } from '../../x509/serial.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec } from '../spec.ts';
import { counted, cut, formatTable, safeJson, span } from '../text.ts';
import { wireIdText } from '../wire.ts';

const PAGE_SIZE = 1000;

/** Longest reason that leaves the serial whole on a line of 80. */
const REASON_WIDTH = 14;

/** `signet svid revocations`. */
export const svidRevocations: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'Those of all servers. What has ended is forgotten an hour later.',
  flags: [],
  refused: { instance: 'name the socket with --server-socket' },
  examples: ['signet svid revocations', 'signet svid revocations -o json'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const revoked = await listAll(server);
      if (!revoked.ok) return revoked;
      if (input.text('output') === 'json') {
        const all = { revoked: [...revoked.value], nextPageToken: '' };
        const json = ListRevokedX509SVIDsResponse.toJSON(all) as object;
        io.out(`${safeJson({ revoked: [], ...json })}\n`);
        return ok(undefined);
      }
      print(revoked.value, io);
      return ok(undefined);
    }),
};

async function listAll(server: ServerConnection): Promise<Result<readonly RevokedX509SVID[]>> {
  const client = server.client(RevocationClient);
  const revoked: RevokedX509SVID[] = [];
  let pageToken = '';
  do {
    const request = { pageSize: PAGE_SIZE, pageToken };
    const page = await server.call<ListRevokedX509SVIDsResponse>(
      'listing revocations',
      (m, o, done) => client.listRevokedX509SviDs(request, m, o, done),
    );
    if (!page.ok) return page;
    revoked.push(...page.value.revoked);
    pageToken = page.value.nextPageToken;
  } while (pageToken !== '');
  return ok(revoked);
}

function print(revoked: readonly RevokedX509SVID[], io: CliIo): void {
  io.out(`${counted(revoked.length, 'revoked X.509-SVID', 'revoked X.509-SVIDs')}\n`);
  if (revoked.length === 0) return;
  const nowSeconds = io.clock.nowMs() / 1000;
  const rows = revoked.map(({ serialNumber, reason, revokedAt, id }) => [
    serialToHexForms(serialNumber)[0] ?? '',
    cut(reasonOfNumber(reason) ?? String(reason), REASON_WIDTH),
    span(Math.max(0, nowSeconds - Number(revokedAt))),
    wireIdText(id),
  ]);
  io.out(`\n${formatTable(['SERIAL', 'REASON', 'SINCE', 'SPIFFE ID'], rows)}`);
}
