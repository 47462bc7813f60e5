import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec } from '../../cli/spec.ts';
import { counted, safe } from '../../cli/text.ts';
import { type KubeObject, metaOf } from '../../kube/objects.ts';
import { authoritiesOf } from '../authorities.ts';
import { type Cluster, withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { parseDocument } from '../documents.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, SCOPE_FLAGS, withinFlag } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { refOf, sha256Hex } from '../model.ts';
import { nameText } from '../name-text.ts';
import { jwtNearMs, nearMs, nearMsOf, runsOut } from '../nearness.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { chainText, eachTlsSecret } from '../sources/secrets.ts';
import { awayText, shortOf, timeText } from '../view.ts';

/** Something that ends. */
interface Ending {
  readonly endMs: number;
  /** How long before its end it is near. */
  readonly nearMs: number;
  /** Whether each copy that holds it holds one that lasts, too: it is being rotated. */
  readonly succeeded: boolean;
  readonly kind: 'x509' | 'jwt' | 'leaf';
  readonly what: string;
  readonly sha256: string;
  readonly where: readonly string[];
}

/** `kubectl signet expiring`. */
export const expiring: CommandSpec = {
  about:
    'Prints the authorities that end soon or have ended, the most urgent first; with --secrets also the\n' +
    'certificates in Secrets of type kubernetes.io/tls. Exit code 1 where there is one. Unless --within\n' +
    'is given, soon is 7 days, or the last sixth of a shorter life, and an authority whose successor\n' +
    'is in every copy that holds it is Replaced, which is no finding.',
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'wide', 'json', 'yaml']),
    NO_HEADERS,
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet expiring -A --within 30d',
    'kubectl signet expiring -A --secrets -o json',
  ],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      const withinMs = withinFlag(input);
      if (!withinMs.ok) return withinMs;
      const judged = await collect(input, io, clusters);
      if (!judged.ok && judged.error.code !== 'TRUST_NOT_FOUND') return judged;
      const unread = unreadOf(judged.ok ? judged.value : [], io);
      if (!unread.ok) return unread;
      const leaves = input.has('secrets') ? await leavesOf(clusters, withinMs.value) : ok([]);
      if (!leaves.ok) return leaves;
      const nowMs = io.clock.nowMs();
      const authorities = authorityEndings(judged.ok ? judged.value : [], nowMs, withinMs.value);
      const endings = [...authorities, ...leaves.value];
      const soon = endings
        .filter(({ endMs, nearMs }) => endMs <= nowMs + nearMs)
        .toSorted((a, b) => a.endMs - b.endMs);
      await print(soon, nowMs, endings.length, { input, io });
      const due = soon.filter((one) => stateOf(one, nowMs) !== 'Replaced');
      if (due.length === 0) return ok(undefined);
      const ended = due.filter(({ endMs }) => endMs <= nowMs).length;
      const things = counted(due.length, 'end is near or past', 'ends are near or past');
      return fail('TRUST_FINDINGS', `${things}, ${ended} past`);
    }),
};

function stateOf({ endMs, succeeded }: Ending, nowMs: number): 'Expired' | 'Expiring' | 'Replaced' {
  if (endMs <= nowMs) return 'Expired';
  return succeeded ? 'Replaced' : 'Expiring';
}

/** The authorities of all copies. With a time that was asked for, none counts as replaced. */
function authorityEndings(
  judged: readonly JudgedCopy[],
  nowMs: number,
  withinMs: number | undefined,
): readonly Ending[] {
  const { x509, jwt } = authoritiesOf(judged);
  const running = new Set(
    judged
      .filter(({ copy }) => runsOut(copy.content, nowMs, withinMs))
      .flatMap(({ copy }) => [...copy.content.x509, ...copy.content.jwt])
      .map(({ fingerprint }) => fingerprint),
  );
  const jwtNear = Math.min(...judged.map(({ copy }) => jwtNearMs(copy.content, withinMs)));
  return [
    ...x509.map(({ authority, heldBy: where }): Ending => {
      const { certificate, fingerprint: sha256 } = authority;
      const { notAfterMs: endMs, subjectDer } = certificate;
      const nearMs = nearMsOf(authority, withinMs);
      const what = nameText(subjectDer);
      return { endMs, nearMs, succeeded: !running.has(sha256), kind: 'x509', what, sha256, where };
    }),
    ...jwt.flatMap(({ authority, heldBy: where }): Ending[] => {
      const { expiresAtMs: endMs, keyId: what, fingerprint: sha256 } = authority;
      const ending = { nearMs: jwtNear, succeeded: !running.has(sha256), what, sha256, where };
      return endMs === undefined ? [] : [{ ...ending, endMs, kind: 'jwt' }];
    }),
  ];
}

/** Tells what may not be read; where that is all there is, nothing was looked at. */
function unreadOf(judged: readonly JudgedCopy[], io: CliIo): Result<void> {
  const unread = judged.flatMap(({ copy }) =>
    copy.problem === undefined ? [] : [{ ref: refOf(copy.place, true), error: copy.problem }],
  );
  const [first] = unread;
  if (first !== undefined && unread.length === judged.length) {
    return { ok: false, error: first.error };
  }
  for (const { ref, error } of unread) io.err(`${safe(`not read: ${ref} (${error.code})`)}\n`);
  return ok(undefined);
}

async function print(
  soon: readonly Ending[],
  nowMs: number,
  total: number,
  { input, io }: { readonly input: Parameters<typeof printTable>[1]; readonly io: CliIo },
): Promise<void> {
  if (isForPrograms(input)) {
    const items = soon.map((one) => ({
      state: stateOf(one, nowMs),
      expiresAt: timeText(one.endMs),
      kind: one.kind,
      subject: one.what,
      sha256: one.sha256,
      heldBy: one.where,
    }));
    await printObject('ExpiringList', { total, items }, input, io);
    return;
  }
  if (soon.length === 0) {
    io.out(`${counted(total, 'end', 'ends')} looked at, none is near\n`);
    return;
  }
  const wide = input.text('output') === 'wide';
  const rows = soon.map((one) => {
    const [first = '-', ...more] = one.where;
    return [
      awayText(one.endMs, nowMs),
      one.kind,
      shortOf(one.sha256),
      wide ? one.what : one.what.slice(0, 24),
      wide || more.length === 0 ? one.where.join(' ') : `${first} +${more.length}`,
      stateOf(one, nowMs),
    ];
  });
  printTable(
    { heads: ['ENDS', 'KIND', 'SHA-256', 'SUBJECT', 'HELD BY', 'STATE'], rows },
    input,
    io,
  );
}

/** The leaves of TLS Secrets; what is no certificate is passed over. */
async function leavesOf(
  clusters: readonly Cluster[],
  withinMs: number | undefined,
): Promise<Result<readonly Ending[]>> {
  const leaves: Ending[] = [];
  for (const cluster of clusters) {
    const listed = await eachTlsSecret(cluster, (object) => {
      const leaf = leafOf(object, withinMs);
      if (leaf !== undefined) leaves.push(leaf);
    });
    if (!listed.ok) return listed;
  }
  return ok(leaves);
}

function leafOf(object: KubeObject, withinMs: number | undefined): Ending | undefined {
  const text = chainText(object, undefined);
  const document = text.ok ? parseDocument('', Buffer.from(text.value.text)) : text;
  const leaf = document.ok && document.value.kind === 'x509' ? document.value.chain[0] : undefined;
  if (leaf === undefined) return undefined;
  const { namespace, name } = metaOf(object);
  const uri = leaf.subjectAltName?.names.find((one) => one.kind === 'uri');
  return {
    endMs: leaf.notAfterMs,
    nearMs: nearMs(leaf.notAfterMs - leaf.notBeforeMs, withinMs),
    succeeded: false,
    kind: 'leaf',
    what: uri?.kind === 'uri' ? uri.text : nameText(leaf.subjectDer),
    sha256: sha256Hex(leaf.der),
    where: [`secret/${namespace}/${name}`],
  };
}
