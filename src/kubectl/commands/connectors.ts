import { fail, ok, type Result } from '../../base/result.ts';
import { connectorList } from '../../cli/commands/connector-list.ts';
import {
  allFlags,
  type CliIo,
  type CommandSpec,
  type FlagSpec,
  type Input,
} from '../../cli/spec.ts';
import { counted, safe, span } from '../../cli/text.ts';
import { withClusters } from '../clusters.ts';
import {
  type ConnectorFacts,
  connectorWithin,
  type GroupFacts,
  groupState,
  type InstanceFacts,
  instanceState,
  type SegmentFacts,
  segmentState,
} from '../connector-rows.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, outputOf, SCOPE_FLAGS } from '../flags.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { connectorObjects } from '../sources/connector-objects.ts';
import { connectorsOfServer } from '../sources/connector-server.ts';

/** Flags that lead to the server, of the commands that ask it. */
const SERVER_FLAGS: readonly FlagSpec[] = allFlags(connectorList).filter(({ name }) =>
  ['server-socket', 'admin-svid', 'timeout'].includes(name),
);

/** States of a connector that are no finding. */
const FINE: readonly string[] = ['Active', 'Enrolled', 'Pending', 'Draining', 'Stopped'];

/** `kubectl signet connectors`. */
export const connectors: CommandSpec = {
  about:
    'Prints connector groups: how many connectors are in which state, until when the first certificate is\n' +
    'good, and how many segments fewer than two healthy connectors serve. Then the segments and, by the\n' +
    'server, the connectors that are not as they should be; -o wide lists all. ConnectorGroups and\n' +
    'ConnectorSegments of the cluster tell it, or the server where --server-socket (SIGNET_SERVER_SOCKET)\n' +
    'leads to it. Ends with 1 where something is Lost, Expired, Expiring, Thin, TooFew, in Conflict or\n' +
    'Refused.',
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'wide', 'json', 'yaml', 'name']),
    NO_HEADERS,
    {
      name: 'within',
      value: 'duration',
      help: 'a certificate that ends sooner is Expiring; 10m unless told',
    },
    ...SERVER_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet connectors -A',
    'kubectl signet connectors -o wide --server-socket /run/signet/server/private/api.sock',
  ],
  run: async (input, io) => {
    const within = connectorWithin(input);
    if (!within.ok) return within;
    const found = await readFacts(input, io);
    if (!found.ok) return found;
    const judged = judge(found.value, io.clock.nowMs(), within.value);
    await print(judged, input, io);
    const findings = [
      ...judged.groups.filter(({ state }) => state !== 'Ok'),
      ...judged.segments.filter(({ state }) => state !== 'Ok'),
      ...judged.instances.filter(({ state }) => !FINE.includes(state)),
    ];
    if (findings.length === 0) return ok(undefined);
    const { groups, segments, instances } = judged;
    const total = groups.length + segments.length + instances.length;
    return fail(
      'TRUST_FINDINGS',
      `${findings.length} of ${counted(total, 'group, segment or connector', 'groups, segments and connectors')} not as they should be`,
    );
  },
};

type Judged<T> = T & { readonly state: string };

interface JudgedFacts {
  readonly groups: readonly Judged<GroupFacts>[];
  readonly segments: readonly Judged<SegmentFacts>[];
  readonly instances: readonly (InstanceFacts & { readonly said: string })[];
}

function readFacts(input: Input, io: CliIo): Promise<Result<ConnectorFacts>> {
  const named = input.text('server-socket') ?? io.env.SIGNET_SERVER_SOCKET;
  if (named !== undefined) return connectorsOfServer(input, io);
  return withClusters(input, io, async (clusters) => {
    const groups: GroupFacts[] = [];
    const segments: SegmentFacts[] = [];
    for (const cluster of clusters) {
      const found = await connectorObjects(cluster);
      if (!found.ok) return found;
      groups.push(...found.value.groups);
      segments.push(...found.value.segments);
    }
    return ok({ groups, segments, instances: [] });
  });
}

function judge(facts: ConnectorFacts, nowMs: number, withinMs: number): JudgedFacts {
  return {
    groups: facts.groups.map((one) => ({ ...one, state: groupState(one, nowMs, withinMs) })),
    segments: facts.segments.map((one) => ({ ...one, state: segmentState(one) })),
    instances: facts.instances.map((one) => ({
      ...one,
      said: one.state,
      state: instanceState(one, nowMs, withinMs),
    })),
  };
}

async function print(judged: JudgedFacts, input: Input, io: CliIo): Promise<void> {
  if (isForPrograms(input)) {
    const { groups, segments, instances } = judged;
    const members = {
      groups: groups.map(jsonOf),
      segments: segments.map(jsonOf),
      connectors: instances.map(({ said: _said, ...one }) => jsonOf(one)),
    };
    await printObject('ConnectorList', members, input, io);
    return;
  }
  if (outputOf(input) === 'name') {
    for (const one of judged.groups) io.out(`connectorgroup/${safe(nameOf(one))}\n`);
    for (const one of judged.segments) io.out(`connectorsegment/${safe(nameOf(one))}\n`);
    for (const { id } of judged.instances) io.out(`connector/${safe(id)}\n`);
    return;
  }
  if (judged.groups.length === 0) io.out('no connector groups\n');
  else printGroups(judged.groups, input, io);
  printSegments(judged.segments, input, io);
  printInstances(judged.instances, input, io);
  for (const one of [...judged.groups, ...judged.segments]) {
    if (one.refusal !== '') io.err(`${safe(`${nameOf(one)}: ${one.refusal}`)}\n`);
  }
}

function printGroups(groups: JudgedFacts['groups'], input: Input, io: CliIo): void {
  const wide = outputOf(input) === 'wide';
  const heads = ['GROUP', 'CONNECTORS', 'CERT', 'SEGMENTS', 'THIN'];
  const rows = groups.map((one) => [
    nameOf(one),
    countsText(one.connectors),
    leftText(one.certificateEndMs, io),
    `${one.segments}`,
    `${one.thinSegments}`,
    ...(wide ? [`${one.activeFlows}`, `${one.upToDate}`, one.lastError || '-'] : []),
    one.state,
  ]);
  const more = wide ? ['FLOWS', 'UP-TO-DATE', 'LAST ERROR'] : [];
  printTable({ heads: [...heads, ...more, 'STATE'], rows }, input, io);
}

/** Those that are not as they should be; all of them where it may be wide. */
function printSegments(segments: JudgedFacts['segments'], input: Input, io: CliIo): void {
  const shown = segments.filter(({ state }) => outputOf(input) === 'wide' || state !== 'Ok');
  if (shown.length === 0) return;
  const rows = shown.map((one) => [
    nameOf(one),
    one.groups.join(',') || '-',
    `${one.healthyConnectors}`,
    one.conflict === '' ? one.state : `${one.state}: ${one.conflict}`,
  ]);
  io.out('\n');
  printTable({ heads: ['SEGMENT', 'SERVED BY', 'HEALTHY', 'STATE'], rows }, input, io);
}

function printInstances(instances: JudgedFacts['instances'], input: Input, io: CliIo): void {
  const wide = outputOf(input) === 'wide';
  const shown = instances.filter(({ state }) => wide || !FINE.includes(state));
  if (shown.length === 0) return;
  const rows = shown.map((one) => [
    one.id,
    one.group,
    agoText(one.heardMs, io),
    leftText(one.certificateEndMs, io),
    one.reason === '' ? one.state : `${one.state}: ${one.reason}`,
  ]);
  io.out('\n');
  printTable({ heads: ['CONNECTOR', 'GROUP', 'HEARD', 'CERT', 'STATE'], rows }, input, io);
}

function nameOf({ context: _context, namespace, name }: GroupFacts | SegmentFacts): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

function countsText(connectors: Readonly<Record<string, number>>): string {
  const some = Object.entries(connectors).filter(([, count]) => count > 0);
  return some.length === 0 ? 'none' : some.map(([state, count]) => `${count} ${state}`).join(', ');
}

function leftText(endMs: number | undefined, { clock }: Pick<CliIo, 'clock'>): string {
  if (endMs === undefined) return '-';
  const away = Math.round((endMs - clock.nowMs()) / 1000);
  return away > 0 ? span(away).replaceAll(' ', '') : 'ended';
}

function agoText(heardMs: number | undefined, { clock }: Pick<CliIo, 'clock'>): string {
  if (heardMs === undefined) return 'never';
  const away = Math.max(0, Math.round((clock.nowMs() - heardMs) / 1000));
  return `${span(away).replaceAll(' ', '')} ago`;
}

/** Moments as RFC 3339, what is not known as null. */
function jsonOf(facts: object): Readonly<Record<string, unknown>> {
  const pairs = Object.entries(facts).map(([name, value]): [string, unknown] => {
    if (!name.endsWith('Ms')) return [name, value];
    const time = typeof value === 'number' ? new Date(value).toISOString() : null;
    return [name.slice(0, -2), time];
  });
  return Object.fromEntries(pairs);
}
