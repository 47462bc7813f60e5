import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import { onlyLinted } from '../lint/linted-key.ts';
import type { AuthoritySource, JwtAuthority, X509Authority } from './authority.ts';
import { keysOf } from './authority-record.ts';
import type { JournalEntry } from './journal.ts';
import { entryCertificate, entryChain } from './kinds.ts';

/** What the signers stand on. */
export interface SignersOptions {
  readonly keys: KeyManager;
  readonly jwtKeys?: KeyManager | undefined;
  readonly clock: Clock;
}

/** Who signs now: the active authority of each kind, as the journal last named it. */
export class Signers implements AuthoritySource {
  readonly #options: SignersOptions;
  readonly #listeners = new Set<() => void>();
  #x509: X509Authority | undefined;
  #jwt: JwtAuthority | undefined;

  constructor(options: SignersOptions) {
    this.#options = options;
  }

  currentX509(): Result<X509Authority> {
    return this.#alive(this.#x509, (this.#x509?.notAfterMs ?? 0) / 1000, 'X.509');
  }

  currentJwt(): Result<JwtAuthority> {
    return this.#alive(this.#jwt, this.#jwt?.expiresAtSeconds ?? 0, 'JWT');
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes what the journal calls active the one that signs, and tells who listens. */
  adopt(entries: readonly JournalEntry[]): Result<void> {
    const before = [this.#x509?.authorityId, this.#jwt?.keyId];
    for (const entry of entries.filter(({ state }) => state === 'active')) {
      const adopted = entry.kind === 'x509' ? this.#adoptX509(entry) : this.#adoptJwt(entry);
      if (!adopted.ok) return adopted;
    }
    const changed = before[0] !== this.#x509?.authorityId || before[1] !== this.#jwt?.keyId;
    if (changed) for (const listener of this.#listeners) listener();
    return ok(undefined);
  }

  #alive<T>(authority: T | undefined, endSeconds: number, name: string): Result<T> {
    if (authority === undefined) return fail('AUTHORITY_NOT_READY', `no ${name} authority yet`);
    if (this.#options.clock.nowMs() < endSeconds * 1000) return ok(authority);
    return fail('AUTHORITY_EXPIRED', `the ${name} authority has expired`);
  }

  #adoptX509(entry: JournalEntry): Result<void> {
    const { authorityId } = entry;
    if (authorityId === this.#x509?.authorityId) return ok(undefined);
    const key = keysOf(this.#options, 'x509').get(entry.slot);
    const certificate = entryCertificate(entry);
    if (!certificate.ok) return certificate;
    if (key === undefined) return fail('AUTHORITY_NOT_READY', `slot ${entry.slot} has no key`);
    const signer = { authorityId, key: onlyLinted(key), certificate: certificate.value };
    // A CA from upstream may end later than those above it: nothing of it is valid then.
    const notAfterMs = Math.min(certificate.value.notAfterMs, entry.notAfterSeconds * 1000);
    this.#x509 = { ...signer, chain: entryChain(entry), notAfterMs };
    return ok(undefined);
  }

  #adoptJwt(entry: JournalEntry): Result<void> {
    const { authorityId: keyId } = entry;
    if (keyId === this.#jwt?.keyId) return ok(undefined);
    const key = keysOf(this.#options, 'jwt').get(entry.slot);
    if (key === undefined) return fail('AUTHORITY_NOT_READY', `slot ${entry.slot} has no key`);
    this.#jwt = { keyId, key: onlyLinted(key), expiresAtSeconds: entry.notAfterSeconds };
    return ok(undefined);
  }
}
