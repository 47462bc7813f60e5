import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { formatBlock, formatTime } from '../../cli/text.ts';
import { authoritiesOf, type HeldAuthority } from '../authorities.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { exportText } from '../export-text.ts';
import { CONNECTION_FLAGS, outputFlag, outputOf, SCOPE_FLAGS } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import type { JwtAuthority, X509Authority } from '../model.ts';
import { nameText } from '../name-text.ts';
import { isForPrograms, printObject } from '../print.ts';
import { jwtJson, keyTypeText, x509Json } from '../view.ts';

/** `kubectl signet show`. */
export const show: CommandSpec = {
  args: '[trust-domain]',
  about: 'Prints every authority of a trust domain, and which copies hold it.',
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'wide', 'json', 'yaml', 'pem', 'jwks']),
    ...JUDGING_FLAGS.filter(({ name }) => name !== 'trust-domain'),
    ...CONNECTION_FLAGS,
  ],
  examples: ['kubectl signet show example.org -A', 'kubectl signet show -A -o pem > roots.pem'],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      if (input.args.length > 1) return fail('CLI_USAGE', 'takes one trust domain');
      const judged = await collect(trustDomainInput(input), io, clusters);
      if (!judged.ok) return judged;
      const chosen = oneDomain(judged.value);
      if (!chosen.ok) return chosen;
      const form = outputOf(input);
      if (form !== 'pem' && form !== 'jwks') return print(chosen.value, input, io);
      const text = exportText(chosen.value, form);
      if (!text.ok) return text;
      io.out(text.value);
      return ok(undefined);
    }),
};

/** The trust domain as a word in place of a flag. */
export function trustDomainInput(input: Input): Input {
  const [word] = input.args;
  return { ...input, text: (flag) => (flag === 'trust-domain' ? word : input.text(flag)) };
}

/** Copies of one trust domain; those that nobody can tell are left out where others say theirs. */
export function oneDomain(judged: readonly JudgedCopy[]): Result<readonly JudgedCopy[]> {
  const known = judged.filter(({ trustDomain }) => trustDomain !== undefined);
  const names = [...new Set(known.map(({ trustDomain }) => trustDomain))];
  const problem = judged.map(({ copy }) => copy.problem).find((one) => one !== undefined);
  const isAllUnread = judged.every(({ copy }) => copy.problem !== undefined);
  if (problem !== undefined && isAllUnread) return { ok: false, error: problem };
  if (names.length <= 1) return ok(known.length === 0 ? judged : known);
  return fail('TRUST_AMBIGUOUS', `there are several trust domains: ${names.join(', ')}`);
}

async function print(
  judged: readonly JudgedCopy[],
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const { x509, jwt } = authoritiesOf(judged);
  const trustDomain = judged[0]?.trustDomain;
  if (isForPrograms(input)) {
    const where = ({ tainted, heldBy, lackedBy }: HeldAuthority<unknown>) => ({
      tainted,
      heldBy,
      lackedBy,
    });
    const members = {
      trustDomain: trustDomain ?? null,
      x509: x509.map((held) => ({ ...x509Json(held.authority), ...where(held) })),
      jwt: jwt.map((held) => ({ ...jwtJson(held.authority), ...where(held) })),
    };
    await printObject('Bundle', members, input, io);
    return ok(undefined);
  }
  const wide = outputOf(input) === 'wide';
  const nowMs = io.clock.nowMs();
  const head = formatBlock([['Trust domain', trustDomain ?? 'unknown']]);
  const blocks = [
    ...x509.map((held) => x509Block(held, nowMs, wide)),
    ...jwt.map((held) => jwtBlock(held, nowMs, wide)),
  ];
  io.out([head, ...blocks].join('\n'));
  return ok(undefined);
}

function x509Block(held: HeldAuthority<X509Authority>, nowMs: number, wide: boolean): string {
  const { certificate, fingerprint } = held.authority;
  const { subjectKeyId, basicConstraints, notBeforeMs, notAfterMs } = certificate;
  const time = (ms: number): string => formatTime(Math.floor(ms / 1000), nowMs);
  const { pathLength } = basicConstraints ?? {};
  return formatBlock([
    ['X.509', nameText(certificate.subjectDer)],
    ['SHA-256', fingerprint],
    ['Key ID', subjectKeyId === undefined ? [] : toHex(subjectKeyId)],
    ['Key', keyTypeText(held.authority)],
    ['Valid from', time(notBeforeMs)],
    ['Valid until', time(notAfterMs)],
    ['Path length', pathLength === undefined ? 'any' : String(pathLength)],
    ...placesOf(held, wide),
  ]);
}

function jwtBlock(held: HeldAuthority<JwtAuthority>, nowMs: number, wide: boolean): string {
  const { keyId, fingerprint, keyType, expiresAtMs } = held.authority;
  const until = expiresAtMs === undefined ? [] : formatTime(Math.floor(expiresAtMs / 1000), nowMs);
  return formatBlock([
    ['JWT key', keyId],
    ['SHA-256', fingerprint],
    ['Key', keyType],
    ['Valid until', until],
    ...placesOf(held, wide),
  ]);
}

/** Copies that are named where not all are to be. */
const MAX_NAMED = 3;

function placesOf(
  { tainted, heldBy, lackedBy }: HeldAuthority<unknown>,
  wide: boolean,
): readonly (readonly [string, string | readonly string[]])[] {
  const total = heldBy.length + lackedBy.length;
  const some = (names: readonly string[]): readonly string[] =>
    wide || names.length <= MAX_NAMED
      ? names
      : [...names.slice(0, MAX_NAMED), `and ${names.length - MAX_NAMED} more`];
  return [
    ['Tainted', tainted ? 'yes' : []],
    ['Held by', wide ? heldBy : `${heldBy.length} of ${total}`],
    ['Not in', some(lackedBy)],
  ];
}
