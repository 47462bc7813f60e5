import { fail, ok, type Result } from '../../base/result.ts';
import { readData } from '../../cli/files.ts';
import { flagError } from '../../cli/flags.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { parsePem } from '../../der/pem.ts';
import { parseCrl } from '../../x509/crl.ts';
import { trustCrl } from '../../x509/crl-trust.ts';
import type { RevocationCheck, TrustedCrl } from '../../x509/revocation.ts';
import type { Certificate } from '../../x509/types.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { DOCUMENT_HELP, type IdentityDocument } from '../documents.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, SCOPE_FLAGS } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { type BundleContent, refOf } from '../model.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { readSource, type SourceParts } from '../reference.ts';
import {
  type Check,
  trustDomainName,
  type VerifyOptions,
  verifyChain,
  verifyToken,
} from '../verify.ts';
import { DOCUMENT_FLAGS, withDocument } from './svid.ts';

/** `kubectl signet verify`. */
export const verify: CommandSpec = {
  args: '[secret/…|pod/…]',
  about:
    'Holds an X.509-SVID or JWT-SVID against the bundle of its trust domain, and tells each check. The\n' +
    `bundle is --bundle SOURCE, else the reference among the copies of the cluster. ${DOCUMENT_HELP}\n` +
    'Exit code 1 where a check fails.',
  flags: [
    ...DOCUMENT_FLAGS,
    ...SCOPE_FLAGS.filter(({ name }) => name === 'all-namespaces' || name === 'selector'),
    {
      name: 'bundle',
      value: 'source',
      help: 'bundle to hold it against: a file, cm/…, ctb/…, server',
    },
    {
      name: 'crl',
      value: 'path',
      repeat: true,
      help: 'CRL, DER or PEM, by which revocation is judged',
    },
    { name: 'audience', value: 'text', help: 'what a JWT-SVID has to be for' },
    outputFlag(['table', 'json', 'yaml']),
    NO_HEADERS,
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet verify secret/shop/web-tls -A',
    'kubectl signet verify -f chain.pem --bundle roots.pem --crl crl.pem',
    'kubectl signet verify pod/shop/web-7d4f:/run/spiffe/svid.pem',
  ],
  run: (input, io) => withDocument(input, io, run, 'objects'),
};

/** Where a bundle was taken from, for messages. */
interface Held {
  readonly from: string;
  readonly content: (trustDomain: string) => BundleContent | undefined;
}

async function run(document: IdentityDocument, parts: SourceParts): Promise<Result<void>> {
  const { input, io } = parts;
  const trustDomain = trustDomainName(input.text('trust-domain'));
  if (!trustDomain.ok) return flagError('trust-domain', trustDomain.error.message);
  const crls = await readCrls(input, io);
  if (!crls.ok) return crls;
  const held = await bundleOf(parts);
  if (!held.ok) return held;
  const options: VerifyOptions = {
    nowMs: io.clock.nowMs(),
    bundle: held.value.content,
    trustDomain: trustDomain.value,
    revocation:
      crls.value.length === 0
        ? undefined
        : (roots) => judgeCrls(crls.value, roots, io.clock.nowMs()),
  };
  const checks =
    document.kind === 'jwt'
      ? verifyToken(document.token, input.text('audience'), options)
      : verifyChain(document.chain, options);
  return tell(document.from, held.value.from, checks, parts);
}

async function tell(
  from: string,
  bundle: string,
  checks: readonly Check[],
  { input, io }: SourceParts,
): Promise<Result<void>> {
  const failed = checks.filter(({ result }) => result === 'Invalid');
  if (isForPrograms(input)) {
    const members = { from, bundle, valid: failed.length === 0, checks };
    await printObject('Verification', members, input, io);
  } else {
    const rows = checks.map(({ name, why, result }) => [name, why, result]);
    printTable({ heads: ['CHECK', 'FOUND', 'RESULT'], rows }, input, io);
  }
  const [first] = failed;
  if (first === undefined) return ok(undefined);
  return fail(
    'TRUST_FINDINGS',
    `${from}: ${failed.length} of ${checks.length} checks failed (${first.code})`,
  );
}

async function bundleOf(parts: SourceParts): Promise<Result<Held>> {
  const { input, io, clusters } = parts;
  const source = input.text('bundle');
  const domain = input.text('trust-domain');
  if (source !== undefined) {
    const copy = await readSource(source, parts);
    if (!copy.ok) return copy;
    const { trustDomain: own = domain, content, place } = copy.value;
    // Where neither the bundle nor a flag says whose it is, it is taken for the one that is asked for.
    return ok({
      from: refOf(place, true),
      content: (name) => (own === undefined || own === name ? content : undefined),
    });
  }
  const judge = (all: SourceParts['clusters']): Promise<Result<readonly JudgedCopy[]>> =>
    collect(input, io, all);
  const judged = await (clusters.length > 0 ? judge(clusters) : withClusters(input, io, judge));
  return judged.ok ? ok(heldOf(judged.value)) : judged;
}

function heldOf(judged: readonly JudgedCopy[]): Held {
  const references = judged.filter(({ isReference }) => isReference);
  return {
    from: references.map(({ copy }) => refOf(copy.place, true)).join(', '),
    content: (name) => {
      const own = references.filter(({ trustDomain }) => trustDomain === name);
      const [first] = own;
      if (first === undefined) return undefined;
      const x509 = own.find(({ copy }) => copy.content.x509.length > 0)?.copy.content.x509 ?? [];
      const jwt = own.find(({ copy }) => copy.content.jwt.length > 0)?.copy.content.jwt ?? [];
      return { ...first.copy.content, x509, jwt };
    },
  };
}

async function readCrls(input: Input, io: CliIo): Promise<Result<readonly Uint8Array[]>> {
  const ders: Uint8Array[] = [];
  for (const path of input.texts('crl')) {
    const bytes = await readData(path, io);
    if (!bytes.ok) return bytes;
    if (bytes.value[0] === 0x30) {
      ders.push(bytes.value);
      continue;
    }
    const blocks = parsePem(bytes.value);
    if (!blocks.ok) return fail('TRUST_UNREADABLE', `${path}: ${blocks.error.message}`);
    const found = blocks.value.filter(({ label }) => label === 'X509 CRL');
    if (found.length === 0) return fail('TRUST_UNREADABLE', `${path}: there is no CRL in it`);
    ders.push(...found.map(({ der }) => der));
  }
  return ok(ders);
}

/** The CRLs that somebody signed who may; one that nobody trusts judges nothing. */
function judgeCrls(
  ders: readonly Uint8Array[],
  roots: readonly Certificate[],
  atMs: number,
): Result<RevocationCheck> {
  const crls: TrustedCrl[] = [];
  for (const der of ders) {
    const crl = parseCrl(der);
    if (!crl.ok) return crl;
    const trusted = trustCrl(crl.value, { roots, atMs });
    if (!trusted.ok) return trusted;
    crls.push(trusted.value);
  }
  return ok({ crls, unknown: 'refuse' });
}
