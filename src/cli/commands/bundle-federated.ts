import { ok, type Result } from '../../base/result.ts';
import {
  BatchDeleteFederatedBundleResponse,
  BatchSetFederatedBundleResponse,
  BundleClient,
  CountBundlesResponse,
  ListFederatedBundlesResponse,
  BatchDeleteFederatedBundleRequest_Mode as Mode,
} from '../../gen/spire/api/server/bundle/v1/bundle.ts';
import { Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { BUNDLE_FORMAT_FLAG, parseBundle, printBundle } from '../bundle-data.ts';
import { readData } from '../files.ts';
import { itemError } from '../remote.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { safe, safeJson } from '../text.ts';
import { fromWireBundle } from '../wire-bundle.ts';

const REFUSED = { instance: 'name the socket with --server-socket' };

/** Bundles in one answer: others make them up to 1 MiB long, and an answer has up to 4. */
export const BUNDLE_PAGE_SIZE = 3;

const ID_FLAG: FlagSpec = { name: 'id', value: 'domain', help: 'the other trust domain' };

/** `signet bundle set`. */
export const bundleSet: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'Entries may federate with a trust domain once its bundle is here.',
  flags: [
    { ...ID_FLAG, required: true },
    { name: 'path', value: 'file', help: 'the bundle; standard input unless told' },
    BUNDLE_FORMAT_FLAG,
  ],
  refused: REFUSED,
  examples: ['signet bundle set --id other.test --path other.jwks --format spiffe'],
  run: async (input, io) => {
    const bytes = await readData(input.text('path') ?? '-', io);
    if (!bytes.ok) return bytes;
    const id = input.text('id') ?? '';
    const bundle = parseBundle(id, bytes.value, input.text('format') ?? 'pem');
    return bundle.ok ? setBundle(bundle.value, input, io) : bundle;
  },
};

function setBundle(bundle: WireBundle, input: Input, io: CliIo): Promise<Result<void>> {
  return withServer(input, io, async (server) => {
    const client = server.client(BundleClient);
    const answer = await server.call<BatchSetFederatedBundleResponse>('setting', (m, o, done) =>
      client.batchSetFederatedBundle({ bundle: [bundle], outputMask: undefined }, m, o, done),
    );
    if (!answer.ok) return answer;
    const json = safeJson(BatchSetFederatedBundleResponse.toJSON(answer.value));
    const error = itemError(`setting ${bundle.trustDomain}`, answer.value.results[0]?.status);
    return tell(input, io, { json, text: 'bundle set.', error });
  });
}

/** `signet bundle list`. */
export const bundleList: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'The bundles of other trust domains, all or one; "signet bundle show" prints the own one.',
  flags: [ID_FLAG, BUNDLE_FORMAT_FLAG],
  refused: REFUSED,
  examples: ['signet bundle list', 'signet bundle list --id other.test --format spiffe'],
  run: (input, io) =>
    withServer(input, io, (server) => {
      const id = input.text('id');
      return id === undefined ? listAll(server, input, io) : listOne(server, id, input, io);
    }),
};

async function listAll(server: ServerConnection, input: Input, io: CliIo): Promise<Result<void>> {
  const bundles = await readAll(server);
  if (!bundles.ok) return bundles;
  if (input.text('output') === 'json') {
    const whole = { bundles: bundles.value, nextPageToken: '' };
    io.out(`${safeJson(ListFederatedBundlesResponse.toJSON(whole))}\n`);
    return ok(undefined);
  }
  for (const [i, wire] of bundles.value.entries()) {
    const bundle = fromWireBundle(wire);
    if (!bundle.ok) return bundle;
    const text = printBundle(bundle.value, input.text('format'));
    if (!text.ok) return text;
    const line = '*'.repeat(40);
    io.out(
      `${i === 0 ? '' : '\n'}${line}\n* ${bundle.value.trustDomain.name}\n${line}\n${text.value}`,
    );
  }
  return ok(undefined);
}

async function readAll(server: ServerConnection): Promise<Result<WireBundle[]>> {
  const client = server.client(BundleClient);
  const bundles: WireBundle[] = [];
  let pageToken = '';
  do {
    const request = { outputMask: undefined, pageSize: BUNDLE_PAGE_SIZE, pageToken };
    const page = await server.call<ListFederatedBundlesResponse>('listing bundles', (m, o, done) =>
      client.listFederatedBundles(request, m, o, done),
    );
    if (!page.ok) return page;
    bundles.push(...page.value.bundles);
    pageToken = page.value.nextPageToken;
  } while (pageToken !== '');
  return ok(bundles);
}

async function listOne(
  server: ServerConnection,
  trustDomain: string,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const client = server.client(BundleClient);
  const answer = await server.call<WireBundle>('reading the bundle', (m, o, done) =>
    client.getFederatedBundle({ trustDomain, outputMask: undefined }, m, o, done),
  );
  if (!answer.ok) return answer;
  if (input.text('output') === 'json') {
    io.out(`${safeJson(WireBundle.toJSON(answer.value))}\n`);
    return ok(undefined);
  }
  const bundle = fromWireBundle(answer.value);
  if (!bundle.ok) return bundle;
  const text = printBundle(bundle.value, input.text('format'));
  if (!text.ok) return text;
  io.out(text.value);
  return ok(undefined);
}

const MODES: Readonly<Record<string, Mode>> = {
  restrict: Mode.RESTRICT,
  delete: Mode.DELETE,
  dissociate: Mode.DISSOCIATE,
};

/** `signet bundle delete`. */
export const bundleDelete: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'Agents and workloads forget it at once. A relationship with the trust domain would fetch it again: ' +
    'end that first.',
  flags: [
    { ...ID_FLAG, required: true },
    {
      name: 'mode',
      value: 'mode',
      choices: Object.keys(MODES),
      help: 'entries that federate with it: restrict (refused with any), delete or dissociate them',
    },
  ],
  refused: REFUSED,
  examples: ['signet bundle delete --id other.test --mode dissociate'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(BundleClient);
      const id = input.text('id') ?? '';
      const mode = MODES[input.text('mode') ?? 'restrict'] ?? Mode.RESTRICT;
      const answer = await server.call<BatchDeleteFederatedBundleResponse>(
        'deleting the bundle',
        (m, o, done) => client.batchDeleteFederatedBundle({ trustDomains: [id], mode }, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = safeJson(BatchDeleteFederatedBundleResponse.toJSON(answer.value));
      const error = itemError(`deleting ${safe(id)}`, answer.value.results[0]?.status);
      return tell(input, io, { json, text: 'bundle deleted.', error });
    }),
};

/** `signet bundle count`. */
export const bundleCount: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'The own one counts too.',
  flags: [],
  refused: REFUSED,
  examples: ['signet bundle count'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(BundleClient);
      const answer = await server.call<CountBundlesResponse>('counting bundles', (m, o, done) =>
        client.countBundles({}, m, o, done),
      );
      if (!answer.ok) return answer;
      const { count } = answer.value;
      const json = safeJson(CountBundlesResponse.toJSON(answer.value));
      const text = `${count} ${count === 1 ? 'bundle' : 'bundles'}`;
      return tell(input, io, { json, text, error: undefined });
    }),
};

/** Prints the outcome of a command: JSON whatever came, a line for people where it was done. */
export function tell(
  input: Input,
  io: CliIo,
  told: {
    readonly json: string;
    readonly text: string;
    readonly error: ReturnType<typeof itemError>;
  },
): Result<void> {
  if (input.text('output') === 'json') io.out(`${told.json}\n`);
  if (told.error !== undefined) return { ok: false, error: told.error };
  if (input.text('output') !== 'json') io.out(`${told.text}\n`);
  return ok(undefined);
}
