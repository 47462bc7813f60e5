import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { readSecret } from '../../runtime/secret.ts';
import type { PacedCall } from '../outside/paced-calls.ts';
import { askVault, type VaultCodes, type VaultPlace, type VaultRequest } from './vault-http.ts';

/** Who we are to Vault. */
export type VaultAuth =
  | { readonly method: 'token'; readonly tokenPath?: string | undefined }
  | {
      readonly method: 'approle';
      readonly mount?: string | undefined;
      readonly roleIdPath: string;
      readonly secretIdPath: string;
    }
  | {
      readonly method: 'kubernetes';
      readonly mount?: string | undefined;
      readonly role: string;
      readonly jwtPath: string;
    };

const loginSchema = z.object({
  auth: z.object({ client_token: z.string().min(1), lease_duration: z.number().min(0) }),
});

interface Login {
  readonly token: string;
  /** On the monotonic clock; a new login is made from then on. */
  readonly freshUntilMs: number;
}

/** What makes the attempts of a call, and ends each in time. */
export interface VaultRunner {
  run<T>(call: PacedCall<T>): Promise<Result<T>>;
}

/** A call of {@link VaultSession}. */
export type VaultCall = Omit<VaultRequest, 'token' | 'signal'> & {
  readonly operation: string;
  readonly repeatOn?: readonly ErrorCode[];
};

/** Calls to Vault under a token that is got again before it ends, and once when it is refused. */
export class VaultSession {
  readonly #place: VaultPlace;
  readonly #auth: VaultAuth;
  readonly #runner: VaultRunner;
  readonly #clock: Clock;
  readonly #codes: VaultCodes;
  readonly #setting: string;
  #login: Promise<Result<Login>> | undefined;

  constructor(parts: {
    readonly place: VaultPlace;
    readonly auth: VaultAuth;
    readonly runner: VaultRunner;
    readonly clock: Clock;
    readonly codes: VaultCodes;
    /** The section that refusals name, such as `keys.vaultTransit`. */
    readonly setting: string;
  }) {
    this.#place = parts.place;
    this.#auth = parts.auth;
    this.#runner = parts.runner;
    this.#clock = parts.clock;
    this.#codes = parts.codes;
    this.#setting = parts.setting;
  }

  /** The answer's JSON, in the shape that was asked for. */
  call<S extends z.ZodType>(request: VaultCall, shape: S): Promise<Result<z.output<S>>> {
    const { operation, repeatOn, ...rest } = request;
    return this.#runner.run<z.output<S>>({
      operation,
      attempt: async (signal) => {
        const first = await this.#once({ ...rest, signal });
        const answer = this.#isRefusedLogin(first) ? await this.#again({ ...rest, signal }) : first;
        if (!answer.ok) return answer;
        const parsed = shape.safeParse(answer.value);
        if (parsed.success) return ok(parsed.data);
        return fail(this.#codes.fault, `Vault, ${rest.path}: not the answer that was expected`);
      },
      ...(repeatOn === undefined ? {} : { repeatOn }),
    });
  }

  #again(request: VaultRequest): Promise<Result<unknown>> {
    this.#login = undefined;
    return this.#once(request);
  }

  #ask(request: VaultRequest): Promise<Result<unknown>> {
    return askVault(this.#place, request, this.#codes);
  }

  #isRefusedLogin(answer: Result<unknown>): boolean {
    return !answer.ok && answer.error.code === this.#codes.credentials;
  }

  async #once(request: VaultRequest): Promise<Result<unknown>> {
    const login = await this.#fresh(request.signal);
    return login.ok ? this.#ask({ ...request, token: login.value.token }) : login;
  }

  /** One login at a time, whoever asks for it. */
  async #fresh(signal: AbortSignal): Promise<Result<Login>> {
    const known = await this.#login;
    if (known?.ok === true && this.#clock.monotonicMs() < known.value.freshUntilMs) return known;
    this.#login = this.#logIn(signal);
    return this.#login;
  }

  async #logIn(signal: AbortSignal): Promise<Result<Login>> {
    const auth = this.#auth;
    const codes = this.#codes;
    const body = await credentialsOf(auth, { setting: this.#setting, code: codes.settings });
    if (!body.ok) return body;
    if (auth.method === 'token')
      return ok({ token: body.value.token ?? '', freshUntilMs: Infinity });
    const path = `auth/${auth.mount ?? auth.method}/login`;
    const answer = await this.#ask({ method: 'POST', path, body: body.value, signal });
    if (!answer.ok) {
      // Vault answers 400 and 403 to a role or a token that it does not know.
      const { code, message } = answer.error;
      const refused = code === codes.refused || code === codes.permission;
      return refused ? fail(codes.credentials, message, { cause: answer.error }) : answer;
    }
    const parsed = loginSchema.safeParse(answer.value);
    if (!parsed.success) return fail(codes.fault, `Vault, ${path}: no token in the answer`);
    const { client_token: token, lease_duration: seconds } = parsed.data.auth;
    // A new one at two thirds of its life; 0 is one that does not end.
    const lifeMs = seconds === 0 ? Infinity : (seconds * 2000) / 3;
    return ok({ token, freshUntilMs: this.#clock.monotonicMs() + lifeMs });
  }
}

async function credentialsOf(
  auth: VaultAuth,
  { setting, code }: { readonly setting: string; readonly code: ErrorCode },
): Promise<Result<Readonly<Record<string, string>>>> {
  const read = (path: string | undefined, key: string) =>
    readSecret({ path, variable: 'VAULT_TOKEN', setting: `${setting}.auth.${key}`, code });
  if (auth.method === 'token') {
    const token = await read(auth.tokenPath, 'tokenPath');
    return token.ok ? ok({ token: token.value }) : token;
  }
  if (auth.method === 'kubernetes') {
    const jwt = await read(auth.jwtPath, 'jwtPath');
    return jwt.ok ? ok({ role: auth.role, jwt: jwt.value }) : jwt;
  }
  const roleId = await read(auth.roleIdPath, 'roleIdPath');
  if (!roleId.ok) return roleId;
  const secretId = await read(auth.secretIdPath, 'secretIdPath');
  return secretId.ok ? ok({ role_id: roleId.value, secret_id: secretId.value }) : secretId;
}
