import { defineErrors } from './define.ts';

/** Refusals of connectors, their groups and their segments. */
export const connectorErrors = defineErrors({
  CONNECTOR_GROUP_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field of a connector group is not what it may be.',
    action: 'Correct the field that the message names.',
  },
  CONNECTOR_SEGMENT_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field of a connector segment is not what it may be.',
    action: 'Correct the field that the message names.',
  },
  CONNECTOR_SEGMENT_CONFLICT: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'Another segment of the same group claims the same host and ports with the same priority.',
    action: 'Give one of the two another priority, or narrow its hosts or ports.',
  },
});
