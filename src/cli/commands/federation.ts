import { fail, ok, type Result } from '../../base/result.ts';
import {
  BatchCreateFederationRelationshipResponse,
  BatchDeleteFederationRelationshipResponse,
  BatchUpdateFederationRelationshipResponse,
  ListFederationRelationshipsResponse,
  TrustDomainClient,
} from '../../gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import { FederationRelationship } from '../../gen/spire/api/types/federationrelationship.ts';
import type { Status } from '../../gen/spire/api/types/status.ts';
import { parseRelationships, toRelationship } from '../federation-data.ts';
import { readData } from '../files.ts';
import { batchResult, itemError } from '../remote.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { safe, safeJson } from '../text.ts';
import { BUNDLE_PAGE_SIZE, tell } from './bundle-federated.ts';

const REFUSED = { instance: 'name the socket with --server-socket' };

const STATE_FLAGS: readonly FlagSpec[] = [
  { name: 'trust-domain', spire: 'trustDomain', value: 'name', help: 'the other trust domain' },
  {
    name: 'bundle-endpoint-url',
    spire: 'bundleEndpointURL',
    value: 'url',
    help: 'where its bundle is served: https://…',
  },
  {
    name: 'bundle-endpoint-profile',
    spire: 'bundleEndpointProfile',
    value: 'profile',
    choices: ['https_web', 'https_spiffe'],
    help: 'how the endpoint is known: by host name and public CA, or by its SPIFFE ID',
  },
  {
    name: 'endpoint-spiffe-id',
    spire: 'endpointSpiffeID',
    value: 'id',
    help: 'SPIFFE ID of the endpoint, with https_spiffe',
  },
  {
    name: 'trust-domain-bundle-path',
    spire: 'trustDomainBundlePath',
    value: 'file',
    help: 'bundle of the other trust domain, to begin with',
  },
  {
    name: 'trust-domain-bundle-format',
    spire: 'trustDomainBundleFormat',
    value: 'form',
    choices: ['pem', 'spiffe'],
    help: 'its form; pem unless told',
  },
  {
    name: 'data',
    value: 'file',
    help: 'JSON with {"federationRelationships": [...]} in place of the flags; "-" is standard input',
  },
];

/** `signet federation create`. */
export const federationCreate: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The server fetches the bundle of the other trust domain and keeps it new. Trust goes one way: the ' +
    'other side has to do the same. With https_spiffe, give the bundle to begin with.',
  flags: STATE_FLAGS,
  refused: REFUSED,
  examples: [
    'signet federation create --trust-domain other.test --bundle-endpoint-url https://other.test:8443 \\\n      --bundle-endpoint-profile https_spiffe --endpoint-spiffe-id spiffe://other.test/spire/server \\\n      --trust-domain-bundle-path other.jwks --trust-domain-bundle-format spiffe',
    'signet federation create --data relationships.json',
  ],
  run: async (input, io) => {
    const asked = await readAsked(input, io);
    if (!asked.ok) return asked;
    const federationRelationships = asked.value;
    return withServer(input, io, async (server) => {
      const client = server.client(TrustDomainClient);
      const request = { federationRelationships, outputMask: undefined };
      const answer = await server.call<BatchCreateFederationRelationshipResponse>(
        'creating relationships',
        (m, o, done) => client.batchCreateFederationRelationship(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = BatchCreateFederationRelationshipResponse.toJSON(answer.value);
      return report('creating', federationRelationships, { ...answer.value, json }, input, io);
    });
  },
};

/** `signet federation update`. */
export const federationUpdate: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'What is stated takes the place of the relationship; a bundle only where one is given.',
  flags: STATE_FLAGS,
  refused: REFUSED,
  examples: [
    'signet federation update --trust-domain other.test --bundle-endpoint-url https://other.test \\\n      --bundle-endpoint-profile https_web',
  ],
  run: async (input, io) => {
    const asked = await readAsked(input, io);
    if (!asked.ok) return asked;
    const federationRelationships = asked.value;
    return withServer(input, io, async (server) => {
      const client = server.client(TrustDomainClient);
      const masks = { inputMask: undefined, outputMask: undefined };
      const request = { federationRelationships, ...masks };
      const answer = await server.call<BatchUpdateFederationRelationshipResponse>(
        'updating relationships',
        (m, o, done) => client.batchUpdateFederationRelationship(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = BatchUpdateFederationRelationshipResponse.toJSON(answer.value);
      return report('updating', federationRelationships, { ...answer.value, json }, input, io);
    });
  },
};

async function readAsked(input: Input, io: CliIo): Promise<Result<FederationRelationship[]>> {
  const path = input.text('data');
  if (path !== undefined) {
    const others = STATE_FLAGS.filter(
      ({ name }) => name !== 'data' && input.text(name) !== undefined,
    );
    if (others.length > 0) return fail('CLI_USAGE', '--data takes the place of all other flags');
    const bytes = await readData(path, io);
    return bytes.ok ? parseRelationships(bytes.value) : bytes;
  }
  const bundlePath = input.text('trust-domain-bundle-path');
  const bytes = bundlePath === undefined ? ok(undefined) : await readData(bundlePath, io);
  if (!bytes.ok) return bytes;
  const format = input.text('trust-domain-bundle-format') ?? 'pem';
  const one = toRelationship({
    trustDomain: input.text('trust-domain'),
    bundleEndpointUrl: input.text('bundle-endpoint-url'),
    profile: input.text('bundle-endpoint-profile'),
    endpointId: input.text('endpoint-spiffe-id'),
    bundle: bytes.value === undefined ? undefined : { bytes: bytes.value, format },
  });
  return one.ok ? ok([one.value]) : one;
}

interface Reported {
  readonly results: readonly {
    readonly status: Status | undefined;
    readonly federationRelationship: FederationRelationship | undefined;
  }[];
  readonly json: unknown;
}

function report(
  doing: string,
  asked: readonly FederationRelationship[],
  { results, json }: Reported,
  input: Input,
  io: CliIo,
): Result<void> {
  if (input.text('output') === 'json') io.out(`${safeJson(json)}\n`);
  else {
    const done = results.flatMap(({ federationRelationship }) => federationRelationship ?? []);
    io.out(done.map(formatRelationship).join('\n'));
  }
  const errors = asked.flatMap(
    ({ trustDomain }, i) => itemError(`${doing} ${trustDomain}`, results[i]?.status) ?? [],
  );
  return batchResult(errors, asked.length);
}

/** A relationship for people. */
function formatRelationship(one: FederationRelationship): string {
  const profile = one.bundleEndpointProfile;
  const bundle = one.trustDomainBundle;
  const lines: [string, string][] = [
    ['Trust domain', one.trustDomain],
    ['Bundle endpoint URL', one.bundleEndpointUrl],
    ['Bundle endpoint profile', profile?.$case === 'httpsSpiffe' ? 'https_spiffe' : 'https_web'],
    ...(profile?.$case === 'httpsSpiffe'
      ? [['Endpoint SPIFFE ID', profile.value.endpointSpiffeId] as [string, string]]
      : []),
    ['Bundle', bundle === undefined ? 'none yet' : `sequence ${bundle.sequenceNumber}`],
  ];
  return lines.map(([name, value]) => `${name.padEnd(25)} : ${safe(value)}\n`).join('');
}

/** `signet federation list`. */
export const federationList: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: [],
  refused: REFUSED,
  examples: ['signet federation list', 'signet federation list -o json'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const listed = await listAll(server);
      if (!listed.ok) return listed;
      const all = listed.value;
      const count = `Found ${all.length} federation relationship${all.length === 1 ? '' : 's'}\n`;
      const text = [count, ...all.map(formatRelationship)].join('\n').trimEnd();
      const whole = { federationRelationships: all, nextPageToken: '' };
      const json = safeJson(ListFederationRelationshipsResponse.toJSON(whole));
      return tell(input, io, { json, text, error: undefined });
    }),
};

async function listAll(server: ServerConnection): Promise<Result<FederationRelationship[]>> {
  const client = server.client(TrustDomainClient);
  const all: FederationRelationship[] = [];
  let pageToken = '';
  do {
    const request = { outputMask: undefined, pageSize: BUNDLE_PAGE_SIZE, pageToken };
    const page = await server.call<ListFederationRelationshipsResponse>(
      'listing relationships',
      (m, o, done) => client.listFederationRelationships(request, m, o, done),
    );
    if (!page.ok) return page;
    all.push(...page.value.federationRelationships);
    pageToken = page.value.nextPageToken;
  } while (pageToken !== '');
  return ok(all);
}

const ONE_FLAG: FlagSpec = {
  name: 'trust-domain',
  spire: 'trustDomain',
  value: 'name',
  required: true,
  help: 'the other trust domain',
};

const ID_FLAG: FlagSpec = {
  name: 'id',
  value: 'name',
  required: true,
  help: 'the other trust domain',
};

/** `signet federation show`. */
export const federationShow: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: [ONE_FLAG],
  refused: REFUSED,
  examples: ['signet federation show --trust-domain other.test'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(TrustDomainClient);
      const trustDomain = input.text('trust-domain') ?? '';
      const answer = await server.call<FederationRelationship>('reading it', (m, o, done) =>
        client.getFederationRelationship({ trustDomain, outputMask: undefined }, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = safeJson(FederationRelationship.toJSON(answer.value));
      const text = formatRelationship(answer.value).trimEnd();
      return tell(input, io, { json, text, error: undefined });
    }),
};

/** `signet federation refresh`. */
export const federationRefresh: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'Fetches the bundle now; done when it is kept.',
  flags: [ID_FLAG],
  refused: REFUSED,
  examples: ['signet federation refresh --id other.test'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(TrustDomainClient);
      const trustDomain = input.text('id') ?? '';
      const answer = await server.call('fetching the bundle', (m, o, done) =>
        client.refreshBundle({ trustDomain }, m, o, done),
      );
      if (!answer.ok) return answer;
      return tell(input, io, { json: '{}', text: 'Bundle refreshed', error: undefined });
    }),
};

/** `signet federation delete`. */
export const federationDelete: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'The bundle stays, and is fetched no longer: "signet bundle delete" ends the trust.',
  flags: [ID_FLAG],
  refused: REFUSED,
  examples: ['signet federation delete --id other.test'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(TrustDomainClient);
      const id = input.text('id') ?? '';
      const answer = await server.call<BatchDeleteFederationRelationshipResponse>(
        'deleting the relationship',
        (m, o, done) =>
          client.batchDeleteFederationRelationship({ trustDomains: [id] }, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = safeJson(BatchDeleteFederationRelationshipResponse.toJSON(answer.value));
      const error = itemError(`deleting ${safe(id)}`, answer.value.results[0]?.status);
      return tell(input, io, { json, text: 'federation relationship deleted.', error });
    }),
};
