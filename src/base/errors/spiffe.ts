import { defineErrors, type ErrorRow } from './define.ts';

const malformedId = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action:
    'Correct the SPIFFE ID: spiffe://trust-domain/path, path of letters, digits, ".", "-", "_".',
});

/** Refusals of SPIFFE IDs, SVIDs and bundles. */
export const spiffeErrors = defineErrors({
  TRUST_DOMAIN_EMPTY: malformedId('The trust domain name is empty.'),
  TRUST_DOMAIN_TOO_LONG: malformedId('The trust domain name is longer than 255 bytes.'),
  TRUST_DOMAIN_CHARACTER: malformedId(
    'The trust domain name has a character outside a-z 0-9 . _ -',
  ),
  SPIFFE_ID_EMPTY: malformedId('The SPIFFE ID is empty.'),
  SPIFFE_ID_TOO_LONG: malformedId('The SPIFFE ID is longer than 2048 bytes.'),
  SPIFFE_ID_SCHEME: malformedId('The SPIFFE ID does not start with spiffe://'),
  SPIFFE_ID_PATH_NO_SLASH: malformedId('The path of the SPIFFE ID does not start with a slash.'),
  SPIFFE_ID_TRAILING_SLASH: malformedId('The SPIFFE ID ends with a slash.'),
  SPIFFE_ID_EMPTY_SEGMENT: malformedId('The path of the SPIFFE ID has an empty segment.'),
  SPIFFE_ID_DOT_SEGMENT: malformedId('The path of the SPIFFE ID has a "." or ".." segment.'),
  SPIFFE_ID_PATH_CHARACTER: malformedId(
    'The path of the SPIFFE ID has a character that is not allowed.',
  ),
});
