import { join } from 'node:path';
import { concatBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import type { RpcChannel } from '../rpc/channel.ts';
import { serverUri } from '../rules/reserved-ids.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import { parsePemBundle } from '../spiffe/bundle-format.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { parseX509Svid, type X509Svid } from '../spiffe/x509-svid.ts';
import { openServerChannel } from '../tls/server-channel.ts';
import { createSvidValidator } from '../tls/validator.ts';
import { flagError } from './flags.ts';
import type { CliIo, Input } from './spec.ts';
import { safe } from './text.ts';

/** Largest file of an SVID, in bytes. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Names of chain, key and bundle: as `api fetch x509 --write` and `x509 mint --write` have them. */
const NAMES = [
  ['svid.0.pem', 'svid.0.key', 'bundle.0.pem'],
  ['svid.pem', 'key.pem', 'bundle.pem'],
] as const;

/** A server by its TCP port. */
export interface ServerPort {
  readonly host: string;
  readonly port: number;
}

/** The port that `tcp://host:port` names. Fails with CLI_USAGE. */
export function parseServerPort(text: string): Result<ServerPort> {
  const [, host = '', digits = ''] =
    /^tcp:\/\/(\[[0-9A-Fa-f:.]+\]|[^:/?#@[\]]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === '' || port === 0 || port > 65_535) {
    return flagError('server-socket', `"${text.slice(0, 120)}" is no tcp://host:port`);
  }
  return ok({ host: host.replace(/^\[|\]$/g, ''), port });
}

/**
 * Opens a channel to a server's port with the SVID of an administrator. The server has to be
 * `spiffe://<trust domain of the SVID>/spire/server`. Fails with CLI_USAGE, CLI_FILE and what a bad SVID or
 * bundle fails with.
 */
export async function openServerPort(
  { host, port }: ServerPort,
  input: Input,
  io: CliIo,
): Promise<Result<RpcChannel>> {
  const folder = input.text('admin-svid') ?? io.env.SIGNET_ADMIN_SVID;
  if (folder === undefined || folder === '') {
    return flagError(
      'admin-svid',
      'is needed for a TCP port: the folder of an administrator’s SVID',
    );
  }
  const files = await readFolder(folder);
  if (!files.ok) return files;
  const { svid, bundlePem } = files.value;
  const { trustDomain } = svid.id;
  const bundle = parsePemBundle(trustDomain, bundlePem);
  if (!bundle.ok) return bundle;
  const expectedId = parseSpiffeId(serverUri(trustDomain));
  if (!expectedId.ok) return expectedId;
  const bundles = (wanted: typeof trustDomain) =>
    wanted.name === trustDomain.name ? bundle.value : undefined;
  return openServerChannel({
    host,
    port,
    verification: {
      kind: 'spiffe',
      expectedId: expectedId.value,
      validate: createSvidValidator({ bundles, clock: io.clock }),
    },
    identity: {
      chainDer: svid.chain.map(({ der }) => der),
      privateKeyPkcs8: svid.privateKey.export({ type: 'pkcs8', format: 'der' }),
    },
    onRefused: ({ message }) => io.err(`note: ${safe(message)}\n`),
  });
}

interface SvidFolder {
  readonly svid: X509Svid;
  readonly bundlePem: Uint8Array;
}

async function readFolder(folder: string): Promise<Result<SvidFolder>> {
  for (const names of NAMES) {
    const [chain, key, bundle] = await Promise.all(
      names.map((name) => readFileIfPresent(join(folder, name), MAX_FILE_BYTES)),
    );
    for (const one of [chain, key, bundle]) if (one?.ok === false) return one;
    if (!chain?.ok || !key?.ok || !bundle?.ok) continue;
    if (chain.value === undefined || key.value === undefined || bundle.value === undefined)
      continue;
    const svid = readSvid(chain.value, key.value);
    return svid.ok ? ok({ svid: svid.value, bundlePem: bundle.value }) : svid;
  }
  const names = NAMES.map((one) => one.join(', ')).join('; or ');
  return fail('CLI_FILE', `${folder} does not hold an SVID: ${names}`);
}

function readSvid(chainPem: Uint8Array, keyPem: Uint8Array): Result<X509Svid> {
  const chain = parsePem(chainPem);
  if (!chain.ok) return chain;
  const key = parsePem(keyPem);
  if (!key.ok) return key;
  const certificates = chain.value.filter(({ label }) => label === 'CERTIFICATE');
  const pkcs8 = key.value.find(({ label }) => label === 'PRIVATE KEY');
  if (pkcs8 === undefined) return fail('CLI_FILE', 'the key of the SVID is not PKCS#8 PEM');
  return parseX509Svid(concatBytes(certificates.map(({ der }) => der)), pkcs8.der);
}
