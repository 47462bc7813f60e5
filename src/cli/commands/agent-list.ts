import { ok, type Result } from '../../base/result.ts';
import {
  Assurance,
  AttestationClient,
  type GetAssuranceResponse,
} from '../../gen/signet/attestation/v1/attestation.ts';
import {
  AgentClient,
  type CountAgentsResponse,
  type ListAgentsRequest_Filter,
  ListAgentsResponse,
} from '../../gen/spire/api/server/agent/v1/agent.ts';
import { Agent } from '../../gen/spire/api/types/agent.ts';
import { booleanFlag, flagError, selectorFlags, spiffeIdFlag, timeFlag } from '../flags.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { counted, formatBlock, formatTable, formatTime, safeJson, span } from '../text.ts';
import { MATCH_NAMES, matchBehavior, toWireId, toWireSelectors, wireIdText } from '../wire.ts';

const PAGE_SIZE = 500;

const FILTER_FLAGS: readonly FlagSpec[] = [
  { name: 'selector', value: 'type:value', repeat: true, help: 'agents by selector of their node' },
  {
    name: 'match-selectors-on',
    spire: 'matchSelectorsOn',
    value: 'how',
    choices: MATCH_NAMES,
    help: "how the node's selectors relate to those given; superset unless told",
  },
  {
    name: 'attestation-type',
    spire: 'attestationType',
    value: 'type',
    help: 'agents by node attestor, such as join_token',
  },
  {
    name: 'banned',
    value: 'true|false',
    choices: ['true', 'false'],
    help: 'banned agents, or the others',
  },
  {
    name: 'can-reattest',
    spire: 'canReattest',
    value: 'true|false',
    choices: ['true', 'false'],
    help: 'agents that may attest again, or the others',
  },
  {
    name: 'expires-before',
    spire: 'expiresBefore',
    value: 'time',
    help: 'agents whose SVID ends before: Unix seconds or 2030-01-31T12:00:00Z',
  },
];

const REFUSED = { instance: 'name the socket with --server-socket' };

/** `signet agent list`. */
export const agentList: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: FILTER_FLAGS,
  refused: REFUSED,
  examples: ['signet agent list', 'signet agent list --banned true -o json'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const filter = filterOf(input);
      if (!filter.ok) return filter;
      const agents = await listAll(filter.value, server);
      if (!agents.ok) return agents;
      printList(agents.value, input, io);
      return ok(undefined);
    }),
};

/** `signet agent count`. */
export const agentCount: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: FILTER_FLAGS,
  refused: REFUSED,
  examples: ['signet agent count', 'signet agent count --attestation-type join_token'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const filter = filterOf(input);
      if (!filter.ok) return filter;
      const client = server.client(AgentClient);
      const answer = await server.call<CountAgentsResponse>('counting agents', (m, o, done) =>
        client.countAgents({ filter: filter.value }, m, o, done),
      );
      if (!answer.ok) return answer;
      const { count } = answer.value;
      const json = input.text('output') === 'json';
      io.out(json ? `${safeJson({ count })}\n` : `${counted(count, 'agent', 'agents')}\n`);
      return ok(undefined);
    }),
};

/** `signet agent show`. */
export const agentShow: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: [{ name: 'spiffe-id', spire: 'spiffeID', value: 'id', required: true, help: 'the agent' }],
  refused: REFUSED,
  examples: ['signet agent show --spiffe-id spiffe://example.org/spire/agent/join_token/TOKEN'],
  run: async (input, io) => {
    const id = spiffeIdFlag(input, 'spiffe-id');
    if (!id.ok) return id;
    const wireId = id.value === undefined ? undefined : toWireId(id.value);
    return withServer(input, io, async (server) => {
      const client = server.client(AgentClient);
      const agent = await server.call<Agent>('reading the agent', (m, o, done) =>
        client.getAgent({ id: wireId, outputMask: undefined }, m, o, done),
      );
      if (!agent.ok) return agent;
      const assurance = await readAssurance(agent.value, server);
      if (!assurance.ok) return assurance;
      const json = input.text('output') === 'json';
      io.out(
        json
          ? jsonAgent(agent.value, assurance.value)
          : formatAgent(agent.value, assurance.value, io),
      );
      return ok(undefined);
    });
  },
};

/** What the agent's attestation established; undefined where a server has nothing of the kind. */
async function readAssurance(
  { id }: Agent,
  server: ServerConnection,
): Promise<Result<Assurance | undefined>> {
  const client = server.client(AttestationClient);
  const answer = await server.call<GetAssuranceResponse>('reading the assurance', (m, o, done) =>
    client.getAssurance({ agentId: id }, m, o, done),
  );
  if (answer.ok) return ok(answer.value.assurance);
  return answer.error.statusName === 'Unimplemented' ? ok(undefined) : answer;
}

function jsonAgent(agent: Agent, assurance: Assurance | undefined): string {
  const shown = assurance === undefined ? {} : { assurance: Assurance.toJSON(assurance) };
  return `${safeJson({ ...(Agent.toJSON(agent) as object), ...shown })}\n`;
}

async function listAll(
  filter: ListAgentsRequest_Filter | undefined,
  server: ServerConnection,
): Promise<Result<readonly Agent[]>> {
  const client = server.client(AgentClient);
  const agents: Agent[] = [];
  let pageToken = '';
  do {
    const request = { filter, outputMask: undefined, pageSize: PAGE_SIZE, pageToken };
    const page = await server.call<ListAgentsResponse>('listing agents', (m, o, done) =>
      client.listAgents(request, m, o, done),
    );
    if (!page.ok) return page;
    agents.push(...page.value.agents);
    pageToken = page.value.nextPageToken;
  } while (pageToken !== '');
  return ok(agents);
}

function filterOf(input: Input): Result<ListAgentsRequest_Filter | undefined> {
  const selectors = selectorFlags(input, 'selector');
  if (!selectors.ok) return selectors;
  const before = expiresBefore(input);
  if (!before.ok) return before;
  const filter: ListAgentsRequest_Filter = {
    byAttestationType: input.text('attestation-type') ?? '',
    bySelectorMatch:
      selectors.value.length === 0
        ? undefined
        : {
            selectors: toWireSelectors(selectors.value),
            match: matchBehavior(input.text('match-selectors-on')),
          },
    byBanned: booleanFlag(input, 'banned'),
    byCanReattest: booleanFlag(input, 'can-reattest'),
    byExpiresBefore: before.value,
  };
  const given = Object.values(filter).some((value) => value !== undefined && value !== '');
  return ok(given ? filter : undefined);
}

/** SPIRE sends the moment as text, `2006-01-02 15:04:05 -0700 -07`. */
function expiresBefore(input: Input): Result<string> {
  const text = input.text('expires-before');
  if (text === undefined) return ok('');
  // SPIRE's own spelling goes through as it is.
  if (/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} [+-]\d{4} \S{1,10}$/.test(text)) return ok(text);
  const seconds = timeFlag(input, 'expires-before');
  if (!seconds.ok) return seconds;
  const date = new Date(Number(seconds.value) * 1000);
  if (Number.isNaN(date.getTime())) return flagError('expires-before', 'is out of range');
  return ok(`${date.toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`);
}

function printList(agents: readonly Agent[], input: Input, io: CliIo): void {
  if (input.text('output') === 'json') {
    const response = { agents: [...agents], nextPageToken: '' };
    io.out(`${safeJson({ agents: [], ...(ListAgentsResponse.toJSON(response) as object) })}\n`);
    return;
  }
  io.out(`${counted(agents.length, 'agent', 'agents')}\n`);
  if (agents.length === 0) return;
  const rows = agents.map((agent) => [
    agent.attestationType,
    agent.banned ? 'banned' : stateOf(agent, io),
    agent.agentVersion,
    wireIdText(agent.id),
  ]);
  io.out(`\n${formatTable(['ATTESTED BY', 'STATE', 'VERSION', 'SPIFFE ID'], rows)}`);
}

function stateOf(agent: Agent, io: CliIo): string {
  const leftSeconds = Number(agent.x509svidExpiresAt) - io.clock.nowMs() / 1000;
  return leftSeconds > 0 ? `valid ${span(leftSeconds)}` : 'expired';
}

function formatAgent(agent: Agent, assurance: Assurance | undefined, io: CliIo): string {
  return formatBlock([
    ['SPIFFE ID', wireIdText(agent.id)],
    ['Attested by', agent.attestationType],
    ['Can reattest', agent.canReattest ? 'yes' : 'no'],
    ['Banned', agent.banned ? 'yes' : 'no'],
    ['SVID expires', formatTime(Number(agent.x509svidExpiresAt), io.clock.nowMs())],
    ['SVID serial', agent.x509svidSerialNumber],
    ['Selector', agent.selectors.map(({ type, value }) => `${type}:${value}`)],
    ['Version', agent.agentVersion === '' ? [] : agent.agentVersion],
    ...(assurance === undefined ? [] : assuranceLines(assurance, io)),
  ]);
}

function assuranceLines(assurance: Assurance, io: CliIo): [string, string | string[]][] {
  const { zone, release } = assurance;
  return [
    ['Attested at', formatTime(Number(assurance.attestedAt), io.clock.nowMs())],
    ['Binding', assurance.binding],
    ['Zone', zone === undefined ? [] : String(zone)],
    ['Release', release === '' ? [] : release],
  ];
}
