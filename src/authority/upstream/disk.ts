import { equalBytes } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { ok, type Result } from '../../base/result.ts';
import { readPemKeyFile } from '../../keys/pem-key-file.ts';
import { type LintedKey, onlyLinted } from '../../lint/linted-key.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { checkCaProfile } from '../../spiffe/x509-profile.ts';
import type { CaSubject } from '../../x509/ca-template.ts';
import { validatePath } from '../../x509/path.ts';
import { drawSerial } from '../../x509/serial.ts';
import type { Certificate } from '../../x509/types.ts';
import { signDownstreamCa } from '../x509-certificate.ts';
import { readCertificateFile, unusableFile } from './certificate-file.ts';
import type { CertifyOrder, UpstreamAnswer, UpstreamAuthority, UpstreamTrust } from './upstream.ts';

/** An upstream CA in files. */
export interface DiskUpstreamOptions {
  readonly trustDomain: TrustDomain;
  /** PEM: the CA's certificate, then CAs between it and a root, if any. */
  readonly certPath: string;
  /** PEM: its private key. */
  readonly keyPath: string;
  /** PEM: the roots; undefined where the CA itself is the root. */
  readonly bundlePath: string | undefined;
  readonly subject: CaSubject;
  readonly backdateSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** How often the files are read, in milliseconds. */
const POLL_MS = 5000;
const SLOT = 'upstream-disk';

/** What the files hold, after they were found to fit together. */
interface DiskCa {
  readonly key: LintedKey;
  readonly certificate: Certificate;
  readonly chain: readonly Certificate[];
  readonly roots: readonly Certificate[];
  /** The earliest end of its path, in Unix milliseconds. */
  readonly notAfterMs: number;
}

/**
 * A CA whose certificate and key are files. They are read again for each certificate and every few
 * seconds, so that replacing them needs no restart. Errors: UPSTREAM_FILES with the file and why.
 */
export function createDiskUpstream(options: DiskUpstreamOptions): UpstreamAuthority {
  return {
    name: 'disk',
    pollMs: POLL_MS,
    certify: (order) => certify(options, order),
    async trusted() {
      const ca = await loadCa(options);
      return ca.ok ? ok(trustOf(ca.value)) : ca;
    },
    close: () => Promise.resolve(),
  };
}

function trustOf({ roots }: DiskCa): UpstreamTrust {
  return { x509: roots.map((certificate) => ({ certificate, tainted: false })), jwt: undefined };
}

async function certify(
  options: DiskUpstreamOptions,
  { spki, ttlSeconds }: CertifyOrder,
): Promise<Result<UpstreamAnswer>> {
  const ca = await loadCa(options);
  if (!ca.ok) return ca;
  const { key, certificate: issuer, chain, roots, notAfterMs } = ca.value;
  const { trustDomain, subject, backdateSeconds, clock, random } = options;
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const room = issuer.basicConstraints?.pathLength;
  const signed = await signDownstreamCa(
    key,
    {
      trustDomain,
      subject,
      serial: drawSerial(random),
      notBeforeSeconds: Math.max(nowSeconds - backdateSeconds, issuer.notBeforeMs / 1000),
      notAfterSeconds: Math.min(nowSeconds + ttlSeconds, notAfterMs / 1000),
      requestedBy: 'self',
    },
    { spki, issuer, nameConstraints: undefined, pathLength: room && room - 1 },
  );
  if (!signed.ok) return signed;
  const isRoot = roots.some((root) => equalBytes(root.der, issuer.der));
  const above = isRoot ? [] : chain;
  return ok({
    chain: [signed.value.der, ...above.map(({ der }) => der)],
    roots: roots.map(({ der }) => der),
  });
}

async function loadCa(options: DiskUpstreamOptions): Promise<Result<DiskCa>> {
  const { certPath, keyPath, bundlePath } = options;
  const chain = await readCertificateFile(certPath);
  if (!chain.ok) return chain;
  const key = await readPemKeyFile(keyPath, SLOT);
  if (!key.ok) return unusableFile(keyPath, key.error.message);
  const bundle = bundlePath === undefined ? chain : await readCertificateFile(bundlePath);
  if (!bundle.ok) return bundle;
  const [certificate] = chain.value;
  if (certificate === undefined) return unusableFile(certPath, 'it holds no certificate');
  if (!equalBytes(certificate.publicKey.spki, key.value.publicKeySpki)) {
    return unusableFile(keyPath, `it is not the key of the certificate in ${certPath}`);
  }
  const roots = bundlePath === undefined ? [certificate] : bundle.value;
  return judge(options, { key: onlyLinted(key.value), certificate, chain: chain.value, roots });
}

function judge(
  { trustDomain, certPath, bundlePath, clock }: DiskUpstreamOptions,
  ca: Omit<DiskCa, 'notAfterMs'>,
): Result<DiskCa> {
  const profile = checkCaProfile(ca.certificate, trustDomain);
  if (!profile.ok) return unusableFile(certPath, profile.error.message);
  if (ca.certificate.basicConstraints?.pathLength === 0) {
    return unusableFile(certPath, 'its path length of 0 allows no CA below it');
  }
  if (bundlePath === undefined && ca.chain.length > 1) {
    return unusableFile(certPath, 'it holds a chain, so bundlePath has to name the roots');
  }
  const atMs = clock.nowMs();
  const { certificate, roots } = ca;
  if (roots.some((root) => equalBytes(root.der, certificate.der))) {
    const { notBeforeMs, notAfterMs } = certificate;
    const valid = notBeforeMs <= atMs && atMs < notAfterMs;
    return valid
      ? ok({ ...ca, notAfterMs })
      : unusableFile(certPath, 'it is not valid at this time');
  }
  const found = validatePath({ chain: ca.chain, roots, atMs });
  if (!found.ok) {
    const why = `the CA does not lead to a root there: ${found.error.message}`;
    return unusableFile(bundlePath ?? certPath, why);
  }
  const ends = found.value.path.map(({ notAfterMs }) => notAfterMs);
  return ok({ ...ca, notAfterMs: Math.min(...ends) });
}
