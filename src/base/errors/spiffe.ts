import { defineErrors, type ErrorRow } from './define.ts';

const malformedId = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action:
    'Correct the SPIFFE ID: spiffe://trust-domain/path, path of letters, digits, ".", "-", "_".',
});

const malformedJson = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action: 'Have the sender write the JSON document again; the message says where it goes wrong.',
});

const unusableJwk = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action: 'Have the publisher of the key set correct this key; the others still count.',
});

const refusedToken = (means: string, action: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action,
});

const refusedSvid = (means: string): ErrorRow => ({
  status: 'Unauthenticated',
  retryable: false,
  means,
  action:
    'Have the peer take a new X.509-SVID from its issuer; if it persists, correct the issuer.',
});

const FOREIGN_ISSUER = 'Have the issuer of the token correct it, or refuse its bearer.';

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

  JSON_TOO_LARGE: malformedJson('The JSON document is longer than its limit.'),
  JSON_TOO_DEEP: malformedJson('The JSON document is nested deeper than its limit.'),
  JSON_ENCODING: malformedJson('The JSON document is not UTF-8, or has half of a surrogate pair.'),
  JSON_SYNTAX: malformedJson('The JSON document breaks the grammar, or has another type.'),
  JSON_DUPLICATE_KEY: malformedJson('An object of the JSON document has a key twice.'),
  JSON_NUMBER: malformedJson('A number of the JSON document is out of range.'),

  JWK_KEY_TYPE: unusableJwk('The key has another type or curve than EC P-256/384/521 or RSA.'),
  JWK_MEMBER: unusableJwk('A member of the key is missing, malformed or contradicts another.'),
  JWK_PRIVATE: unusableJwk('The key has private members.'),
  JWK_ALGORITHM: unusableJwk('The algorithm that the key names is unknown or does not fit it.'),
  JWK_USE: unusableJwk('The use or the operations of the key are not those asked for.'),

  BUNDLE_MALFORMED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A trust bundle is not a document of the form asked for.',
    action: 'Fetch the bundle again from its source and check the format that is configured.',
  },
  BUNDLE_DUPLICATE_KEY_ID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'Two different keys of a trust bundle have the same key id.',
    action: 'Have the publisher of the bundle give every key its own id.',
  },

  JWT_SVID_TOO_LARGE: refusedToken('The JWT-SVID is longer than 16384 bytes.', FOREIGN_ISSUER),
  JWT_SVID_MALFORMED: refusedToken(
    'The token is not a JWT in JWS compact form, or a claim has the wrong type.',
    FOREIGN_ISSUER,
  ),
  JWT_SVID_ALGORITHM: refusedToken(
    'The token names another algorithm than RS, ES or PS with 256, 384 or 512.',
    FOREIGN_ISSUER,
  ),
  JWT_SVID_HEADER: refusedToken(
    'The token header has another typ than JWT or JOSE, critical headers, or carries a key.',
    FOREIGN_ISSUER,
  ),
  JWT_SVID_SUBJECT: refusedToken(
    'The subject of the token is not the SPIFFE ID of a workload.',
    FOREIGN_ISSUER,
  ),
  JWT_SVID_TRUST_DOMAIN: refusedToken(
    'No bundle is known for the trust domain of the token.',
    'Federate with that trust domain, or refuse the bearer.',
  ),
  JWT_SVID_KEY: refusedToken(
    'No one key of the bundle has the id of the token and fits its algorithm.',
    'Check that the bundle is fresh; the key may have been revoked or not yet arrived.',
  ),
  JWT_SVID_SIGNATURE: refusedToken(
    'The signature of the token does not verify.',
    'Refuse the bearer: the token was altered or signed by somebody else.',
  ),
  JWT_SVID_EXPIRED: refusedToken(
    'The token has expired.',
    'Have the caller fetch a new token; check the clocks where a fresh one is refused.',
  ),
  JWT_SVID_NOT_YET_VALID: refusedToken(
    'The token is not valid yet.',
    'Check the clocks of the issuer and of this machine.',
  ),
  JWT_SVID_LIFETIME: refusedToken(
    'The token expires more than ten years from now.',
    FOREIGN_ISSUER,
  ),
  JWT_SVID_AUDIENCE: refusedToken(
    'The token is for another audience.',
    'Have the caller ask for a token with the audience that the message names.',
  ),
  AUDIENCE_EMPTY: refusedToken(
    'A JWT-SVID was asked for, or one was to be validated, without an audience or with an empty one.',
    'Name at least one audience.',
  ),
  AUDIENCE_TOO_MANY: refusedToken(
    'A JWT-SVID was asked for with more than 32 audiences.',
    'Ask for several JWT-SVIDs.',
  ),
  AUDIENCE_INVALID: refusedToken(
    'The audiences are longer than 8192 bytes together, or one holds a NUL or is not Unicode text.',
    'Correct the audiences.',
  ),

  X509_SVID_URI_SAN: refusedSvid('A certificate has no URI name, or more than one.'),
  X509_SVID_ID: refusedSvid('The URI name of a certificate is not the SPIFFE ID of a workload.'),
  X509_SVID_CA: refusedSvid('A signing certificate is used as the leaf.'),
  X509_SVID_KEY_USAGE: refusedSvid(
    'Key usage of a leaf is missing, not critical, lacks digitalSignature or allows signing certificates or CRLs.',
  ),
  X509_SVID_TRUST_DOMAIN: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'No bundle is known for the trust domain of the certificate.',
    action: 'Federate with that trust domain, or refuse the peer.',
  },
  X509_SVID_CHAIN: refusedSvid('The chain is empty, too long or out of order.'),
  X509_SVID_SIGNER_ID: refusedSvid('A signing certificate has a SPIFFE ID with a path.'),
  X509_SVID_KEY: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The private key is not PKCS#8, or is not the key of the certificate.',
    action: 'Fetch the SVID again; certificate and key must come from the same response.',
  },
  X509_CA_PROFILE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A signing certificate breaks the profile of X509-SVID.',
    action: 'Have the upstream authority issue a CA certificate as the message says.',
  },
});
