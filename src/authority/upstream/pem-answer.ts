import { equalBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { isSelfIssued } from '../../x509/path-checks.ts';
import type { Certificate } from '../../x509/types.ts';
import { readCertificateFile, readCertificates } from './certificate-file.ts';
import type { UpstreamAnswer, UpstreamTrust } from './upstream.ts';

/** An answer in PEM, as CAs outside give it. */
export interface PemAnswer {
  /** The new CA; CAs above it may follow. */
  readonly certificate: string;
  /** CAs above it, the root perhaps among them, in any order; texts may hold several. */
  readonly above: readonly string[];
}

/**
 * The answer as chain and roots. Roots are those of the file where there is one, else what signed
 * itself in the answer. CAs that our path does not go through (cross-certificates) are left out, and
 * whatever is left is judged by `checkAnswer`. Errors: UPSTREAM_ANSWER_INVALID, UPSTREAM_FILES.
 */
export async function readPemAnswer(
  answer: PemAnswer,
  bundlePath: string | undefined,
): Promise<Result<UpstreamAnswer>> {
  const certificates: Certificate[] = [];
  for (const pem of [answer.certificate, ...answer.above]) {
    if (pem.trim() === '') continue;
    const read = readCertificates(pem);
    if (!read.ok) return fail('UPSTREAM_ANSWER_INVALID', `the answer: ${read.error.message}`);
    certificates.push(...read.value);
  }
  const [own, ...above] = certificates;
  if (own === undefined) return fail('UPSTREAM_ANSWER_INVALID', 'the answer has no certificate');
  const path = pathThrough(own, above);
  const last = path.at(-1) ?? own;
  const file = bundlePath === undefined ? undefined : await readCertificateFile(bundlePath);
  if (file?.ok === false) return file;
  const roots = file?.value ?? (isSelfIssued(last) ? [last] : []);
  if (roots.length === 0) {
    const why = 'the answer does not lead to a root: name the roots in bundlePath';
    return fail('UPSTREAM_ANSWER_INVALID', why);
  }
  const chain = path.filter((each) => !roots.some((root) => equalBytes(root.der, each.der)));
  return ok({ chain: chain.map(({ der }) => der), roots: roots.map(({ der }) => der) });
}

/** What the file of roots says is to be trusted; undefined where there is no file. */
export async function trustOfFile(
  bundlePath: string | undefined,
): Promise<Result<UpstreamTrust | undefined>> {
  if (bundlePath === undefined) return ok(undefined);
  const read = await readCertificateFile(bundlePath);
  if (!read.ok) return read;
  const x509 = read.value.map((certificate) => ({ certificate, tainted: false }));
  return ok({ x509, jwt: undefined });
}

/** From the new CA upwards by names, as far as it goes; of several issuers the one that ends it. */
function pathThrough(own: Certificate, above: readonly Certificate[]): readonly Certificate[] {
  const path = [own];
  for (let last = own; !isSelfIssued(last); ) {
    const fits = above.filter((each) => !path.includes(each) && mayHaveIssued(each, last));
    const next = fits.find(isSelfIssued) ?? fits[0];
    if (next === undefined) break;
    path.push(next);
    last = next;
  }
  return path;
}

function mayHaveIssued(issuer: Certificate, { issuerDer, authorityKeyId }: Certificate): boolean {
  const { subjectDer, subjectKeyId } = issuer;
  if (!equalBytes(subjectDer, issuerDer)) return false;
  const known = authorityKeyId !== undefined && subjectKeyId !== undefined;
  return !known || equalBytes(authorityKeyId, subjectKeyId);
}
