import { defineErrors, type ErrorRow } from './define.ts';

const malformed = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action: 'Have the certificate or request made again by a tool that follows RFC 5280.',
});

const key = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action:
    'Make a new key: ECDSA P-256 or P-384, or RSA with 2048, 3072 or 4096 bits, exponent 65537.',
});

const path = (means: string, action: string): ErrorRow => ({
  status: 'Unauthenticated',
  retryable: false,
  means,
  action,
});

const REISSUE =
  'Have the certificate that the message names issued again by a conforming authority.';

/** Refusals of certificates, requests, keys and paths. */
export const x509Errors = defineErrors({
  PUBLIC_KEY_PARAMETERS: key('The parameters of a public key are not those of its algorithm.'),
  PUBLIC_KEY_POINT: key('The point of an EC key is not in uncompressed form, or is infinity.'),
  PUBLIC_KEY_INVALID: key(
    'A public key is not valid, for example a point that is not on its curve.',
  ),
  KEY_ALGORITHM: key('The algorithm or curve of a public key is not one that may be used here.'),
  KEY_RSA_SIZE: key('An RSA modulus does not have an allowed length.'),
  KEY_RSA_EXPONENT: key('An RSA public exponent is even, too small or too large.'),
  KEY_RSA_WEAK: key('An RSA modulus is even or has a factor below 1,000.'),
  KEY_RSA_ROCA: key('An RSA modulus comes from the flawed generator of CVE-2017-15361 (ROCA).'),
  KEY_RSA_CLOSE_FACTORS: key('The two factors of an RSA modulus are so close that they are found.'),
  KEY_BLOCKED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'Nothing is issued for this key: it is on the list of blocked keys, or published.',
    action:
      'Make a new key. Who uses this one may not be alone: see svid.blockedKeys, and what was issued for it.',
  },
  KEY_BLOCKLIST: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The list of blocked keys is malformed or too long.',
    action: 'Correct the line that the message names: one SHA-256 in hex, then # and a comment.',
  },

  SIGNATURE_ALGORITHM: malformed('A signature algorithm is not one that Signet knows.'),
  SIGNATURE_ALGORITHM_WEAK: malformed('A signature uses MD5, SHA-1 or another broken hash.'),
  SIGNATURE_ALGORITHM_KEY: malformed('A signature algorithm does not fit the key it is used with.'),
  SIGNATURE_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A signature does not verify under the key it should be made with.',
    action: 'Check that the request or certificate was not changed and is signed by the right key.',
  },

  CERTIFICATE_VERSION: malformed(
    'A certificate is not of version 3, or a request not of version 1.',
  ),
  CERTIFICATE_SERIAL: malformed('A serial number is not positive or is longer than 20 octets.'),
  CERTIFICATE_ALGORITHM_MISMATCH: malformed(
    'The signature algorithms inside and outside the signed part of a certificate differ.',
  ),
  CERTIFICATE_VALIDITY: malformed('A certificate ends before it begins.'),
  CERTIFICATE_EXTENSION: malformed('An extension is malformed, or not allowed to be as it is.'),
  CERTIFICATE_EXTENSION_TWICE: malformed('A certificate has an extension twice.'),
  CERTIFICATE_NAME: malformed('A name in a certificate is malformed.'),
  CERTIFICATE_NONE: malformed('There is no certificate where one is needed.'),
  CERTIFICATE_TOO_MANY: malformed(
    'There are more certificates than allowed; the message says how many.',
  ),

  PATH_EMPTY: path('No certificate was presented.', 'Present the leaf and its intermediates.'),
  PATH_NOT_FOUND: path(
    'No path leads from the certificate to a trusted root.',
    'Check that the peer sends its intermediates and that the trust bundle is current.',
  ),
  PATH_TOO_COSTLY: path(
    'Searching a path took more steps than allowed.',
    'Present only the leaf and the intermediates that lead to the root.',
  ),
  PATH_NOT_YET_VALID: path(
    'A certificate of the path is not valid yet.',
    'Compare the clocks of both machines; the message names both times.',
  ),
  PATH_EXPIRED: path(
    'A certificate of the path has expired.',
    'Renew the certificate; compare the clocks of both machines if it is new.',
  ),
  PATH_SIGNATURE: path(
    'A signature in the path does not verify.',
    'Check that issuer and root are the ones that signed; a root may have been replaced.',
  ),
  PATH_SIGNATURE_WEAK: path('A signature in the path uses an algorithm that is refused.', REISSUE),
  PATH_KEY: path('A key in the path is too weak or of a kind that is refused.', REISSUE),
  PATH_NOT_CA: path('An issuer in the path is not a CA.', REISSUE),
  PATH_KEY_USAGE: path('An issuer in the path may not sign certificates.', REISSUE),
  PATH_LENGTH: path(
    'The path has more intermediates than a constraint in it, or the limit, allows.',
    'Shorten the chain, or have the constraining CA issued with a longer path length.',
  ),
  PATH_NAME_CONSTRAINTS: path(
    'A name is outside what an authority in the path may sign.',
    'Check the name constraints of the authority that the message names.',
  ),
  PATH_NAME_CONSTRAINTS_UNREADABLE: path(
    'Name constraints in the path are malformed or of a kind that cannot be judged.',
    REISSUE,
  ),
  PATH_CRITICAL_EXTENSION: path('A critical extension in the path is not understood.', REISSUE),
  PATH_EXTENSION: path('An extension in the path breaks a rule of RFC 5280.', REISSUE),
  PATH_REVOKED: path(
    'A certificate of the path was revoked.',
    'Let the peer get another SVID; if it should have one already, find out who else has its key.',
  ),
  PATH_REVOCATION_UNKNOWN: path(
    'No CRL that is in force says whether a certificate of the path was revoked.',
    'Check that the server publishes its CRL (crl.enabled) and that the agent can reach it.',
  ),
  CRL_MALFORMED: malformed('A CRL breaks a rule of RFC 5280, section 5.'),
  CRL_CRITICAL_EXTENSION: malformed('A critical extension in a CRL is not understood.'),
  CRL_SCOPE: malformed('A CRL is about some reasons or attribute certificates only.'),
  CRL_UNTRUSTED: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'A CRL is signed by nobody who may sign it for the trust domain.',
    action:
      'Check that the trust bundle is current; a CRL that says what others issued needs a signer made by a root.',
  },
  PATH_EXTENDED_KEY_USAGE: path(
    'The path does not allow the extended key usage demanded.',
    REISSUE,
  ),
});
