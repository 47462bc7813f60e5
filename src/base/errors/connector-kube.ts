import { defineErrors } from './define.ts';

/** Refusals of objects of Kubernetes that state connector groups and segments. */
export const connectorKubeErrors = defineErrors({
  CONNECTOR_GROUP_NOT_ALLOWED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The objects of a namespace may not make a connector group of that name.',
    action:
      'Name the namespace and the group in kubernetes.clusters[].connectors.groups of server.yaml, or make the group by "signet connector group".',
  },
  CONNECTOR_GROUP_CLAIMED: {
    status: 'AlreadyExists',
    retryable: true,
    means:
      'A ConnectorGroup has the name of a group that somebody else made: an operator, or another object. A name is one in the trust domain.',
    action: 'Give the object another name, or delete the group that the message names.',
  },
  CONNECTOR_SEGMENT_CLAIMED: {
    status: 'AlreadyExists',
    retryable: true,
    means: 'An operator made a segment under the ID that a ConnectorSegment has.',
    action: 'Delete that segment, or give the object another name.',
  },
  CONNECTOR_SEGMENT_GROUP: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'A ConnectorSegment is of no group: none that it names is there, and none selects it.',
    action: 'Make the group, or name one that is there ("signet connector group list").',
  },
  CONNECTOR_SEGMENT_NOT_PERMITTED: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'A connector group does not take segments from the namespace of the object, or not with that host.',
    action: 'Have who owns the group name it in segmentNamespaces or segmentHosts.',
  },
  CONNECTOR_SERVICE_UNKNOWN: {
    status: 'FailedPrecondition',
    retryable: true,
    means:
      'A ConnectorSegment names a Service that is not in its namespace, or is an ExternalName.',
    action: 'Make the Service, or state hosts in its place.',
  },
});
