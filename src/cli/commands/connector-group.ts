import {
  ConnectorGroup,
  GroupSpec,
  type ListGroupsResponse,
} from '../../gen/signet/connector/v1/admin.ts';
import {
  CLEAR_GROUP_FLAG,
  clearedGroup,
  GROUP_FLAGS,
  groupFromFlags,
  parseGroups,
} from '../connector-group-data.ts';
import {
  createThing,
  deleteThing,
  listThings,
  showThing,
  type ThingKind,
  updateThing,
} from '../connector-things.ts';
import { formatGroup, formatGroups } from '../connector-view.ts';

const GROUPS: ThingKind<ConnectorGroup, GroupSpec> = {
  noun: 'group',
  nouns: 'groups',
  arg: 'NAME',
  flags: GROUP_FLAGS,
  clear: CLEAR_GROUP_FLAG,
  blank: (name) => ({ ...GroupSpec.fromJSON({}), name }),
  nameOf: ({ name }) => name,
  cleared: clearedGroup,
  fromFlags: groupFromFlags,
  parse: parseGroups,
  toJson: (group) => ConnectorGroup.toJSON(group),
  format: formatGroup,
  formatAll: formatGroups,
  get: (client, name) => (m, o, done) => client.getGroup({ name }, m, o, done),
  put: (client, group, expectedRevision) => (m, o, done) =>
    client.putGroup({ group, expectedRevision }, m, o, done),
  remove: (client, name) => (m, o, done) => client.deleteGroup({ name }, m, o, done),
  page: async (call, request) => {
    const page = await call<ListGroupsResponse>('listing groups', (client) => (m, o, done) => {
      return client.listGroups(request, m, o, done);
    });
    return page.ok ? { ok: true, value: { ...page.value, items: page.value.groups } } : page;
  },
};

/** `signet connector group create`. */
export const connectorGroupCreate = createThing(GROUPS, {
  about:
    'Connectors enrol into a group: it says who may, by which proofs, and which segments they serve. A group without a proof lets nobody in. Refused where two segments that it would serve claim the same flows.',
  examples: [
    'signet connector group create db --proof provisioning-key --max-instances 4',
    'signet connector group create edge --proof kubernetes-token --zone 1 \\\n      --service-account connectors/edge --require-attested-node true',
    'signet connector group create -f groups.yaml',
  ],
});

/** `signet connector group update`. */
export const connectorGroupUpdate = updateThing(GROUPS, {
  examples: [
    'signet connector group update db --max-instances 8',
    'signet connector group update db --clear zone \\\n      --proof bound-key --proof provisioning-key',
  ],
});

/** `signet connector group show`. */
export const connectorGroupShow = showThing(GROUPS, {
  about: 'What the group demands, and how its connectors stand.',
  examples: ['signet connector group show db', 'signet connector group show db -o json'],
});

/** `signet connector group list`. */
export const connectorGroupList = listThings(GROUPS, {
  about:
    'ACTIVE: connectors that are active, of those that have not ended. THIN: segments that fewer than two healthy connectors serve. CERT: until the first certificate ends.',
  flags: [],
  examples: ['signet connector group list', 'signet connector group list -o json'],
});

/** `signet connector group delete`. */
export const connectorGroupDelete = deleteThing(GROUPS, {
  about: 'Its keys go with it. Refused while connectors are in it that have not ended.',
  examples: ['signet connector group delete db'],
});
