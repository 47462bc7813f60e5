import { fail, ok, type Result } from '../../base/result.ts';
import { getBundle } from '../../cli/commands/bundle-show.ts';
import { readData } from '../../cli/files.ts';
import { withServer } from '../../cli/server-connection.ts';
import type { CliIo, Input } from '../../cli/spec.ts';
import { fromWireBundle } from '../../cli/wire-bundle.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';
import { callHttp } from '../../runtime/http-call.ts';
import { parseCertificates } from '../../x509/certificate.ts';
import { type ContentReader, contentOf } from '../content.ts';
import { type BundleContent, type BundleCopy, NO_CONTENT, x509AuthorityOf } from '../model.ts';
import { domainOf } from './object-copy.ts';

/** Longest bundle of an endpoint, in bytes. */
const MAX_ANSWER_BYTES = 1024 * 1024;
const TIMEOUT_MS = 10_000;

/** A copy in a file, or on standard input for `-`: PEM, DER or a JWK Set. Errors: CLI_FILE, TRUST_UNREADABLE. */
export async function fileCopy(
  path: string,
  io: CliIo,
  read: ContentReader,
): Promise<Result<BundleCopy>> {
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  const content = readBytes(bytes.value, read);
  return content.ok ? ok(outsideCopy('file', path, content.value)) : content;
}

/** The bundle of the server, over its admin socket: it alone tells what is tainted. */
export async function serverCopy(input: Input, io: CliIo): Promise<Result<BundleCopy>> {
  // The server's flag for time has another name with kubectl.
  const timed: Input = {
    ...input,
    text: (flag) => input.text(flag === 'timeout' ? 'request-timeout' : flag),
  };
  const wire = await withServer(timed, io, getBundle);
  if (!wire.ok) return wire;
  const bundle = fromWireBundle(wire.value);
  if (!bundle.ok) return bundle;
  const { trustDomain } = bundle.value;
  return ok({
    ...outsideCopy('server', 'server', contentOf(bundle.value)),
    trustDomain: trustDomain.name,
  });
}

/** The bundle behind an address, verified by the roots of the system (profile https_web). */
export async function endpointCopy(
  url: URL,
  io: CliIo,
  read: ContentReader,
): Promise<Result<BundleCopy>> {
  const late = new AbortController();
  const cancel = io.clock.after(TIMEOUT_MS, () => late.abort());
  try {
    const answer = await callHttp(url, {
      method: 'GET',
      maxAnswerBytes: MAX_ANSWER_BYTES,
      signal: late.signal,
    });
    if (answer.status !== 200) {
      return fail('TRUST_UNREADABLE', `${url.href}: status ${answer.status}`);
    }
    const content = read(answer.text);
    return content.ok ? ok(outsideCopy('endpoint', url.href, content.value)) : content;
  } catch (cause) {
    return fail('TRUST_UNREADABLE', `${url.href}: no answer (${errnoCode(cause)})`, { cause });
  } finally {
    cancel();
  }
}

/** A copy that is no object of a cluster. */
export function outsideCopy(
  source: 'file' | 'server' | 'endpoint' | 'pod' | 'federation',
  name: string,
  content: BundleContent,
  more: { readonly context?: string; readonly namespace?: string; readonly key?: string } = {},
): BundleCopy {
  const { context = '', namespace = '', key } = more;
  return {
    place: { context, source, namespace, name, key },
    trustDomain: domainOf(content),
    content,
    sequence: content.sequence,
    isPublished: false,
    problem: undefined,
  };
}

function readBytes(bytes: Uint8Array, read: ContentReader): Result<BundleContent> {
  // DER begins with a SEQUENCE, and no text does.
  if (bytes[0] !== 0x30) return read(Buffer.from(bytes).toString('utf8'));
  const certificates = parseCertificates(bytes);
  if (!certificates.ok) return fail('TRUST_UNREADABLE', certificates.error.message);
  const x509 = certificates.value.map((certificate) => x509AuthorityOf(certificate, false));
  return ok({ ...NO_CONTENT, x509 });
}
