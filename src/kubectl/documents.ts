import { fail, ok, type Result } from '../base/result.ts';
import { readData } from '../cli/files.ts';
import { parsePem } from '../der/pem.ts';
import { parseCertificate, parseCertificates } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';
import { readObject } from './clusters.ts';
import { clusterOf, parseSource, type SourceParts } from './reference.ts';
import { execCat } from './sources/pods.ts';
import { chainText, SECRETS } from './sources/secrets.ts';

/** What is to be decoded or verified. */
export type IdentityDocument =
  | { readonly kind: 'x509'; readonly from: string; readonly chain: readonly Certificate[] }
  | { readonly kind: 'jwt'; readonly from: string; readonly token: string };

/** Files in which pods find their SVID: SPIFFE helper, Istio, PodCertificate projections. */
const POD_FILE = '/var/run/secrets/spiffe.io/svid.pem';

/** What a document may be written as, for help pages. */
export const DOCUMENT_HELP =
  'Takes secret/NAMESPACE/NAME[:KEY], pod/NAMESPACE/NAME[:/PATH], or a file by -f (- for standard input):\n' +
  'PEM, DER or a JWT. Private keys beside certificates are passed over, and never printed.';

/** Reads the document that the arguments of a command name. Fails with CLI_USAGE, TRUST_*, KUBE_*. */
export async function readDocument(parts: SourceParts): Promise<Result<IdentityDocument>> {
  const { input, io } = parts;
  const file = input.text('filename');
  const [word, ...rest] = input.args;
  if ((file === undefined) === (word === undefined) || rest.length > 0) {
    return fail('CLI_USAGE', 'takes one of secret/…, pod/… or -f FILE');
  }
  if (file !== undefined) {
    const bytes = await readData(file, io);
    return bytes.ok ? parseDocument(file, bytes.value) : bytes;
  }
  return word === undefined ? fail('CLI_USAGE', 'names nothing') : readWord(word, parts);
}

async function readWord(word: string, parts: SourceParts): Promise<Result<IdentityDocument>> {
  const ref = parseSource(word);
  if (!ref.ok) return ref;
  const { kind, name, key } = ref.value;
  if (kind !== 'secret' && kind !== 'pod') {
    return fail(
      'CLI_USAGE',
      `"${word.slice(0, 80)}" is neither secret/… nor pod/…; files go by -f`,
    );
  }
  const cluster = clusterOf(ref.value, parts.clusters);
  if (!cluster.ok) return cluster;
  const namespace = ref.value.namespace ?? cluster.value.home;
  if (kind === 'pod') {
    const path = key ?? POD_FILE;
    const text = await execCat(cluster.value, { namespace, name, path }, parts.io);
    return text.ok ? parseDocument(`${namespace}/${name}:${path}`, Buffer.from(text.value)) : text;
  }
  const object = await readObject(cluster.value, { ...SECRETS, namespace }, name);
  if (!object.ok) return object;
  const found = chainText(object.value, key);
  if (!found.ok) return found;
  return parseDocument(
    `secret ${namespace}/${name}:${found.value.key}`,
    Buffer.from(found.value.text),
  );
}

/** Reads certificates (leaf first) or a JWT. Fails with TRUST_UNREADABLE. */
export function parseDocument(from: string, bytes: Uint8Array): Result<IdentityDocument> {
  if (bytes[0] === 0x30) {
    const chain = parseCertificates(bytes);
    if (!chain.ok) return fail('TRUST_UNREADABLE', `${from}: ${chain.error.message}`);
    return ok({ kind: 'x509', from, chain: chain.value });
  }
  const text = Buffer.from(bytes).toString('utf8').trim();
  if (/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/.test(text)) {
    return ok({ kind: 'jwt', from, token: text });
  }
  const chain = certificatesIn(text);
  if (!chain.ok) return fail('TRUST_UNREADABLE', `${from}: ${chain.error.message}`);
  return ok({ kind: 'x509', from, chain: chain.value });
}

/** The certificates of a PEM text that may hold other things, such as the key. */
function certificatesIn(text: string): Result<readonly Certificate[]> {
  const blocks = parsePem(text);
  if (!blocks.ok) return blocks;
  const chain: Certificate[] = [];
  for (const { label, der } of blocks.value) {
    if (label !== 'CERTIFICATE') continue;
    const certificate = parseCertificate(der);
    if (!certificate.ok) return certificate;
    chain.push(certificate.value);
  }
  return chain.length > 0 ? ok(chain) : fail('CERTIFICATE_NONE', 'there is no certificate in it');
}
