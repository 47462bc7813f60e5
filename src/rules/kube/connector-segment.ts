import { fail, ok, type Result } from '../../base/result.ts';
import { checkSegmentDraft } from '../connector/checks.ts';
import { type ConnectorObjectName, connectorOriginOf } from '../connector/permission.ts';
import {
  type ConnectorSegmentDraft,
  type PortRange,
  SEGMENT_CHECKS,
  type SegmentProtocol,
} from '../connector/segment.ts';
import { FieldReader, type JsonObject } from './fields.ts';

/** A segment as an object states it: its hosts are not known before its services are. */
export interface StatedSegment {
  /** With the hosts that it names; those of its services are to be added. */
  readonly draft: ConnectorSegmentDraft;
  /** Names of services of its namespace. */
  readonly services: readonly string[];
}

/** Most services of one segment: each has several names and addresses. */
const MAX_SERVICES = 8;
/** Stands for the hosts of services while nobody knows them (RFC 2606 §2). */
const PLACEHOLDER = 'service.invalid';

/** What the segment of an object is called. */
export function segmentIdOf({ cluster, namespace, name }: ConnectorObjectName): string {
  return `${cluster}/${namespace}/${name}`;
}

/**
 * The segment that a ConnectorSegment of signet.dev/v1alpha1 states. Fails with RULE_SPEC and
 * CONNECTOR_SEGMENT_INVALID.
 */
export function parseConnectorSegment(
  object: ConnectorObjectName,
  spec: JsonObject,
): Result<StatedSegment> {
  const fields = new FieldReader(spec);
  const upstream = fields.object('upstreamTLS');
  const check = fields.object('healthCheck');
  const draft = {
    id: segmentIdOf(object),
    hosts: fields.texts('hosts'),
    protocol: readProtocol(fields),
    ports: fields.objects('ports').map(readPorts),
    clients: fields.texts('clients'),
    upstreamTls: upstream !== undefined,
    upstreamId: upstream?.required('spiffeID') ?? '',
    healthCheck: readCheck(check),
    healthCheckIntervalSeconds: check?.seconds('interval') ?? 0,
    healthCheckPath: check?.text('path') ?? '',
    draining: fields.flag('draining'),
    priority: fields.count('priority'),
    weight: fields.count('weight'),
    labels: Object.fromEntries(fields.textMap('labels')),
    groups: fields.texts('groups'),
    origin: connectorOriginOf(object),
  };
  const services = fields.objects('services').map((service) => service.required('name'));
  if (services.length > MAX_SERVICES) fields.refuse('services', `has more than ${MAX_SERVICES}`);
  const read = fields.answer({ draft, services });
  return read.ok ? checked(read.value) : read;
}

function checked({ draft, services }: StatedSegment): Result<StatedSegment> {
  const { hosts } = draft;
  if (hosts.length > 0) {
    const checkedDraft = checkSegmentDraft(draft);
    return checkedDraft.ok ? ok({ draft: checkedDraft.value, services }) : checkedDraft;
  }
  if (services.length === 0) {
    return fail('RULE_SPEC', 'spec names neither hosts nor services: nothing would be reachable');
  }
  const rest = checkSegmentDraft({ ...draft, hosts: [PLACEHOLDER] });
  return rest.ok ? ok({ draft: { ...rest.value, hosts }, services }) : rest;
}

function readProtocol(fields: FieldReader): SegmentProtocol {
  const text = fields.text('protocol');
  if (text === '' || text === 'TCP') return 'tcp';
  if (text !== 'UDP') fields.refuse('protocol', 'is neither TCP nor UDP');
  return 'udp';
}

/** As a NetworkPolicy has them: one port, or all up to `endPort`. */
function readPorts(ports: FieldReader): PortRange {
  const first = ports.count('port');
  return { first, last: ports.count('endPort') || first };
}

function readCheck(check: FieldReader | undefined): ConnectorSegmentDraft['healthCheck'] {
  const text = check?.required('type') ?? 'none';
  const found = SEGMENT_CHECKS.find((one) => one === text);
  if (found === undefined) check?.refuse('type', `is none of ${SEGMENT_CHECKS.join(', ')}`);
  return found ?? 'none';
}
