import { fail, ok, type Result } from '../../base/result.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import { formatJwtBundle, formatSpiffeBundle } from '../../spiffe/bundle-format.ts';
import { type AgentConnection, withAgent } from '../agent-connection.ts';
import { writeFiles } from '../files.ts';
import { spiffeIdFlag } from '../flags.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { filesOf, formatX509Context, x509ContextJson } from '../svid-view.ts';
import { counted, formatBlock, formatTime, safe, safeJson } from '../text.ts';

/** `signet api fetch`. */
export const apiFetch: CommandSpec = {
  connects: 'agent',
  prints: true,
  args: '[x509|jwt|bundles]',
  about: 'Asks the Workload API as any process does, so the entry must fit this command.',
  flags: [
    { name: 'audience', value: 'audience', repeat: true, help: 'jwt: who shall accept the token' },
    { name: 'spiffe-id', spire: 'spiffeID', value: 'id', help: 'jwt: this identity alone' },
    {
      name: 'write',
      value: 'folder',
      help: 'x509: write svid.N.pem, svid.N.key (0600) and bundles there',
    },
    { name: 'silent', help: 'print nothing' },
  ],
  examples: [
    'signet api fetch',
    'signet api fetch x509 --write ./svid',
    'signet api fetch jwt --audience db -o json',
    'signet api fetch bundles -o json',
  ],
  run: (input, io) => {
    const [kind = 'x509', extra] = input.args;
    const fetch = extra === undefined ? KINDS.get(kind) : undefined;
    if (fetch === undefined) {
      return Promise.resolve(fail('CLI_USAGE', 'takes x509, jwt or bundles, once'));
    }
    return withAgent(input, io, (agent) => fetch(agent, input, io));
  },
};

async function fetchX509(agent: AgentConnection, input: Input, io: CliIo): Promise<Result<void>> {
  if (input.texts('audience').length > 0 || input.text('spiffe-id') !== undefined) {
    return fail('CLI_USAGE', '--audience and --spiffe-id are for "api fetch jwt"');
  }
  const context = await agent.client.fetchX509Context();
  if (!context.ok) return context;
  if (!input.has('silent')) {
    const json = input.text('output') === 'json';
    io.out(
      json ? `${safeJson(x509ContextJson(context.value))}\n` : formatX509Context(context.value, io),
    );
  }
  const folder = input.text('write');
  if (folder === undefined) return ok(undefined);
  const written = await writeFiles(folder, filesOf(context.value));
  if (!written.ok) return written;
  if (!input.has('silent')) {
    io.err(`Written: ${written.value.map((path) => safe(path)).join(', ')}\n`);
  }
  return ok(undefined);
}

async function fetchJwt(agent: AgentConnection, input: Input, io: CliIo): Promise<Result<void>> {
  const audience = input.texts('audience');
  if (audience.length === 0) return fail('CLI_USAGE', 'jwt needs --audience');
  if (input.text('write') !== undefined) return fail('CLI_USAGE', '--write is for x509');
  const id = spiffeIdFlag(input, 'spiffe-id');
  if (!id.ok) return id;
  const svids = await agent.client.fetchJwtSvids(audience, id.value);
  if (!svids.ok) return svids;
  const bundles = await agent.client.fetchJwtBundles();
  if (!bundles.ok) return bundles;
  if (input.has('silent')) return ok(undefined);
  if (input.text('output') === 'json') {
    const tokens = svids.value.map(({ id: subject, token, hint }) => ({
      spiffeId: subject.uri,
      svid: token,
      hint,
    }));
    const sets = bundleDocuments(bundles.value.values(), formatJwtBundle);
    if (!sets.ok) return sets;
    io.out(`${safeJson({ svids: tokens, bundles: sets.value })}\n`);
    return ok(undefined);
  }
  for (const svid of svids.value) {
    const block = formatBlock([
      ['SPIFFE ID', svid.id.uri],
      ['Hint', svid.hint === '' ? [] : svid.hint],
      ['Audience', svid.audience.join(', ')],
      ['Valid until', formatTime(svid.expiresAtSeconds, io.clock.nowMs())],
    ]);
    io.out(`${block}${safe(svid.token)}\n\n`);
  }
  for (const { trustDomain, jwtAuthorities } of bundles.value.values()) {
    io.out(`Bundle of ${trustDomain.name}: ${counted(jwtAuthorities.length, 'key', 'keys')}\n`);
  }
  return ok(undefined);
}

async function fetchBundles(
  agent: AgentConnection,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  for (const flag of ['audience', 'spiffe-id', 'write']) {
    if (input.texts(flag).length > 0) return fail('CLI_USAGE', `--${flag} is not for bundles`);
  }
  const x509 = await agent.client.fetchX509Bundles();
  if (!x509.ok) return x509;
  const jwt = await agent.client.fetchJwtBundles();
  if (!jwt.ok) return jwt;
  const whole = [...x509.value.values()].map((bundle) => {
    const { jwtAuthorities = [] } = jwt.value.get(bundle.trustDomain.name) ?? {};
    return { ...bundle, jwtAuthorities };
  });
  if (input.has('silent')) return ok(undefined);
  const documents = bundleDocuments(whole, formatSpiffeBundle);
  if (!documents.ok) return documents;
  if (input.text('output') === 'json') {
    io.out(`${safeJson({ bundles: documents.value })}\n`);
    return ok(undefined);
  }
  for (const { trustDomain, x509Authorities, jwtAuthorities } of whole) {
    const authorities = counted(x509Authorities.length, 'X.509 authority', 'X.509 authorities');
    const keys = counted(jwtAuthorities.length, 'JWT key', 'JWT keys');
    io.out(`Bundle of ${trustDomain.name}: ${authorities}, ${keys}\n`);
  }
  return ok(undefined);
}

const KINDS: ReadonlyMap<string, typeof fetchX509> = new Map([
  ['x509', fetchX509],
  ['jwt', fetchJwt],
  ['bundles', fetchBundles],
]);

function bundleDocuments(
  bundles: Iterable<Bundle>,
  format: (bundle: Bundle) => Result<Uint8Array>,
): Result<Readonly<Record<string, string>>> {
  const documents: Record<string, string> = {};
  for (const bundle of bundles) {
    const document = format(bundle);
    if (!document.ok) return document;
    documents[bundle.trustDomain.id] = Buffer.from(document.value).toString('utf8');
  }
  return ok(documents);
}
