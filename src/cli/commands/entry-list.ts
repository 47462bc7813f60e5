import { fail, ok, type Result } from '../../base/result.ts';
import {
  EntrySource,
  type GetEntrySourcesResponse,
  RuleClient,
} from '../../gen/signet/rule/v1/rule.ts';
import {
  type CountEntriesResponse,
  EntryClient,
  type ListEntriesRequest_Filter,
  ListEntriesResponse,
} from '../../gen/spire/api/server/entry/v1/entry.ts';
import type { Entry } from '../../gen/spire/api/types/entry.ts';
import type { FederatesWithMatch } from '../../gen/spire/api/types/federateswith.ts';
import type { SelectorMatch } from '../../gen/spire/api/types/selector.ts';
import { DERIVED_ID_PREFIX } from '../../rules/entry-id.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { formatEntry } from '../entry-view.ts';
import { booleanFlag, flagError, selectorFlags, spiffeIdFlag } from '../flags.ts';
import { sourceText } from '../rule-view.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { counted, safeJson } from '../text.ts';
import { MATCH_NAMES, matchBehavior, toWireId, toWireSelectors } from '../wire.ts';

const PAGE_SIZE = 500;

const FILTER_FLAGS: readonly FlagSpec[] = [
  { name: 'spiffe-id', spire: 'spiffeID', value: 'id', help: 'entries with this identity' },
  { name: 'parent-id', spire: 'parentID', value: 'id', help: 'entries of this parent' },
  { name: 'selector', value: 'type:value', repeat: true, help: 'entries by selector' },
  {
    name: 'match-selectors-on',
    spire: 'matchSelectorsOn',
    value: 'how',
    choices: MATCH_NAMES,
    help: "how the entry's selectors relate to those given; superset unless told",
  },
  {
    name: 'federates-with',
    spire: 'federatesWith',
    value: 'trust domain',
    repeat: true,
    help: 'entries by federated trust domain',
  },
  {
    name: 'match-federates-with-on',
    spire: 'matchFederatesWithOn',
    value: 'how',
    choices: MATCH_NAMES,
    help: "how the entry's trust domains relate to those given; superset unless told",
  },
  {
    name: 'downstream',
    value: 'true|false',
    choices: ['true', 'false'],
    help: 'entries of downstream servers, or all others',
  },
  { name: 'hint', value: 'text', help: 'entries with this hint' },
];

const REFUSED = { instance: 'name the socket with --server-socket' };

/** `signet entry show`. */
export const entryShow: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: [
    { name: 'entry-id', spire: 'entryID', value: 'id', help: 'this entry alone' },
    ...FILTER_FLAGS,
  ],
  refused: REFUSED,
  examples: [
    'signet entry show',
    'signet entry show --selector unix:uid:1000 --match-selectors-on any -o json',
  ],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const entries = await findEntries(input, server);
      if (!entries.ok) return entries;
      const sources = await findSources(entries.value, server);
      if (!sources.ok) return sources;
      print(entries.value, sources.value, input, io);
      return ok(undefined);
    }),
};

/** `signet entry count`. */
export const entryCount: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: FILTER_FLAGS,
  refused: REFUSED,
  examples: ['signet entry count', 'signet entry count --downstream false'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const filter = filterOf(input);
      if (!filter.ok) return filter;
      const client = server.client(EntryClient);
      const answer = await server.call<CountEntriesResponse>('counting entries', (m, o, done) =>
        client.countEntries({ filter: filter.value }, m, o, done),
      );
      if (!answer.ok) return answer;
      const { count } = answer.value;
      io.out(
        input.text('output') === 'json'
          ? `${safeJson({ count })}\n`
          : `${counted(count, 'entry', 'entries')}\n`,
      );
      return ok(undefined);
    }),
};

async function findEntries(
  input: Input,
  server: ServerConnection,
): Promise<Result<readonly Entry[]>> {
  const filter = filterOf(input);
  if (!filter.ok) return filter;
  const id = input.text('entry-id');
  if (id === undefined) return listAll(filter.value, server);
  if (filter.value !== undefined) return fail('CLI_USAGE', '--entry-id allows no other filter');
  const client = server.client(EntryClient);
  const entry = await server.call<Entry>('reading the entry', (metadata, options, done) =>
    client.getEntry({ id, outputMask: undefined }, metadata, options, done),
  );
  return entry.ok ? ok([entry.value]) : entry;
}

async function listAll(
  filter: ListEntriesRequest_Filter | undefined,
  server: ServerConnection,
): Promise<Result<readonly Entry[]>> {
  const client = server.client(EntryClient);
  const entries: Entry[] = [];
  let pageToken = '';
  do {
    const request = { filter, outputMask: undefined, pageSize: PAGE_SIZE, pageToken };
    const page = await server.call<ListEntriesResponse>('listing entries', (m, o, done) =>
      client.listEntries(request, m, o, done),
    );
    if (!page.ok) return page;
    entries.push(...page.value.entries);
    pageToken = page.value.nextPageToken;
  } while (pageToken !== '');
  return ok(entries);
}

/** Where derived entries come from, by their IDs. */
async function findSources(
  entries: readonly Entry[],
  server: ServerConnection,
): Promise<Result<ReadonlyMap<string, EntrySource>>> {
  const sources = new Map<string, EntrySource>();
  const derived = entries.map(({ id }) => id).filter((id) => id.startsWith(DERIVED_ID_PREFIX));
  const client = server.client(RuleClient);
  for (let at = 0; at < derived.length; at += PAGE_SIZE) {
    const request = { ids: derived.slice(at, at + PAGE_SIZE) };
    const answer = await server.call<GetEntrySourcesResponse>('reading rules', (m, o, done) =>
      client.getEntrySources(request, m, o, done),
    );
    if (!answer.ok) return answer;
    for (const source of answer.value.sources) sources.set(source.id, source);
  }
  return ok(sources);
}

function filterOf(input: Input): Result<ListEntriesRequest_Filter | undefined> {
  const bySpiffeId = spiffeIdFlag(input, 'spiffe-id');
  if (!bySpiffeId.ok) return bySpiffeId;
  const byParentId = spiffeIdFlag(input, 'parent-id');
  if (!byParentId.ok) return byParentId;
  const bySelectors = selectorMatch(input);
  if (!bySelectors.ok) return bySelectors;
  const byFederatesWith = federatesWithMatch(input);
  if (!byFederatesWith.ok) return byFederatesWith;
  const filter: ListEntriesRequest_Filter = {
    bySpiffeId: bySpiffeId.value === undefined ? undefined : toWireId(bySpiffeId.value),
    byParentId: byParentId.value === undefined ? undefined : toWireId(byParentId.value),
    bySelectors: bySelectors.value,
    byFederatesWith: byFederatesWith.value,
    byHint: input.text('hint'),
    byDownstream: booleanFlag(input, 'downstream'),
  };
  return ok(Object.values(filter).some((value) => value !== undefined) ? filter : undefined);
}

function selectorMatch(input: Input): Result<SelectorMatch | undefined> {
  const selectors = selectorFlags(input, 'selector');
  if (!selectors.ok) return selectors;
  if (selectors.value.length === 0) return ok(undefined);
  const match = matchBehavior(input.text('match-selectors-on'));
  return ok({ selectors: toWireSelectors(selectors.value), match });
}

function federatesWithMatch(input: Input): Result<FederatesWithMatch | undefined> {
  const trustDomains: string[] = [];
  for (const text of input.texts('federates-with')) {
    const trustDomain = parseTrustDomain(text);
    if (!trustDomain.ok) return flagError('federates-with', trustDomain.error.message);
    trustDomains.push(trustDomain.value.name);
  }
  if (trustDomains.length === 0) return ok(undefined);
  // Both enums have the same numbers (spire.api.types).
  return ok({ trustDomains, match: matchBehavior(input.text('match-federates-with-on')) });
}

function print(
  entries: readonly Entry[],
  sources: ReadonlyMap<string, EntrySource>,
  input: Input,
  io: CliIo,
): void {
  if (input.text('output') === 'json') {
    const response = { entries: [...entries], nextPageToken: '' };
    const derived = [...sources.values()].map((source) => EntrySource.toJSON(source));
    const more = derived.length === 0 ? {} : { derivedFrom: derived };
    const json = ListEntriesResponse.toJSON(response) as object;
    io.out(`${safeJson({ entries: [], ...json, ...more })}\n`);
    return;
  }
  io.out(`${counted(entries.length, 'entry', 'entries')}\n`);
  for (const entry of entries) {
    const source = sources.get(entry.id);
    io.out(`\n${formatEntry(entry, io, source && sourceText(source))}`);
  }
}
