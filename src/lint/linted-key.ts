import { ok, type Result } from '../base/result.ts';
import type { KeyType, SigningKey, SignOptions } from '../keys/key-manager.ts';
import { type LintToken, redeem } from './gate.ts';

/** What was signed, and the signature. */
export interface SignedBody {
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * A signing key of an authority as everything above the key managers sees it: it signs what a lint
 * token stands for and nothing else. There is no way to hand it bytes.
 */
export interface LintedKey {
  readonly slot: string;
  readonly type: KeyType;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** Whether the private key is in this process. */
  readonly local: boolean;
  /** Errors: LINT_TOKEN_USED, LINT_TOKEN_KEY, and those of the key manager. */
  sign(token: LintToken, options: SignOptions): Promise<Result<SignedBody>>;
  /** PKCS#8 DER for a signing thread, which gates it again; undefined unless `local`. */
  exportPkcs8(): Uint8Array | undefined;
}

/** Puts the gate before a key. */
export function onlyLinted(key: SigningKey): LintedKey {
  return new GatedKey(key);
}

class GatedKey implements LintedKey {
  readonly slot: string;
  readonly type: KeyType;
  readonly publicKeySpki: Uint8Array;
  readonly local: boolean;
  readonly #key: SigningKey;

  constructor(key: SigningKey) {
    this.#key = key;
    this.slot = key.slot;
    this.type = key.type;
    this.publicKeySpki = key.publicKeySpki;
    const pkcs8 = key.exportPkcs8();
    this.local = pkcs8 !== undefined;
    pkcs8?.fill(0);
  }

  async sign(token: LintToken, options: SignOptions): Promise<Result<SignedBody>> {
    const body = redeem(token, this.publicKeySpki);
    if (!body.ok) return body;
    const signature = await this.#key.sign(body.value, options);
    return signature.ok ? ok({ body: body.value, signature: signature.value }) : signature;
  }

  exportPkcs8(): Uint8Array | undefined {
    return this.#key.exportPkcs8();
  }
}
