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
});
