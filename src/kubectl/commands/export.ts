import { utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { flagError } from '../../cli/flags.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { counted, safe } from '../../cli/text.ts';
import { readFileIfPresent, writeFileAtomic } from '../../runtime/atomic-file.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { type ExportForm, exportedX509, exportText } from '../export-text.ts';
import { CONNECTION_FLAGS, SCOPE_FLAGS } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { oneDomain, trustDomainInput } from './show.ts';

const FORMS: readonly ExportForm[] = ['pem', 'spiffe', 'jwks'];
/** Longest password file in bytes. */
const MAX_PASSWORD_BYTES = 1024;

/** `kubectl signet export`. */
export const exportBundle: CommandSpec = {
  args: '[trust-domain]',
  about:
    'Prints the bundle of a trust domain, that of the reference, for what else is to trust it.',
  flags: [
    {
      name: 'format',
      value: 'form',
      choices: [...FORMS, 'pkcs12'],
      help: 'pem: CA certificates; spiffe: the whole bundle; jwks: JWT keys; pkcs12: a trust store; pem unless told',
    },
    {
      name: 'out',
      value: 'file',
      help: 'write there and not to standard output; needed for pkcs12',
    },
    {
      name: 'password-file',
      value: 'file',
      help: 'password of the trust store; it protects nothing secret, but Java wants one',
    },
    ...SCOPE_FLAGS,
    ...JUDGING_FLAGS.filter(({ name }) => name !== 'trust-domain'),
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet export example.org -A --format spiffe > bundle.json',
    'kubectl signet export example.org -A --format pkcs12 --password-file pw --out trust.p12',
  ],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      if (input.args.length > 1) return fail('CLI_USAGE', 'takes one trust domain');
      const judged = await collect(trustDomainInput(input), io, clusters);
      if (!judged.ok) return judged;
      const chosen = oneDomain(judged.value);
      if (!chosen.ok) return chosen;
      const form = FORMS.find((one) => one === input.text('format'));
      if (input.text('format') === 'pkcs12') return writeTrustStore(chosen.value, input, io);
      if (input.text('password-file') !== undefined)
        return flagError('password-file', 'is for pkcs12');
      const text = exportText(chosen.value, form ?? 'pem');
      if (!text.ok) return text;
      const path = input.text('out');
      if (path !== undefined) return writeFileAtomic(path, utf8(text.value), { mode: 0o644 });
      io.out(text.value);
      return ok(undefined);
    }),
};

/** The CA certificates of the bundle as a trust store that Java and OpenSSL read. */
async function writeTrustStore(
  judged: readonly JudgedCopy[],
  input: Input,
  { random, err }: CliIo,
): Promise<Result<void>> {
  const path = input.text('out');
  if (path === undefined) return flagError('out', 'is needed: a trust store is no text');
  const from = input.text('password-file');
  if (from === undefined) return flagError('password-file', 'is needed for a trust store');
  const read = await readFileIfPresent(from, MAX_PASSWORD_BYTES);
  if (!read.ok) return read;
  const password = Buffer.from(read.value ?? [])
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (password === '') return flagError('password-file', `${from} is not there, or empty`);
  const authorities = exportedX509(judged);
  if (!authorities.ok) return authorities;
  const trusted = authorities.value.map(({ certificate, fingerprint }) => ({
    der: certificate.der,
    name: `${fingerprint.slice(0, 16)}`,
  }));
  const { writePkcs12 } = await import('../../x509/pkcs12.ts');
  const written = await writeFileAtomic(path, writePkcs12({ trusted, password, random }), {
    mode: 0o644,
  });
  if (written.ok) err(`${safe(path)}: ${counted(trusted.length, 'authority', 'authorities')}\n`);
  return written;
}
