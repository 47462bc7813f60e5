import { fail, ok, type Result } from '../../base/result.ts';
import {
  ConnectorSegment,
  ExplainFlowResponse,
  type ListSegmentsResponse,
  type SegmentSpec,
} from '../../gen/signet/connector/v1/admin.ts';
import { Protocol } from '../../gen/signet/connector/v1/connector.ts';
import { printOut, withConnectors } from '../connector-calls.ts';
import {
  CLEAR_SEGMENT_FLAG,
  clearedSegment,
  newSegment,
  parseSegments,
  SEGMENT_FLAGS,
  segmentFromFlags,
} from '../connector-segment-data.ts';
import {
  createThing,
  deleteThing,
  listThings,
  showThing,
  type ThingKind,
  updateThing,
} from '../connector-things.ts';
import { formatSegment, formatSegments } from '../connector-view.ts';
import { spiffeIdFlag } from '../flags.ts';
import type { CommandSpec, Input } from '../spec.ts';
import { formatBlock } from '../text.ts';

const SEGMENTS: ThingKind<ConnectorSegment, SegmentSpec> = {
  noun: 'segment',
  nouns: 'segments',
  arg: 'ID',
  flags: SEGMENT_FLAGS,
  clear: CLEAR_SEGMENT_FLAG,
  blank: newSegment,
  nameOf: ({ segment }) => segment?.id ?? '',
  cleared: clearedSegment,
  fromFlags: segmentFromFlags,
  parse: parseSegments,
  toJson: (segment) => ConnectorSegment.toJSON(segment),
  format: formatSegment,
  formatAll: formatSegments,
  get: (client, name) => (m, o, done) => client.getSegment({ name }, m, o, done),
  put: (client, segment, expectedRevision) => (m, o, done) =>
    client.putSegment({ segment, expectedRevision }, m, o, done),
  remove: (client, name) => (m, o, done) => client.deleteSegment({ name }, m, o, done),
  page: async (call, request) => {
    const page = await call<ListSegmentsResponse>('listing segments', (client) => (m, o, done) => {
      return client.listSegments(request, m, o, done);
    });
    return page.ok ? { ok: true, value: { ...page.value, items: page.value.segments } } : page;
  },
};

/** `signet connector segment create`. */
export const connectorSegmentCreate = createThing(SEGMENTS, {
  about:
    'What no segment lists is not reachable. Refused where another segment of the group claims the same flows with the same priority. Quote wildcards: the shell would replace them.',
  examples: [
    "signet connector segment create orders-db --group db \\\n      --host db.example.org --port 5432 --client 'spiffe://example.org/shop/*'",
    "signet connector segment create web --group edge --port 443 \\\n      --host '*.example.org' --client spiffe://example.org/proxy",
    'signet connector segment create -f segments.yaml',
  ],
});

/** `signet connector segment update`. */
export const connectorSegmentUpdate = updateThing(SEGMENTS, {
  examples: [
    'signet connector segment update orders-db --port 5432 --port 6432',
    'signet connector segment update orders-db --draining true',
    'signet connector segment update orders-db --clear client',
  ],
});

/** `signet connector segment show`. */
export const connectorSegmentShow = showThing(SEGMENTS, {
  about: 'What it lets through, which groups serve it, and what keeps them from it.',
  examples: ['signet connector segment show orders-db'],
});

/** `signet connector segment list`. */
export const connectorSegmentList = listThings(SEGMENTS, {
  about:
    'HEALTHY: connectors that serve it and say that all its targets are up; a segment with fewer than two is thin.',
  flags: [{ name: 'group', value: 'name', help: 'segments that this group serves' }],
  examples: ['signet connector segment list', 'signet connector segment list --group db -o json'],
});

/** `signet connector segment delete`. */
export const connectorSegmentDelete = deleteThing(SEGMENTS, {
  about: 'New flows are refused at once; connectors end those that are open.',
  examples: ['signet connector segment delete orders-db'],
});

/** `signet connector segment explain`. */
export const connectorSegmentExplain: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'HOST:PORT',
  about:
    'As the connectors of the group decide it; also which other segments give way to that one, and why nobody may pass. Quote addresses in brackets.',
  flags: [
    { name: 'group', value: 'name', required: true, help: 'connector group' },
    { name: 'protocol', value: 'name', choices: ['tcp', 'udp'], help: 'tcp unless told' },
    { name: 'client', value: 'id', help: 'SPIFFE ID of who wants the flow' },
  ],
  examples: [
    'signet connector segment explain db.example.org:5432 --group db \\\n      --client spiffe://example.org/shop/web',
    "signet connector segment explain '[2001:db8::1]:53' --group db \\\n      --protocol udp",
  ],
  run: async (input, io) => {
    const target = targetOf(input);
    if (!target.ok) return target;
    const client = spiffeIdFlag(input, 'client');
    if (!client.ok) return client;
    const request = {
      ...target.value,
      group: input.text('group') ?? '',
      protocol: input.text('protocol') === 'udp' ? Protocol.PROTOCOL_UDP : Protocol.PROTOCOL_TCP,
      clientId: client.value?.uri ?? '',
    };
    return withConnectors(input, io, async (call) => {
      const answer = await call<ExplainFlowResponse>(
        'explaining the flow',
        (admin) => (m, o, done) => admin.explainFlow(request, m, o, done),
      );
      if (!answer.ok) return answer;
      // Protojson leaves false out; programs that look for it should find it.
      const json = { allowed: false, ...(ExplainFlowResponse.toJSON(answer.value) as object) };
      printOut(input, io, json, () => formatExplained(answer.value, request.clientId));
      return ok(undefined);
    });
  },
};

function formatExplained(answer: ExplainFlowResponse, clientId: string): string {
  const who = clientId === '' ? ' for the clients that it lists' : '';
  return formatBlock([
    ['Flow', answer.allowed ? `allowed${who}` : 'refused'],
    ['Segment', answer.segmentId === '' ? [] : answer.segmentId],
    ['Reason', answer.reason],
    ['Give way', answer.shadowedIds],
  ]);
}

function targetOf(input: Input): Result<{ readonly host: string; readonly port: number }> {
  const [text = '', ...rest] = input.args;
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = found?.[1] ?? found?.[2] ?? '';
  const port = Number(found?.[3] ?? 0);
  if (rest.length === 0 && host !== '' && port >= 1 && port <= 65_535) return ok({ host, port });
  return fail('CLI_USAGE', 'takes one HOST:PORT, such as db.example.org:5432 or [2001:db8::1]:53');
}
