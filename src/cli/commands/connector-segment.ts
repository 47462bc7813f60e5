import { fail, ok, type Result } from '../../base/result.ts';
import {
  ConnectorSegment,
  ExplainFlowResponse,
  type ListSegmentsResponse,
  type SegmentSpec,
} from '../../gen/signet/connector/v1/admin.ts';
import { Protocol } from '../../gen/signet/connector/v1/connector.ts';
import {
  allPages,
  CONNECTOR_PAGE_SIZE,
  type ConnectorCall,
  printOut,
  withConnectors,
} from '../connector-calls.ts';
import { DATA_FLAG, oneArg } from '../connector-flags.ts';
import {
  newSegment,
  parseSegments,
  SEGMENT_FLAGS,
  segmentFromFlags,
} from '../connector-segment-data.ts';
import { formatSegment, formatSegments } from '../connector-view.ts';
import { readData } from '../files.ts';
import { flagError, spiffeIdFlag } from '../flags.ts';
import { batchResult } from '../remote.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { counted, formatBlock, safe } from '../text.ts';
import { isGiven } from './connector-group.ts';

const LIST = 'signet connector segment list';

/** `signet connector segment create`. */
export const connectorSegmentCreate: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'ID',
  about:
    'Says what may be reached through the connectors of a group, and by whom. What no segment lists is not reachable. Refused where another segment of the group claims the same flows with the same priority.',
  flags: [...SEGMENT_FLAGS, DATA_FLAG],
  examples: [
    'signet connector segment create orders-db --group db --host db.example.org --port 5432 \\\n      --client spiffe://example.org/shop/*',
    'signet connector segment create -f segments.yaml',
  ],
  run: (input, io) => put(input, io, 'create'),
};

/** `signet connector segment update`. */
export const connectorSegmentUpdate: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'ID',
  about:
    'Changes what the flags name; a list that is given takes the place of the one before. A file takes the place of the whole segment.',
  flags: [...SEGMENT_FLAGS, DATA_FLAG],
  examples: [
    'signet connector segment update orders-db --port 5432 --port 6432',
    'signet connector segment update orders-db --draining true',
  ],
  run: (input, io) => put(input, io, 'update'),
};

/** `signet connector segment show`. */
export const connectorSegmentShow: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'ID',
  flags: [],
  examples: ['signet connector segment show orders-db'],
  run: async (input, io) => {
    const id = oneArg(input, 'ID', LIST);
    if (!id.ok) return id;
    return withConnectors(input, io, async (call) => {
      const segment = await getSegment(call, id.value);
      if (!segment.ok) return segment;
      printOut(input, io, ConnectorSegment.toJSON(segment.value), () =>
        formatSegment(segment.value),
      );
      return ok(undefined);
    });
  },
};

/** `signet connector segment list`. */
export const connectorSegmentList: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'HEALTHY: connectors that serve it and say that all its targets are up; a segment with fewer than two is thin.',
  flags: [{ name: 'group', value: 'name', help: 'segments that this group serves' }],
  examples: ['signet connector segment list', 'signet connector segment list --group db -o json'],
  run: (input, io) =>
    withConnectors(input, io, async (call) => {
      const group = input.text('group') ?? '';
      const segments = await allPages(
        (pageToken) =>
          call<ListSegmentsResponse>('listing segments', (client) => (m, o, done) => {
            const request = { group, pageSize: CONNECTOR_PAGE_SIZE, pageToken };
            return client.listSegments(request, m, o, done);
          }),
        (page) => page.segments,
      );
      if (!segments.ok) return segments;
      const all = segments.value;
      const json = { segments: all.map((segment) => ConnectorSegment.toJSON(segment)) };
      printOut(input, io, json, () => {
        const count = `${counted(all.length, 'segment', 'segments')}\n`;
        return all.length === 0 ? count : `${count}\n${formatSegments(all)}`;
      });
      return ok(undefined);
    }),
};

/** `signet connector segment delete`. */
export const connectorSegmentDelete: CommandSpec = {
  connects: 'server',
  args: 'ID',
  about: 'New flows are refused at once; connectors end those that are open.',
  flags: [],
  examples: ['signet connector segment delete orders-db'],
  run: async (input, io) => {
    const id = oneArg(input, 'ID', LIST);
    if (!id.ok) return id;
    return withConnectors(input, io, async (call) => {
      const deleted = await call('deleting the segment', (client) => (m, o, done) => {
        return client.deleteSegment({ name: id.value }, m, o, done);
      });
      if (!deleted.ok) return deleted;
      io.out(`Deleted segment ${safe(id.value)}\n`);
      return ok(undefined);
    });
  },
};

/** `signet connector segment explain`. */
export const connectorSegmentExplain: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'HOST:PORT',
  about:
    'Tells which segment a flow falls under, as the connectors of the group decide it, and which others give way to it.',
  flags: [
    { name: 'group', value: 'name', required: true, help: 'connector group' },
    { name: 'protocol', value: 'name', choices: ['tcp', 'udp'], help: 'tcp unless told' },
    { name: 'client', value: 'id', help: 'SPIFFE ID of who wants the flow' },
  ],
  examples: [
    'signet connector segment explain db.example.org:5432 --group db \\\n      --client spiffe://example.org/shop/web',
    'signet connector segment explain [2001:db8::1]:53 --group db --protocol udp',
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

type Mode = 'create' | 'update';

interface StatedSegment {
  readonly id: string;
  readonly from: (before: SegmentSpec) => Result<SegmentSpec>;
}

async function put(input: Input, io: CliIo, mode: Mode): Promise<Result<void>> {
  const stated = await statedSegments(input, io);
  if (!stated.ok) return stated;
  return withConnectors(input, io, async (call) => {
    const done: ConnectorSegment[] = [];
    const errors = [];
    for (const one of stated.value) {
      const written = await putOne(call, one, mode);
      if (written.ok) done.push(written.value);
      else errors.push(written.error);
    }
    const verb = mode === 'create' ? 'Created' : 'Updated';
    const json = { segments: done.map((segment) => ConnectorSegment.toJSON(segment)) };
    printOut(input, io, json, () =>
      done.map(({ spec }) => `${verb} segment ${safe(spec?.segment?.id ?? '')}\n`).join(''),
    );
    for (const { spec, servedBy } of done) {
      if (servedBy.length === 0) {
        io.err(`note: no group serves segment ${safe(spec?.segment?.id ?? '')} yet\n`);
      }
    }
    return batchResult(errors, stated.value.length);
  });
}

async function statedSegments(input: Input, io: CliIo): Promise<Result<readonly StatedSegment[]>> {
  const path = input.text('data');
  if (path === undefined) {
    const id = oneArg(input, 'ID', LIST);
    if (!id.ok) return id;
    const read = segmentFromFlags(newSegment(id.value), input);
    if (!read.ok) return read;
    return ok([{ id: id.value, from: (before) => segmentFromFlags(before, input) }]);
  }
  if (input.args.length > 0 || SEGMENT_FLAGS.some(({ name }) => isGiven(input, name))) {
    return fail('CLI_USAGE', '--data takes the place of ID and of all other flags');
  }
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  const segments = parseSegments(bytes.value);
  if (!segments.ok) return segments;
  return ok(segments.value.map((spec) => ({ id: spec.segment?.id ?? '', from: () => ok(spec) })));
}

async function putOne(
  call: ConnectorCall,
  { id, from }: StatedSegment,
  mode: Mode,
): Promise<Result<ConnectorSegment>> {
  if (id === '') return flagError('data', 'a segment has no id');
  const before = mode === 'create' ? ok(undefined) : await getSegment(call, id);
  if (!before.ok) return before;
  const segment = from(before.value?.spec ?? newSegment(id));
  if (!segment.ok) return segment;
  const expectedRevision = before.value?.revision ?? 0n;
  return call<ConnectorSegment>(`writing segment ${safe(id)}`, (client) => (m, o, done) => {
    return client.putSegment({ segment: segment.value, expectedRevision }, m, o, done);
  });
}

function getSegment(call: ConnectorCall, id: string): Promise<Result<ConnectorSegment>> {
  return call<ConnectorSegment>('reading the segment', (client) => (m, o, done) => {
    return client.getSegment({ name: id }, m, o, done);
  });
}
