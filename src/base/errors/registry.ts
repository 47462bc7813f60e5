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
});
