import { type ErrorCode, SignetError } from '../../base/errors.ts';
import { fail, type Result } from '../../base/result.ts';

/** Names that services of AWS give a refusal of who we are. */
export const AWS_CREDENTIAL_FAULTS: readonly string[] = [
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'IncompleteSignatureException',
  'MissingAuthenticationTokenException',
  'ExpiredTokenException',
  'ExpiredToken',
  'CredentialsProviderError',
  'TokenProviderError',
];

/** Names that services of AWS give a refusal of too many calls. */
export const AWS_THROTTLE_FAULTS: readonly string[] = [
  'ThrottlingException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
];

/**
 * Names that KMS gives its refusals. Not every one has a class in the SDK (ThrottlingException and
 * AccessDeniedException have none), so all are told apart by name.
 */
const CODES: Readonly<Record<string, ErrorCode>> = {
  AccessDeniedException: 'KEY_PERMISSION',
  KMSInternalException: 'KEY_MANAGER_FAULT',
  DependencyTimeoutException: 'KEY_MANAGER_DEPENDENCY',
  KeyUnavailableException: 'KEY_UNAVAILABLE',
  DisabledException: 'KEY_DISABLED',
  // For a signature: the key waits for its deletion.
  KMSInvalidStateException: 'KEY_DELETED',
  NotFoundException: 'KEY_DELETED',
  // For what a wrapping key is to open: another context, another key, or changed.
  InvalidCiphertextException: 'KEY_SEAL_BROKEN',
  IncorrectKeyException: 'KEY_SEAL_BROKEN',
  LimitExceededException: 'KEY_MANAGER_LIMIT',
  InvalidKeyUsageException: 'KEY_SIGNING_UNSUPPORTED',
  UnsupportedOperationException: 'KEY_SIGNING_UNSUPPORTED',
  AbortError: 'KEY_MANAGER_TIMEOUT',
  TimeoutError: 'KEY_MANAGER_TIMEOUT',
};

/** The part of what the SDK throws that tells what happened. */
interface Thrown {
  readonly name?: unknown;
  /** Of the operating system, such as ECONNRESET. */
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** The refusal that an error of the SDK stands for; the SDK's text stays in the log. */
export function kmsFault(thrown: unknown, operation: string): Result<never> {
  if (thrown instanceof SignetError) return { ok: false, error: thrown };
  const code = kmsFaultCode(thrown);
  return fail(code, `AWS KMS, ${operation}: ${nameOf(thrown)}`, { cause: thrown });
}

function kmsFaultCode(thrown: unknown): ErrorCode {
  // The SDK calls a connection that broke off a TimeoutError too.
  if (isThrown(thrown) && (thrown.code === 'ECONNRESET' || thrown.code === 'EPIPE')) {
    return 'KEY_MANAGER_UNREACHABLE';
  }
  const name = nameOf(thrown);
  if (AWS_THROTTLE_FAULTS.includes(name)) return 'KEY_MANAGER_THROTTLED';
  if (AWS_CREDENTIAL_FAULTS.includes(name)) return 'KEY_MANAGER_CREDENTIALS';
  const known = CODES[name];
  if (known !== undefined) return known;
  const status = statusOf(thrown);
  // Without an answer it was the way there: refused, reset, no such name, no trust.
  if (status === undefined) return 'KEY_MANAGER_UNREACHABLE';
  if (status === 429) return 'KEY_MANAGER_THROTTLED';
  if (status === 401 || status === 403) return 'KEY_PERMISSION';
  return status >= 500 ? 'KEY_MANAGER_FAULT' : 'KEY_MANAGER_REFUSED';
}

function nameOf(thrown: unknown): string {
  if (!isThrown(thrown)) return 'unknown error';
  // Without a name of its own, what the operating system calls it says more, such as ECONNREFUSED.
  const { name, code } = thrown;
  if (name === 'Error' && typeof code === 'string') return code;
  return typeof name === 'string' ? name : 'unknown error';
}

function statusOf(thrown: unknown): number | undefined {
  return isThrown(thrown) ? thrown.$metadata?.httpStatusCode : undefined;
}

function isThrown(thrown: unknown): thrown is Thrown {
  return typeof thrown === 'object' && thrown !== null;
}
