import { defineErrors } from './define.ts';

/** Refusals of selectors, entries and agents. */
export const registryErrors = defineErrors({
  SELECTOR_TYPE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A selector has no type, or a type with a colon.',
    action: 'Write selectors as type:value, such as unix:uid:1000.',
  },
  SELECTOR_VALUE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A selector has no value, or one with bytes that are not text.',
    action: 'Write selectors as type:value, such as unix:uid:1000.',
  },
  SELECTOR_TOO_LONG: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A selector is longer than 4096 bytes.',
    action: 'Shorten the selector.',
  },
  ENTRY_ID: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'An entry ID has other characters than letters, digits, ".", "-", "_", or over 255 bytes.',
    action: 'Choose another entry ID, or leave it out to get one.',
  },
  ENTRY_SPIFFE_ID: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'The SPIFFE ID of an entry is missing, of another trust domain, without a path, in /spire, or in /connector where connectors are served.',
    action:
      'Choose a SPIFFE ID of this trust domain, with a path that starts with neither /spire nor /connector.',
  },
  ENTRY_PARENT_ID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The parent ID of an entry is missing, of another trust domain or without a path.',
    action: 'Name an agent, an alias or a workload of this trust domain as the parent.',
  },
  ENTRY_SELECTORS_EMPTY: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An entry has no selector.',
    action: 'State at least one selector: an entry without one would apply to every process.',
  },
  ENTRY_SELECTORS_TOO_MANY: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An entry has more than 256 selectors.',
    action: 'State fewer selectors; each of them must match.',
  },
  ENTRY_SELECTOR_REPEATED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An entry has the same selector twice.',
    action: 'State each selector once.',
  },
  ENTRY_FEDERATES_WITH: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An entry federates with more than 128 trust domains.',
    action: 'Split the entry.',
  },
  ENTRY_EXPIRY: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The expiry of an entry is negative or too far away to be counted.',
    action: 'State the expiry in Unix seconds; 0 is never.',
  },
  ENTRY_HINT: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A hint is longer than 1024 bytes or not valid text.',
    action: 'Shorten or correct the hint.',
  },
  DNS_NAME_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A DNS name is malformed or repeated.',
    action: 'Correct the DNS name: labels of letters, digits and dashes, at most 253 bytes in all.',
  },
  DNS_NAMES_TOO_MANY: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'There are more than 64 DNS names.',
    action: 'Split the entry, or use a wildcard name.',
  },
  TTL_RANGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A lifetime is negative or beyond 2147483647 seconds.',
    action: 'State the lifetime in seconds; 0 takes the default.',
  },
  PAGE_TOKEN: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The page token was not made by this list.',
    action: 'Take the token from the answer before, unchanged, or start without one.',
  },
  ENTRY_DERIVED: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'The entry is derived from a Kubernetes rule, and cannot be changed or deleted by itself.',
    action: 'Change or delete the rule that "signet entry show" names.',
  },
  ENTRIES_PENDING: {
    status: 'Unavailable',
    retryable: true,
    means:
      "The server has just started and does not know yet what its cluster's rules give an agent.",
    action: 'Wait; if it lasts, see in the log why the Kubernetes API server cannot be read.',
  },
});
