import { fail, ok, type Result } from '../../base/result.ts';
import {
  ConnectorGroup,
  GroupSpec,
  type ListGroupsResponse,
} from '../../gen/signet/connector/v1/admin.ts';
import {
  allPages,
  CONNECTOR_PAGE_SIZE,
  type ConnectorCall,
  printOut,
  withConnectors,
} from '../connector-calls.ts';
import { DATA_FLAG, oneArg } from '../connector-flags.ts';
import { GROUP_FLAGS, groupFromFlags, parseGroups } from '../connector-group-data.ts';
import { formatGroup, formatGroups } from '../connector-view.ts';
import { readData } from '../files.ts';
import { batchResult } from '../remote.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { counted, safe } from '../text.ts';

const LIST = 'signet connector group list';

/** `signet connector group create`. */
export const connectorGroupCreate: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'NAME',
  about:
    'Connectors enrol into a group: it says who may, by which proofs, and which segments they serve. A group without a proof lets nobody in.',
  flags: [...GROUP_FLAGS, DATA_FLAG],
  examples: [
    'signet connector group create db --proof provisioning-key --max-instances 4',
    'signet connector group create edge --proof kubernetes-token \\\n      --service-account connectors/edge --require-attested-node true --zone 1',
    'signet connector group create -f groups.yaml',
  ],
  run: (input, io) => put(input, io, 'create'),
};

/** `signet connector group update`. */
export const connectorGroupUpdate: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'NAME',
  about:
    'Changes what the flags name; a list that is given takes the place of the one before. A file takes the place of the whole group.',
  flags: [...GROUP_FLAGS, DATA_FLAG],
  examples: [
    'signet connector group update db --max-instances 8',
    'signet connector group update db --clear zone --proof bound-key --proof provisioning-key',
  ],
  run: (input, io) => put(input, io, 'update'),
};

/** `signet connector group show`. */
export const connectorGroupShow: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'NAME',
  flags: [],
  examples: ['signet connector group show db', 'signet connector group show db -o json'],
  run: async (input, io) => {
    const name = oneArg(input, 'NAME', LIST);
    if (!name.ok) return name;
    return withConnectors(input, io, async (call) => {
      const group = await getGroup(call, name.value);
      if (!group.ok) return group;
      printOut(input, io, ConnectorGroup.toJSON(group.value), () => formatGroup(group.value, io));
      return ok(undefined);
    });
  },
};

/** `signet connector group list`. */
export const connectorGroupList: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'ACTIVE: connectors that are active, of those that have not ended. THIN: segments that fewer than two healthy connectors serve. CERT: until the first certificate ends.',
  flags: [],
  examples: ['signet connector group list', 'signet connector group list -o json'],
  run: (input, io) =>
    withConnectors(input, io, async (call) => {
      const groups = await allPages(
        (pageToken) =>
          call<ListGroupsResponse>('listing groups', (client) => (m, o, done) => {
            const request = { group: '', pageSize: CONNECTOR_PAGE_SIZE, pageToken };
            return client.listGroups(request, m, o, done);
          }),
        (page) => page.groups,
      );
      if (!groups.ok) return groups;
      const json = { groups: groups.value.map((group) => ConnectorGroup.toJSON(group)) };
      printOut(input, io, json, () => {
        const count = `${counted(groups.value.length, 'group', 'groups')}\n`;
        return groups.value.length === 0 ? count : `${count}\n${formatGroups(groups.value, io)}`;
      });
      return ok(undefined);
    }),
};

/** `signet connector group delete`. */
export const connectorGroupDelete: CommandSpec = {
  connects: 'server',
  args: 'NAME',
  about: 'Its keys go with it. Refused while connectors are in it that have not ended.',
  flags: [],
  examples: ['signet connector group delete db'],
  run: async (input, io) => {
    const name = oneArg(input, 'NAME', LIST);
    if (!name.ok) return name;
    return withConnectors(input, io, async (call) => {
      const deleted = await call('deleting the group', (client) => (m, o, done) => {
        return client.deleteGroup({ name: name.value }, m, o, done);
      });
      if (!deleted.ok) return deleted;
      io.out(`Deleted group ${safe(name.value)}\n`);
      return ok(undefined);
    });
  },
};

type Mode = 'create' | 'update';

async function put(input: Input, io: CliIo, mode: Mode): Promise<Result<void>> {
  const stated = await statedGroups(input, io);
  if (!stated.ok) return stated;
  return withConnectors(input, io, async (call) => {
    const done: ConnectorGroup[] = [];
    const errors = [];
    for (const stateOf of stated.value) {
      const written = await putOne(call, stateOf, mode);
      if (written.ok) done.push(written.value);
      else errors.push(written.error);
    }
    const verb = mode === 'create' ? 'Created' : 'Updated';
    const json = { groups: done.map((group) => ConnectorGroup.toJSON(group)) };
    printOut(input, io, json, () =>
      done.map(({ spec }) => `${verb} group ${safe(spec?.name ?? '')}\n`).join(''),
    );
    return batchResult(errors, stated.value.length);
  });
}

/** What a group is to be, by what it is. */
interface StatedGroup {
  readonly name: string;
  readonly from: (before: GroupSpec) => Result<GroupSpec>;
}

async function statedGroups(input: Input, io: CliIo): Promise<Result<readonly StatedGroup[]>> {
  const path = input.text('data');
  if (path === undefined) {
    const name = oneArg(input, 'NAME', LIST);
    if (!name.ok) return name;
    // Read once before anything is asked, so that a wrong flag is told at once.
    const read = groupFromFlags(GroupSpec.fromJSON({}), input);
    if (!read.ok) return read;
    return ok([{ name: name.value, from: (before) => groupFromFlags(before, input) }]);
  }
  if (input.args.length > 0 || GROUP_FLAGS.some(({ name }) => isGiven(input, name))) {
    return fail('CLI_USAGE', '--data takes the place of NAME and of all other flags');
  }
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  const groups = parseGroups(bytes.value);
  if (!groups.ok) return groups;
  return ok(groups.value.map((spec) => ({ name: spec.name, from: () => ok(spec) })));
}

/** Whether a flag was given, once or several times. */
export function isGiven(input: Input, flag: string): boolean {
  return input.text(flag) !== undefined || input.texts(flag).length > 0;
}

async function putOne(
  call: ConnectorCall,
  { name, from }: StatedGroup,
  mode: Mode,
): Promise<Result<ConnectorGroup>> {
  const before = mode === 'create' ? ok(undefined) : await getGroup(call, name);
  if (!before.ok) return before;
  const group = from(before.value?.spec ?? { ...GroupSpec.fromJSON({}), name });
  if (!group.ok) return group;
  const expectedRevision = before.value?.revision ?? 0n;
  return call<ConnectorGroup>(`writing group ${safe(name)}`, (client) => (m, o, done) => {
    return client.putGroup({ group: group.value, expectedRevision }, m, o, done);
  });
}

function getGroup(call: ConnectorCall, name: string): Promise<Result<ConnectorGroup>> {
  return call<ConnectorGroup>('reading the group', (client) => (m, o, done) => {
    return client.getGroup({ name }, m, o, done);
  });
}
