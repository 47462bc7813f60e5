import { ok, type Result } from '../../base/result.ts';
import { BundleClient } from '../../gen/spire/api/server/bundle/v1/bundle.ts';
import { Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { BUNDLE_FORMAT_FLAG, printBundle } from '../bundle-data.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { safeJson } from '../text.ts';
import { fromWireBundle } from '../wire-bundle.ts';

/** `signet bundle show`. */
export const bundleShow: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'What verifies the SVIDs of this trust domain; agents are started with it.',
  flags: [BUNDLE_FORMAT_FLAG],
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
      const text = printBundle(bundle.value, input.text('format'));
      if (!text.ok) return text;
      io.out(text.value);
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
