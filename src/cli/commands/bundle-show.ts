import { ok, type Result } from '../../base/result.ts';
import { BundleClient } from '../../gen/spire/api/server/bundle/v1/bundle.ts';
import { Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { formatPemBundle, formatSpiffeBundle } from '../../spiffe/bundle-format.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { safeJson, safeLines } from '../text.ts';
import { fromWireBundle } from '../wire-bundle.ts';

/** `signet bundle show`. */
export const bundleShow: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'What verifies the SVIDs of this trust domain; agents are started with it.',
  flags: [
    {
      name: 'format',
      value: 'form',
      choices: ['pem', 'spiffe'],
      help: 'pem: the CA certificates; spiffe: the whole bundle as a JWK Set; pem unless told',
    },
  ],
  refused: { instance: 'name the socket with --server-socket' },
  examples: ['signet bundle show > bundle.pem', 'signet bundle show --format spiffe'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const wire = await getBundle(server);
      if (!wire.ok) return wire;
      if (input.text('output') === 'json') {
        io.out(`${safeJson(WireBundle.toJSON(wire.value))}\n`);
        return ok(undefined);
      }
      const bundle = fromWireBundle(wire.value);
      if (!bundle.ok) return bundle;
      if (input.text('format') !== 'spiffe') {
        io.out(formatPemBundle(bundle.value));
        return ok(undefined);
      }
      const document = formatSpiffeBundle(bundle.value);
      if (!document.ok) return document;
      io.out(`${safeLines(Buffer.from(document.value).toString('utf8'))}\n`);
      return ok(undefined);
    }),
};

/** The server's own bundle. */
export function getBundle(server: ServerConnection): Promise<Result<WireBundle>> {
  const client = server.client(BundleClient);
  return server.call<WireBundle>('reading the bundle', (metadata, options, done) =>
    client.getBundle({ outputMask: undefined }, metadata, options, done),
  );
}
