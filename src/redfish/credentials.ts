import { fail, ok, type Result } from '../base/result.ts';
import { readSecret } from '../runtime/secret.ts';

/** Account of a BMC. Never put into a message, an error or a log line. */
export interface BmcCredentials {
  readonly userName: string;
  readonly password: string;
  /**
   * `session` logs in once for each client and ends the session with it; `basic` sends the password
   * with every request, for BMCs whose session service is switched off.
   */
  readonly method: 'session' | 'basic';
}

/** Where the account of a BMC stands: files, else variables of the environment. */
export interface CredentialPlaces {
  readonly userNamePath?: string | undefined;
  readonly passwordPath?: string | undefined;
  /** `SIGNET_BMC_USER` unless told. */
  readonly userNameVariable?: string | undefined;
  /** `SIGNET_BMC_PASSWORD` unless told. */
  readonly passwordVariable?: string | undefined;
  readonly method?: BmcCredentials['method'] | undefined;
  /** What refusals call the two files; the names of the settings unless told. */
  readonly called?: { readonly userName: string; readonly password: string } | undefined;
}

/** What may stand in an account's parts: printable, so that no header or log line is ended by it. */
const PRINTABLE = /^[^\p{Cc}]{1,256}$/u;

/**
 * Reads the account of a BMC, at every collection anew, so that a changed password needs no restart.
 * Fails with REDFISH_SETTINGS; the message names the place, never what stands there.
 */
export async function readBmcCredentials(
  places: CredentialPlaces,
): Promise<Result<BmcCredentials>> {
  const code = 'REDFISH_SETTINGS';
  const userName = await readSecret({
    path: places.userNamePath,
    variable: places.userNameVariable ?? 'SIGNET_BMC_USER',
    setting: places.called?.userName ?? 'userNamePath',
    code,
  });
  if (!userName.ok) return userName;
  const password = await readSecret({
    path: places.passwordPath,
    variable: places.passwordVariable ?? 'SIGNET_BMC_PASSWORD',
    setting: places.called?.password ?? 'passwordPath',
    code,
  });
  if (!password.ok) return password;
  // RFC 7617 §2: the first colon ends the user name.
  if (!PRINTABLE.test(userName.value) || userName.value.includes(':')) {
    return fail(code, 'the user name of a BMC is not 1 to 256 printable characters without colon');
  }
  if (!PRINTABLE.test(password.value)) {
    return fail(code, 'the password of a BMC is not 1 to 256 printable characters');
  }
  const method = places.method ?? 'session';
  return ok({ userName: userName.value, password: password.value, method });
}
