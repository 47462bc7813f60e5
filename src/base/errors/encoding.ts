import { defineErrors, type ErrorRow } from './define.ts';

const malformed = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action: 'Have the sender encode it again with a current library; DER, not BER.',
});

const tooLarge = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action: 'Send less at once; the message names the limit.',
});

const pem = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action:
    'Look at the text or the file that the message names: PEM as openssl writes it, with the kind and number of blocks that its place asks for.',
});

/** Refusals of DER and PEM. */
export const encodingErrors = defineErrors({
  DER_TRUNCATED: malformed('An element ends after the bytes that hold it.'),
  DER_TRAILING_BYTES: malformed('Bytes follow where the encoding should end.'),
  DER_LENGTH: malformed('A length is indefinite or not in its shortest form.'),
  DER_TAG: malformed('An element has another tag than its place demands.'),
  DER_VALUE: malformed('The contents of an element are not what its type allows in DER.'),
  DER_TIME: malformed('A time is not a valid UTCTime or GeneralizedTime in the form of RFC 5280.'),
  DER_TOO_DEEP: malformed('Elements are nested deeper than 16 levels.'),
  DER_TOO_LARGE: tooLarge('The encoding is longer than its limit.'),
  PEM_MALFORMED: pem('A PEM block is broken: its lines, its label or its base64.'),
  PEM_TOO_LARGE: tooLarge('The PEM text is longer, or holds more blocks, than its limit.'),
  PEM_LABEL: pem('A PEM block has another label than its place demands.'),
});
