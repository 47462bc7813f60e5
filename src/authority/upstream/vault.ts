import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { encodePem } from '../../der/pem.ts';
import type { VaultCodes, VaultPlace } from '../../keys/vault/vault-http.ts';
import { type VaultAuth, VaultSession } from '../../keys/vault/vault-session.ts';
import { readSecret } from '../../runtime/secret.ts';
import { oneAttempt } from './one-attempt.ts';
import { readPemAnswer, trustOfFile } from './pem-answer.ts';
import type { CertifyOrder, UpstreamAnswer, UpstreamAuthority } from './upstream.ts';

/** The PKI engine of a Vault or OpenBao. */
export interface VaultUpstreamOptions {
  readonly place: Omit<VaultPlace, 'ca'>;
  /** PEM: certificates for Vault's own; those of the system unless given. */
  readonly caPath: string | undefined;
  readonly auth: VaultAuth;
  /** Where the engine is mounted. */
  readonly mount: string;
  /** Issuer by name or id; the engine's default unless given. */
  readonly issuer: string | undefined;
  /** PEM: the roots; what ends the chain of an answer unless given. */
  readonly bundlePath: string | undefined;
  readonly clock: Clock;
}

/** How often the file of roots is read, in milliseconds. */
const POLL_MS = 5000;

const SETTING = 'upstream.vault';

const CODES: VaultCodes = {
  settings: 'UPSTREAM_SETTINGS',
  credentials: 'UPSTREAM_CREDENTIALS',
  permission: 'UPSTREAM_PERMISSION',
  missing: 'UPSTREAM_REFUSED',
  disabled: 'UPSTREAM_REFUSED',
  unsupported: 'UPSTREAM_REFUSED',
  broken: 'UPSTREAM_REFUSED',
  throttled: 'UPSTREAM_THROTTLED',
  sealed: 'UPSTREAM_UNREACHABLE',
  dependency: 'UPSTREAM_UNREACHABLE',
  fault: 'UPSTREAM_UNREACHABLE',
  refused: 'UPSTREAM_REFUSED',
  timeout: 'UPSTREAM_UNREACHABLE',
  unreachable: 'UPSTREAM_UNREACHABLE',
};

const signedSchema = z.object({
  data: z.object({
    certificate: z.string(),
    issuing_ca: z.string().default(''),
    ca_chain: z.array(z.string()).nullish(),
  }),
});

/**
 * The PKI engine of Vault or OpenBao as upstream: it signs our request as that of an intermediate CA
 * (`sign-intermediate`), with the names that the request asks for. JWT keys stay with each server.
 */
export function createVaultUpstream(options: VaultUpstreamOptions): UpstreamAuthority {
  return new VaultUpstream(options);
}

class VaultUpstream implements UpstreamAuthority {
  readonly name = 'vault';
  readonly pollMs = POLL_MS;
  readonly #options: VaultUpstreamOptions;
  #session: VaultSession | undefined;
  #ca: string | undefined;

  constructor(options: VaultUpstreamOptions) {
    this.#options = options;
  }

  async certify({ csr, ttlSeconds }: CertifyOrder): Promise<Result<UpstreamAnswer>> {
    const { mount, issuer, bundlePath } = this.#options;
    const session = await this.#open();
    if (!session.ok) return session;
    const way = issuer === undefined ? 'root' : `issuer/${issuer}`;
    const signed = await session.value.call(
      {
        operation: 'sign-intermediate',
        method: 'POST',
        path: `${mount}/${way}/sign-intermediate`,
        body: {
          csr: encodePem('CERTIFICATE REQUEST', csr),
          // Subject and names are those of the request, which names the trust domain and nothing else.
          use_csr_values: true,
          ttl: `${ttlSeconds}s`,
          format: 'pem',
        },
      },
      signedSchema,
    );
    if (!signed.ok) return withWords(signed);
    const { certificate, issuing_ca, ca_chain } = signed.value.data;
    return readPemAnswer({ certificate, above: [issuing_ca, ...(ca_chain ?? [])] }, bundlePath);
  }

  trusted() {
    return trustOfFile(this.#options.bundlePath);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** One session for all calls, until the file that Vault's own certificate is judged by changes. */
  async #open(): Promise<Result<VaultSession>> {
    const { place, caPath, auth, clock } = this.#options;
    const code = CODES.settings;
    const setting = `${SETTING}.caPath`;
    const ca =
      caPath === undefined
        ? ok(undefined)
        : await readSecret({ path: caPath, variable: '', setting, code });
    if (!ca.ok) return ca;
    if (this.#session === undefined || this.#ca !== ca.value) {
      this.#ca = ca.value;
      this.#session = new VaultSession({
        place: { ...place, ca: ca.value },
        auth,
        runner: {
          run: ({ operation, attempt }) => oneAttempt(clock, `Vault, ${operation}`, attempt),
        },
        clock,
        codes: CODES,
        setting: SETTING,
      });
    }
    return ok(this.#session);
  }
}

/** Vault says in words what its engine objects to. */
function withWords({ error }: Failed): Failed {
  const { code, message, cause } = error;
  if (code !== 'UPSTREAM_REFUSED' || typeof cause !== 'string') return { ok: false, error };
  return fail(code, `${message} ${JSON.stringify(cause)}`, { cause });
}
