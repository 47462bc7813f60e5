import { createPublicKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { concatBytes } from '../base/bytes.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { toSignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import type { Issuer } from '../issuance/issuer.ts';
import { grantServerX509 } from '../policy/grants.ts';
import type { HealthPart } from '../runtime/health.ts';
import type { Logger } from '../runtime/log.ts';
import { signerKeyIds } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { parseX509SvidChain } from '../spiffe/x509-svid.ts';
import type { TlsIdentity } from '../tls/identity.ts';

/** Wait after a failed renewal, in milliseconds. */
const RETRY_MS = 5_000;

/** What the server's own SVID stands on. */
export interface ServerIdentityOptions {
  readonly trustDomain: TrustDomain;
  readonly dnsNames: readonly string[];
  readonly issuer: Pick<Issuer, 'issueX509ForKey'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly health: HealthPart;
  /** Whether an SVID is to be replaced before its time. */
  readonly isTakenBack: (svid: OwnSvid) => boolean;
  /** Calls back when that may have become another answer; answers what ends it. */
  readonly onTakenBack: (listener: () => void) => () => void;
}

/** What decides whether an SVID still stands. */
export interface OwnSvid {
  /** Decimal. */
  readonly serial: string;
  /** Key identifiers, in hex, of the authorities that signed its chain. */
  readonly signerKeyIds: readonly string[];
}

/** The server's own X.509-SVID, which TLS clients see. */
export interface ServerIdentity {
  readonly current: TlsIdentity;
  /** Hands each new identity to a listener, and one that came before it did. */
  onRenewed(listener: (identity: TlsIdentity) => void): void;
  close(): void;
}

interface Issued extends OwnSvid {
  readonly identity: TlsIdentity;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

/**
 * Makes `spiffe://<td>/spire/server` with a key of its own in memory, and a new one with a new key at
 * half of its life (A.5), or as soon as it is revoked or an authority that signed it is tainted. A
 * failed renewal is tried again every 5 s; the old SVID serves to its end: without one nobody could
 * reach the server to hear that it was revoked.
 */
export async function createServerIdentity(
  options: ServerIdentityOptions,
): Promise<Result<ServerIdentity>> {
  const first = await issue(options);
  if (!first.ok) return first;
  return ok(new RenewedIdentity(options, first.value));
}

class RenewedIdentity implements ServerIdentity {
  readonly #options: ServerIdentityOptions;
  #issued: Issued;
  readonly #listeners: ((identity: TlsIdentity) => void)[] = [];
  readonly #endWatch: () => void;
  #renewing = false;
  #renewed = false;
  #cancel: Cancel = () => {};
  #closed = false;

  constructor(options: ServerIdentityOptions, first: Issued) {
    this.#options = options;
    this.#issued = first;
    options.health.ready();
    this.#endWatch = options.onTakenBack(() => {
      if (options.isTakenBack(this.#issued)) void this.#renew();
    });
    this.#arm();
  }

  get current(): TlsIdentity {
    return this.#issued.identity;
  }

  onRenewed(listener: (identity: TlsIdentity) => void): void {
    this.#listeners.push(listener);
    if (this.#renewed) listener(this.#issued.identity);
  }

  async #renew(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    this.#cancel();
    const next = await issue(this.#options);
    this.#renewing = false;
    if (this.#closed) return;
    const { clock, health, log } = this.#options;
    if (!next.ok) {
      const { code, message } = next.error;
      log.error({ code, reason: message }, "renewing the server's own SVID failed");
      if (clock.nowMs() >= this.#issued.expiresAtMs) {
        health.notReady("the server's own SVID has expired");
      }
      this.#cancel = clock.after(RETRY_MS, () => void this.#renew());
      return;
    }
    this.#issued = next.value;
    this.#renewed = true;
    health.ready();
    for (const listener of this.#listeners) listener(next.value.identity);
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#endWatch();
    this.#cancel();
  }

  #arm(): void {
    const { notBeforeMs, expiresAtMs } = this.#issued;
    const { clock, isTakenBack } = this.#options;
    const half = notBeforeMs + (expiresAtMs - notBeforeMs) / 2;
    const dueMs = Math.max(half - clock.nowMs(), 100);
    // The issuing CA may need a moment to be replaced.
    const delayMs = isTakenBack(this.#issued) ? Math.min(dueMs, RETRY_MS) : dueMs;
    this.#cancel();
    this.#cancel = clock.after(delayMs, () => void this.#renew());
  }
}

const makeKeyPair = promisify(generateKeyPair);

async function issue(options: ServerIdentityOptions): Promise<Result<Issued>> {
  const { trustDomain, dnsNames, issuer, clock } = options;
  const grant = grantServerX509(trustDomain, dnsNames);
  if (!grant.ok) return grant;
  try {
    const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' });
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    const issued = await issuer.issueX509ForKey(grant.value, spki);
    if (!issued.ok) return issued;
    const { chain, expiresAtSeconds } = issued.value;
    const parsed = parseX509SvidChain(concatBytes(chain));
    if (!parsed.ok) return parsed;
    return ok({
      serial: parsed.value.leaf.serialDecimal,
      signerKeyIds: signerKeyIds(parsed.value.chain),
      identity: {
        chainDer: chain,
        privateKeyPkcs8: privateKey.export({ type: 'pkcs8', format: 'der' }),
      },
      notBeforeMs: clock.nowMs(),
      expiresAtMs: expiresAtSeconds * 1000,
    });
  } catch (error) {
    return { ok: false, error: toSignetError(error, "making the server's own key") };
  }
}
