import { generateKeyPairSync } from 'node:crypto';
import { fail, ok, type Result } from '../../base/result.ts';
import { MintX509SVIDResponse, SVIDClient } from '../../gen/spire/api/server/svid/v1/svid.ts';
import { formatPemBundle } from '../../spiffe/bundle-format.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import { buildCsr } from '../../x509/csr-builder.ts';
import { type OutputFile, writeFiles } from '../files.ts';
import { flagError, spiffeIdFlag, wholeSecondsFlag } from '../flags.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { pemChain, pemKey } from '../svid-view.ts';
import { safe, safeJson, safeLines } from '../text.ts';
import { fromWireBundle } from '../wire-bundle.ts';
import { getBundle } from './bundle-show.ts';

interface Minted {
  readonly response: MintX509SVIDResponse;
  readonly files: readonly OutputFile[];
}

/** `signet x509 mint`. */
export const x509Mint: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'For operators: the certificate is signed by the server itself, without an entry.',
  flags: [
    { name: 'spiffe-id', spire: 'spiffeID', value: 'id', required: true, help: 'its identity' },
    { name: 'dns', value: 'name', repeat: true, help: 'DNS name in it' },
    { name: 'ttl', value: 'duration', help: 'its life; the server decides when absent' },
    {
      name: 'write',
      value: 'folder',
      help: 'write svid.pem, key.pem (0600) and bundle.pem there instead of printing them',
    },
  ],
  refused: { instance: 'name the socket with --server-socket' },
  examples: ['signet x509 mint --spiffe-id spiffe://example.org/web --write ./svid'],
  run: async (input, io) => {
    const id = spiffeIdFlag(input, 'spiffe-id');
    if (!id.ok) return id;
    const ttl = wholeSecondsFlag(input, 'ttl');
    if (!ttl.ok) return ttl;
    const odd = input.texts('dns').find((name) => !/^[\x21-\x7e]{1,253}$/.test(name));
    if (odd !== undefined) return flagError('dns', `"${odd.slice(0, 80)}" is no DNS name`);
    return withServer(input, io, async (server) => {
      if (id.value === undefined) throw new TypeError('--spiffe-id is required');
      const minted = await mint(server, id.value, input.texts('dns'), ttl.value ?? 0);
      return minted.ok ? give(minted.value, input, io) : minted;
    });
  },
};

async function mint(
  server: ServerConnection,
  id: SpiffeId,
  dnsNames: readonly string[],
  ttl: number,
): Promise<Result<Minted>> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const scheme = { kind: 'ecdsa', hash: 'sha256' } as const;
  const csr = buildCsr({ spki, uri: id.uri, dnsNames }, privateKey, scheme);
  const client = server.client(SVIDClient);
  const request = { csr: Buffer.from(csr), ttl };
  const response = await server.call<MintX509SVIDResponse>('minting an X.509-SVID', (m, o, done) =>
    client.mintX509Svid(request, m, o, done),
  );
  if (!response.ok) return response;
  const { svid } = response.value;
  if (svid === undefined) return fail('CLI_ANSWER_INVALID', 'the answer holds no X.509-SVID');
  const wire = await getBundle(server);
  if (!wire.ok) return wire;
  const bundle = fromWireBundle(wire.value);
  if (!bundle.ok) return bundle;
  const files: OutputFile[] = [
    { name: 'key.pem', content: pemKey({ privateKey }), secret: true },
    { name: 'svid.pem', content: pemChain(svid.certChain.map((der) => ({ der }))) },
    { name: 'bundle.pem', content: formatPemBundle(bundle.value) },
  ];
  return ok({ response: response.value, files });
}

async function give({ response, files }: Minted, input: Input, io: CliIo): Promise<Result<void>> {
  const folder = input.text('write');
  if (folder !== undefined) {
    const written = await writeFiles(folder, files);
    if (!written.ok) return written;
    io.err(`Written: ${written.value.map((path) => safe(path)).join(', ')}\n`);
    return ok(undefined);
  }
  if (input.text('output') === 'json') {
    // Only this process has the key, so it stands beside the server's answer.
    const privateKey = files.find(({ name }) => name === 'key.pem')?.content;
    const answer = MintX509SVIDResponse.toJSON(response);
    io.out(`${safeJson({ ...(answer as object), privateKey })}\n`);
    return ok(undefined);
  }
  for (const { name, content } of files) io.out(`${name}:\n${safeLines(content)}\n`);
  return ok(undefined);
}
