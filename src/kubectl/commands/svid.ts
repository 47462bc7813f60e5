import { ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../../cli/spec.ts';
import { parseJwtSvidUnverified } from '../../spiffe/jwt-svid.ts';
import { certificateJson, formatCertificate, formatJwt, jwtSvidJson } from '../certificate-view.ts';
import { type Looks, withClusters } from '../clusters.ts';
import { contentReader } from '../content.ts';
import { DOCUMENT_HELP, type IdentityDocument, readDocument } from '../documents.ts';
import { pemOf } from '../export-text.ts';
import { CONNECTION_FLAGS, outputFlag, outputOf } from '../flags.ts';
import { x509AuthorityOf } from '../model.ts';
import { isForPrograms, printObject } from '../print.ts';
import type { SourceParts } from '../reference.ts';

/** Flags of commands that take a document. */
export const DOCUMENT_FLAGS: readonly FlagSpec[] = [
  { name: 'filename', short: 'f', value: 'path', help: 'file to read, - for standard input' },
  { name: 'namespace', short: 'n', value: 'name', help: 'namespace of names that say none' },
];

/** Runs `work` with clusters where a document is in one; a file needs no cluster. */
export function withDocument<T>(
  input: Input,
  io: CliIo,
  work: (document: IdentityDocument, parts: SourceParts) => Promise<Result<T>>,
  looks: Looks,
): Promise<Result<T>> {
  const run = async (clusters: SourceParts['clusters']): Promise<Result<T>> => {
    const parts = { clusters, input, io, read: contentReader() };
    const document = await readDocument(parts);
    return document.ok ? work(document.value, parts) : document;
  };
  return input.args.length === 0 ? run([]) : withClusters(input, io, run, looks);
}

/** `kubectl signet svid`. */
export const svid: CommandSpec = {
  args: '[secret/…|pod/…]',
  about: `Decodes certificates or a JWT; nothing is verified. ${DOCUMENT_HELP}`,
  flags: [...DOCUMENT_FLAGS, outputFlag(['table', 'json', 'yaml', 'pem']), ...CONNECTION_FLAGS],
  examples: [
    'kubectl signet svid secret/shop/web-tls',
    'kubectl signet svid pod/shop/web-7d4f:/run/spiffe/svid.pem',
    'kubectl get secret web-tls -o jsonpath="{.data.tls\\.crt}" | base64 -d | kubectl signet svid -f -',
  ],
  run: (input, io) =>
    withDocument(input, io, (document) => printDocument(document, input, io), 'names'),
};

async function printDocument(
  document: IdentityDocument,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const nowMs = io.clock.nowMs();
  const { from, kind } = document;
  if (kind === 'jwt') {
    const token = parseJwtSvidUnverified(document.token);
    if (!token.ok) return token;
    if (isForPrograms(input)) {
      await printObject('Svid', { from, type: 'jwt', ...jwtSvidJson(token.value) }, input, io);
    } else io.out(formatJwt(token.value, nowMs));
    return ok(undefined);
  }
  const { chain } = document;
  if (isForPrograms(input)) {
    const members = { from, type: 'x509', certificates: chain.map(certificateJson) };
    await printObject('Svid', members, input, io);
  } else if (outputOf(input) === 'pem') {
    io.out(pemOf(chain.map((certificate) => x509AuthorityOf(certificate, false))));
  } else {
    io.out(chain.map((certificate) => formatCertificate(certificate, nowMs)).join('\n'));
  }
  return ok(undefined);
}
