import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import { attempt } from '../der/refuse.ts';
import { type Crl, parseCrl } from '../x509/crl.ts';
import { trustCrl } from '../x509/crl-trust.ts';
import { checkRevocation, type TrustedCrl } from '../x509/revocation.ts';
import type { SignatureMemo } from '../x509/signature-memo.ts';
import type { Certificate } from '../x509/types.ts';

/** What revocation of devices and of their CAs is judged by. CRLs are imported, never fetched. */
export interface DeviceRevocation {
  /** Each from `readDeviceCrl`. */
  readonly crls: readonly Crl[];
  /** How long after its nextUpdate a CRL still clears a certificate, in ms; 0 for not at all. */
  readonly maxStaleMs: number;
  /** Names (DER) of CAs that must have a CRL; others need one from the first import on. */
  readonly requiredIssuers?: readonly Uint8Array[];
}

interface RevocationRules {
  readonly atMs: number;
  readonly revocation?: DeviceRevocation;
  readonly signatures?: SignatureMemo;
}

/**
 * Reads an imported CRL, DER or one PEM block: complete, of one CA. Indirect ones are refused, since
 * device vendors publish none and one would speak about every CA. Errors: those of `parseCrl` and
 * `parsePem`, PEM_LABEL, DEVICE_CRL_INDIRECT.
 */
export function readDeviceCrl(file: Uint8Array): Result<Crl> {
  const der = crlBytes(file);
  if (!der.ok) return der;
  const crl = parseCrl(der.value);
  if (!crl.ok) return crl;
  return crl.value.indirect
    ? fail('DEVICE_CRL_INDIRECT', 'CRL: indirect, so it is not about one CA')
    : crl;
}

function crlBytes(file: Uint8Array): Result<Uint8Array> {
  // DER begins with the tag of a SEQUENCE, PEM with a letter or a dash.
  if (file[0] === 0x30) return ok(file);
  const blocks = parsePem(file, { maxBlocks: 1, maxBytes: 8 * 1024 * 1024 });
  if (!blocks.ok) return blocks;
  const [block] = blocks.value;
  return block?.label === 'X509 CRL'
    ? ok(block.der)
    : fail('PEM_LABEL', 'CRL: no X509 CRL block in the PEM');
}

/**
 * Judges every certificate of a path but the root. A CA for which a CRL was ever loaded must have one
 * that its own key signed and that is in force: a stale or forged one closes the door, it does not open
 * it. Errors: DEVICE_REVOKED, DEVICE_REVOCATION_UNKNOWN.
 */
export function checkDeviceRevocation(
  path: readonly Certificate[],
  { revocation, atMs, signatures }: RevocationRules,
): Result<void> {
  if (revocation === undefined) return ok(undefined);
  for (let at = 0; at < path.length - 1; at++) {
    const judged = path.slice(at, at + 2);
    const [{ issuerDer } = { issuerDer: new Uint8Array() }] = judged;
    const loaded = revocation.crls.filter((crl) => equalBytes(crl.issuerDer, issuerDer));
    if (loaded.length === 0 && !isRequired(issuerDer, revocation)) continue;
    const authorities = path.slice(at + 1, -1);
    const roots = path.slice(-1);
    const trust = { roots, authorities, atMs, ...(signatures && { signatures }) };
    const crls = loaded.flatMap((crl): TrustedCrl[] => {
      const trusted = trustCrl(crl, trust);
      return trusted.ok ? [trusted.value] : [];
    });
    const { maxStaleMs } = revocation;
    const clear = attempt('revocation', () =>
      checkRevocation(judged, { crls, unknown: 'refuse', maxStaleMs }, atMs),
    );
    if (!clear.ok) return refusal(clear.error.code, clear.error.message);
  }
  return ok(undefined);
}

function isRequired(issuerDer: Uint8Array, { requiredIssuers = [] }: DeviceRevocation): boolean {
  return requiredIssuers.some((required) => equalBytes(required, issuerDer));
}

function refusal(code: string, message: string): Result<never> {
  return code === 'PATH_REVOKED'
    ? fail('DEVICE_REVOKED', `device chain: ${message}`)
    : fail('DEVICE_REVOCATION_UNKNOWN', `device chain: ${message}`);
}
