import { ok, type Result } from '../base/result.ts';
import { GroupSpec, type ServiceAccount } from '../gen/signet/connector/v1/admin.ts';
import { ASSURANCE_BINDINGS } from '../rules/assurance.ts';
import { CONNECTOR_PROOFS } from '../rules/connector/group.ts';
import {
  countField,
  type FieldSetter,
  flagField,
  invalid,
  isObject,
  isUint32,
  labelsField,
  listField,
  parseThings,
  type Raw,
  secondsField,
  setFields,
  textField,
  textsField,
} from './connector-fields.ts';
import { clearFlag, labelFlags, numberFlag } from './connector-flags.ts';
import { booleanFlag, flagError, wholeSecondsFlag } from './flags.ts';
import type { FlagSpec, Input } from './spec.ts';

/** Lists of a group, by the flags that give them. */
const LISTS = {
  select: 'segmentSelector',
  proof: 'proofs',
  'service-account': 'serviceAccounts',
  'spiffe-id': 'spiffeIds',
  zone: 'zones',
  'segment-namespace': 'segmentNamespaces',
  'segment-host': 'segmentHosts',
} as const;

/** Flags that describe a group. */
export const GROUP_FLAGS: readonly FlagSpec[] = [
  {
    name: 'proof',
    value: 'name',
    repeat: true,
    choices: CONNECTOR_PROOFS,
    help: 'how connectors may prove who they are',
  },
  {
    name: 'service-account',
    value: 'account',
    repeat: true,
    help: 'whose pods may enrol by token: namespace/name, or cluster/namespace/name',
  },
  {
    name: 'spiffe-id',
    value: 'id',
    repeat: true,
    help: 'who may enrol by X.509-SVID: an ID, or "…/*" for all below one',
  },
  { name: 'min-instances', value: 'count', help: 'how many connectors there should be' },
  { name: 'max-instances', value: 'count', help: 'how many there may be; 0 is no limit' },
  {
    name: 'select',
    value: 'label=value',
    repeat: true,
    help: 'label of segments; those with all of them belong to the group',
  },
  {
    name: 'svid-ttl',
    value: 'duration',
    help: 'life of its SVIDs; the server decides unless told',
  },
  { name: 'offline', value: 'duration', help: 'how long a connector may serve without a session' },
  {
    name: 'forget-after',
    value: 'duration',
    help: 'how long a connector that ended is remembered',
  },
  { name: 'zone', value: 'zone', repeat: true, help: 'zone that the node has to be in' },
  {
    name: 'assurance',
    value: 'binding',
    choices: ['none', ...ASSURANCE_BINDINGS],
    help: "the weakest binding of the node's attestation that will do",
  },
  {
    name: 'require-attested-node',
    value: 'true|false',
    choices: ['true', 'false'],
    help: "whether the pod's node has to have an attested agent",
  },
  {
    name: 'segment-namespace',
    value: 'namespace',
    repeat: true,
    help: 'namespace, or cluster/namespace, whose objects may define segments of the group',
  },
  { name: 'segment-host', value: 'host', repeat: true, help: 'host that such segments may name' },
  {
    name: 'update-window',
    value: 'window',
    help: 'when upgrades may be, such as "Sat 02:00-06:00 UTC"',
  },
  {
    name: 'max-unavailable',
    value: 'count',
    help: 'how many may be out at once in an upgrade; all unless told',
  },
];

/** Empties lists of a group. */
export const CLEAR_GROUP_FLAG = clearFlag([...Object.keys(LISTS), 'update-window']);

const SETTERS: Readonly<Record<string, FieldSetter<GroupSpec>>> = {
  name: textField((spec, value) => {
    spec.name = value;
  }),
  minInstances: countField((spec, value) => {
    spec.minInstances = value;
  }),
  maxInstances: countField((spec, value) => {
    spec.maxInstances = value;
  }),
  segmentSelector: labelsField((spec, value) => {
    spec.segmentSelector = value;
  }),
  svidTtlSeconds: secondsField((spec, value) => {
    spec.svidTtlSeconds = value;
  }),
  offlineSeconds: secondsField((spec, value) => {
    spec.offlineSeconds = value;
  }),
  forgetAfterSeconds: secondsField((spec, value) => {
    spec.forgetAfterSeconds = value;
  }),
  proofs: textsField((spec, value) => {
    spec.proofs = value;
  }),
  serviceAccounts: listField(readAccount, 'namespace/name', (spec, value) => {
    spec.serviceAccounts = value;
  }),
  spiffeIds: textsField((spec, value) => {
    spec.spiffeIds = value;
  }),
  zones: listField(
    (item) => (isUint32(item) ? item : undefined),
    'numbers',
    (spec, value) => {
      spec.zones = value;
    },
  ),
  assurance: textField((spec, value) => {
    spec.assurance = value;
  }),
  requireAttestedNode: flagField((spec, value) => {
    spec.requireAttestedNode = value;
  }),
  segmentNamespaces: textsField((spec, value) => {
    spec.segmentNamespaces = value;
  }),
  segmentHosts: textsField((spec, value) => {
    spec.segmentHosts = value;
  }),
  updateWindow: textField((spec, value) => {
    spec.updateWindow = value;
  }),
  maxUnavailable: countField((spec, value) => {
    spec.maxUnavailable = value;
  }),
};

/**
 * Reads groups from a file: `{"groups": [...]}` or one by itself, in JSON or YAML; also as `-o json` prints
 * them. Fails with CLI_DATA_INVALID.
 */
export function parseGroups(bytes: Uint8Array): Result<readonly GroupSpec[]> {
  const things = parseThings(bytes, 'groups');
  if (!things.ok) return things;
  const groups: GroupSpec[] = [];
  for (const [i, thing] of things.value.entries()) {
    // What was printed has the group in "spec", beside what the server says of it.
    const value = isObject(thing) && Object.hasOwn(thing, 'spec') ? thing.spec : thing;
    const read = setFields(GroupSpec.fromJSON({}), value, SETTERS);
    if (!read.ok) return invalid(`groups[${i}]: ${read.error.message}`);
    groups.push(read.value);
  }
  return ok(groups);
}

/** A group whose lists that these flags give are empty. Fails with CLI_USAGE. */
export function clearedGroup(before: GroupSpec, flags: readonly string[]): Result<GroupSpec> {
  const spec: GroupSpec = { ...before };
  for (const name of flags) {
    if (name === 'update-window') spec.updateWindow = '';
    else if (name === 'select') spec.segmentSelector = {};
    else if (Object.hasOwn(LISTS, name)) {
      // hasOwn has just said that it is one of them.
      spec[LISTS[name as Exclude<keyof typeof LISTS, 'select'>]] = [];
    } else return flagError('clear', `there is no such list; ${Object.keys(LISTS).join(', ')}`);
  }
  return ok(spec);
}

/** A group with what the flags say put in place of what it has. Fails with CLI_USAGE. */
export function groupFromFlags(before: GroupSpec, input: Input): Result<GroupSpec> {
  const spec: GroupSpec = { ...before };
  const labels = labelFlags(input, 'select');
  if (!labels.ok) return labels;
  if (labels.value !== undefined) spec.segmentSelector = labels.value;
  const lists = setLists(spec, input);
  if (!lists.ok) return lists;
  const attested = booleanFlag(input, 'require-attested-node');
  if (attested !== undefined) spec.requireAttestedNode = attested;
  const assurance = input.text('assurance');
  if (assurance !== undefined) spec.assurance = assurance === 'none' ? '' : assurance;
  spec.updateWindow = input.text('update-window') ?? spec.updateWindow;
  const numbers = setNumbers(spec, input);
  return numbers.ok ? ok(spec) : numbers;
}

function setLists(spec: GroupSpec, input: Input): Result<void> {
  const proofs = input.texts('proof');
  if (proofs.length > 0) spec.proofs = [...proofs];
  const ids = input.texts('spiffe-id');
  if (ids.length > 0) spec.spiffeIds = [...ids];
  const namespaces = input.texts('segment-namespace');
  if (namespaces.length > 0) spec.segmentNamespaces = [...namespaces];
  const hosts = input.texts('segment-host');
  if (hosts.length > 0) spec.segmentHosts = [...hosts];
  const accounts = input.texts('service-account').map(readAccount);
  if (accounts.includes(undefined)) {
    return flagError('service-account', 'write namespace/name, or cluster/namespace/name');
  }
  if (accounts.length > 0) spec.serviceAccounts = accounts.filter((one) => one !== undefined);
  const zones = input.texts('zone');
  if (!zones.every((zone) => /^\d{1,9}$/.test(zone))) return flagError('zone', 'must be a number');
  if (zones.length > 0) spec.zones = zones.map(Number);
  return ok(undefined);
}

function setNumbers(spec: GroupSpec, input: Input): Result<void> {
  const counts = [
    ['min-instances', 'minInstances'],
    ['max-instances', 'maxInstances'],
    ['max-unavailable', 'maxUnavailable'],
  ] as const;
  for (const [flag, field] of counts) {
    const count = numberFlag(input, flag);
    if (!count.ok) return count;
    spec[field] = count.value ?? spec[field];
  }
  const times = [
    ['svid-ttl', 'svidTtlSeconds'],
    ['offline', 'offlineSeconds'],
    ['forget-after', 'forgetAfterSeconds'],
  ] as const;
  for (const [flag, field] of times) {
    const seconds = wholeSecondsFlag(input, flag);
    if (!seconds.ok) return seconds;
    spec[field] = seconds.value ?? spec[field];
  }
  return ok(undefined);
}

/** `namespace/name`, `cluster/namespace/name`, or the same as an object. */
function readAccount(item: Raw): ServiceAccount | undefined {
  if (isObject(item)) {
    const { cluster = '', namespace, name, ...rest } = item;
    if (Object.keys(rest).length > 0) return undefined;
    if (typeof cluster !== 'string') return undefined;
    if (typeof namespace !== 'string' || typeof name !== 'string') return undefined;
    return { cluster, namespace, name };
  }
  if (typeof item !== 'string') return undefined;
  const parts = item.split('/');
  if (parts.length < 2 || parts.length > 3 || parts.includes('')) return undefined;
  const [name = '', namespace = '', cluster = ''] = parts.reverse();
  return { cluster, namespace, name };
}
