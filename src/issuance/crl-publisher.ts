import type { AuthoritySource } from '../authority/authority.ts';
import { type CrlSigner, type CrlSignerRequest, makeCrlSigner } from '../authority/crl-signer.ts';
import type { RecordCa } from '../authority/x509-certificate.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { certificateScheme } from '../keys/scheme.ts';
import { type LintToken, lintCrl } from '../lint/gate.ts';
import type { Registry } from '../registry/registry.ts';
import type { IssuingCa } from '../rules/issuing-ca.ts';
import { REVOCATION_REASONS, type Revocation } from '../rules/revocation.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { parseCrl } from '../x509/crl.ts';
import { trustCrl } from '../x509/crl-trust.ts';
import { buildCrlTbs, type RevokedCertificate } from '../x509/crl-writer.ts';
import { serialToHexForms } from '../x509/serial.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import { assembleCertificate } from '../x509/template.ts';
import type { Certificate } from '../x509/types.ts';

/** Bounds how late a clock that was set, or a machine that was suspended, is noticed. */
const MAX_SLEEP_MS = 3_600_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** What publishing a CRL stands on. */
export interface CrlPublisherOptions {
  readonly trustDomain: TrustDomain;
  readonly registry: Pick<
    Registry,
    'revocations' | 'onRevocations' | 'issuingCas' | 'onIssuingCas'
  >;
  /** Who makes the signer: the roots, never an issuing CA. */
  readonly roots: AuthoritySource;
  readonly clock: Clock;
  readonly random: Random;
  /** From now to nextUpdate; another is made at half of it. */
  readonly lifetimeSeconds: number;
  /** How far thisUpdate and the signer's notBefore lie in the past. */
  readonly backdateSeconds: number;
  readonly recordCa?: RecordCa | undefined;
  /** The signer's key below a root, by the root's authority id; a new one of this process unless given. */
  readonly signerKey?: CrlSignerRequest['signerKey'];
  /** Told of every CRL that could not be made; the last one stays. */
  readonly onFault: (error: SignetError) => void;
}

/** A CRL as it is given out. */
export interface PublishedCrl {
  readonly der: Uint8Array;
  readonly number: bigint;
  readonly nextUpdateMs: number;
  /** Certificates in it. */
  readonly size: number;
}

/**
 * Keeps a CRL of all that is revoked: another one at every change, before it ends, and when the root
 * that made its signer is replaced. Without a change it sleeps for half of the lifetime.
 */
export class CrlPublisher {
  readonly #options: CrlPublisherOptions;
  readonly #listeners = new Set<() => void>();
  readonly #closers: (() => void)[] = [];
  #signer: CrlSigner | undefined;
  #current: PublishedCrl | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #failures = 0;
  #cancel: Cancel = () => {};
  #closed = false;

  constructor(options: CrlPublisherOptions) {
    this.#options = options;
  }

  /** The newest CRL; undefined before the first. */
  get current(): PublishedCrl | undefined {
    return this.#current;
  }

  /** Calls `listener` with each new CRL there is. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes the first one and follows changes. One that fails is tried again by itself. */
  async start(): Promise<void> {
    const { registry, roots } = this.#options;
    const update = (): void => void this.update();
    this.#closers.push(
      registry.onRevocations(update),
      registry.onIssuingCas(update),
      roots.onChange(update),
    );
    await this.update();
  }

  /** Makes another; answers when one was made that has everything from before the call, or none could be. */
  async update(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  /** Stops following, after one under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    for (const closer of this.#closers.splice(0)) closer();
    await this.#running;
    this.#cancel();
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const made = await this.#make();
      if (made.ok) this.#publish(made.value);
      else this.#fault(made.error);
    }
  }

  #publish(crl: PublishedCrl): void {
    this.#failures = 0;
    this.#current = crl;
    this.#arm((this.#options.lifetimeSeconds * 1000) / 2);
    for (const listener of this.#listeners) listener();
  }

  #fault(error: SignetError): void {
    this.#failures += 1;
    this.#arm(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1)));
    this.#options.onFault(error);
  }

  #arm(delayMs: number): void {
    this.#cancel();
    if (this.#closed) return;
    const { clock } = this.#options;
    this.#cancel = clock.after(Math.min(delayMs, MAX_SLEEP_MS), () => void this.update());
  }

  async #make(): Promise<Result<PublishedCrl>> {
    const root = this.#options.roots.currentX509();
    if (!root.ok) return root;
    const nowMs = this.#options.clock.nowMs();
    if (!this.#signerServes(root.value.authorityId, nowMs)) {
      const made = await makeCrlSigner({
        ...this.#options,
        root: root.value,
        nowSeconds: Math.floor(nowMs / 1000),
        record: this.#options.recordCa,
      });
      if (!made.ok) return made;
      this.#signer = made.value;
    }
    const signer = this.#signer;
    if (signer === undefined) return fail('INTERNAL', 'there is no CRL signer');
    return this.#sign(signer, [root.value.certificate], nowMs);
  }

  /** Renewed at half of its life; one that another root made is worth nothing once that has gone. */
  #signerServes(rootId: string, nowMs: number): boolean {
    if (this.#signer?.rootId !== rootId) return false;
    const { notBeforeMs, notAfterMs } = this.#signer.certificate;
    return nowMs < (notBeforeMs + notAfterMs) / 2;
  }

  async #sign(
    signer: CrlSigner,
    roots: readonly Certificate[],
    nowMs: number,
  ): Promise<Result<PublishedCrl>> {
    const draft = this.#draft(signer, nowMs);
    if (!draft.ok) return draft;
    const { token, signatureAlgorithm, number } = draft.value;
    const { hash } = certificateScheme(signer.key.type);
    const signed = await signer.key.sign(token, { hash, encoding: 'der' });
    if (!signed.ok) return signed;
    const { body, signature } = signed.value;
    const der = assembleCertificate(body, signatureAlgorithm, signature);
    // What readers refuse is not given out, whatever the reason.
    const read = parseCrl(der);
    if (!read.ok) return read;
    const trusted = trustCrl(read.value, { roots, atMs: nowMs });
    if (!trusted.ok) return trusted;
    const { nextUpdateMs, size } = read.value;
    return ok({ der, number, nextUpdateMs, size });
  }

  #draft({ key, certificate }: CrlSigner, nowMs: number): Result<CrlDraft> {
    const { lifetimeSeconds, backdateSeconds, registry } = this.#options;
    const thisSecondMs = Math.floor(nowMs / 1000) * 1000;
    // RFC 5280 §5.2.3: numbers rise; time does so across restarts, and two in one millisecond as well.
    const last = this.#current?.number ?? 0n;
    const svids = [...registry.revocations()].flatMap(revokedCertificate);
    const revoked = [...revokedCas(registry), ...svids];
    const said = {
      signatureAlgorithm: signatureAlgorithmDer(certificateScheme(key.type)),
      issuerDer: certificate.subjectDer,
      number: BigInt(nowMs) > last ? BigInt(nowMs) : last + 1n,
      keyId: certificate.subjectKeyId ?? new Uint8Array(),
    };
    const tbs = buildCrlTbs({
      ...said,
      thisUpdateMs: Math.max(thisSecondMs - backdateSeconds * 1000, certificate.notBeforeMs),
      nextUpdateMs: Math.min(thisSecondMs + lifetimeSeconds * 1000, certificate.notAfterMs),
      signerCertificate: certificate.der,
      revoked,
    });
    const { notAfterMs } = certificate;
    const facts = { spki: key.publicKeySpki, size: revoked.length, notAfterMs, nowMs };
    const token = lintCrl(tbs, { ...said, ...facts });
    return token.ok ? ok({ ...said, token: token.value }) : token;
  }
}

/** A CRL that was linted and is not signed yet. */
interface CrlDraft {
  readonly token: LintToken;
  readonly signatureAlgorithm: Uint8Array;
  readonly number: bigint;
}

/** RFC 5280 §5.3.1: the key of an authority is known, or suspected, to be in other hands. */
const CA_COMPROMISE = 2;

function revokedCas(registry: Pick<Registry, 'issuingCas'>): readonly RevokedCertificate[] {
  const isRevoked = ({ state }: IssuingCa): boolean => state === 'revoked';
  return [...registry.issuingCas()].filter(isRevoked).map(({ certificate, sinceSeconds }) => ({
    issuerDer: certificate.issuerDer,
    serial: certificate.serial,
    revokedAtMs: sinceSeconds * 1000,
    reason: CA_COMPROMISE,
  }));
}

/** The entry of a revocation; none where nobody knew the name of its authority. */
function revokedCertificate(revocation: Revocation): readonly RevokedCertificate[] {
  const { issuerDer, serial, revokedAtSeconds, reason } = revocation;
  if (issuerDer === undefined) return [];
  const [hex = ''] = serialToHexForms(serial);
  return [
    {
      issuerDer,
      serial: Buffer.from(hex, 'hex'),
      revokedAtMs: revokedAtSeconds * 1000,
      reason: REVOCATION_REASONS[reason],
    },
  ];
}
