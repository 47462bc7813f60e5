import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec } from '../../cli/spec.ts';
import { counted, safe } from '../../cli/text.ts';
import { type KubeObject, metaOf } from '../../kube/objects.ts';
import { authoritiesOf } from '../authorities.ts';
import { type Cluster, withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { parseDocument } from '../documents.ts';
import { CONNECTION_FLAGS, durationFlag, NO_HEADERS, outputFlag, SCOPE_FLAGS } from '../flags.ts';
import type { JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { refOf, sha256Hex } from '../model.ts';
import { nameText } from '../name-text.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { chainText, eachTlsSecret } from '../sources/secrets.ts';
import { awayText, shortOf, timeText } from '../view.ts';

const WEEK_MS = 7 * 86_400_000;

/** Something that ends. */
interface Ending {
  readonly endMs: number;
  readonly kind: 'x509' | 'jwt' | 'leaf';
  readonly what: string;
  readonly sha256: string;
  readonly where: readonly string[];
}

/** `kubectl signet expiring`. */
export const expiring: CommandSpec = {
  about:
    'Prints the authorities that end soon or have ended, the most urgent first; with --secrets also the\n' +
    'certificates in Secrets of type kubernetes.io/tls. Exit code 1 where there is one.',
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
      const withinMs = durationFlag(input, 'within', WEEK_MS);
      if (!withinMs.ok) return withinMs;
      const judged = await collect(input, io, clusters);
      if (!judged.ok && judged.error.code !== 'TRUST_NOT_FOUND') return judged;
      const unread = unreadOf(judged.ok ? judged.value : [], io);
      if (!unread.ok) return unread;
      const { x509, jwt } = authoritiesOf(judged.ok ? judged.value : []);
      const leaves = input.has('secrets') ? await leavesOf(clusters) : ok([]);
      if (!leaves.ok) return leaves;
      const endings: Ending[] = [
        ...x509.map(
          ({ authority: { certificate, fingerprint: sha256 }, heldBy: where }): Ending => {
            const { notAfterMs: endMs, subjectDer } = certificate;
            return { endMs, kind: 'x509', what: nameText(subjectDer), sha256, where };
          },
        ),
        ...jwt.flatMap(({ authority, heldBy: where }): Ending[] => {
          const { expiresAtMs: endMs, keyId: what, fingerprint: sha256 } = authority;
          return endMs === undefined ? [] : [{ endMs, kind: 'jwt', what, sha256, where }];
        }),
        ...leaves.value,
      ];
      const nowMs = io.clock.nowMs();
      const soon = endings
        .filter(({ endMs }) => endMs <= nowMs + withinMs.value)
        .toSorted((a, b) => a.endMs - b.endMs);
      await print(soon, nowMs, endings.length, { input, io });
      if (soon.length === 0) return ok(undefined);
      const ended = soon.filter(({ endMs }) => endMs <= nowMs).length;
      const things = counted(soon.length, 'end is near or past', 'ends are near or past');
      return fail('TRUST_FINDINGS', `${things}, ${ended} past`);
    }),
};

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
  const stateOf = ({ endMs }: Ending): string => (endMs <= nowMs ? 'Expired' : 'Expiring');
  if (isForPrograms(input)) {
    const items = soon.map((one) => ({
      state: stateOf(one),
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
      stateOf(one),
    ];
  });
  printTable(
    { heads: ['ENDS', 'KIND', 'SHA-256', 'SUBJECT', 'HELD BY', 'STATE'], rows },
    input,
    io,
  );
}

/** The leaves of TLS Secrets; what is no certificate is passed over. */
async function leavesOf(clusters: readonly Cluster[]): Promise<Result<readonly Ending[]>> {
  const leaves: Ending[] = [];
  for (const cluster of clusters) {
    const listed = await eachTlsSecret(cluster, (object) => {
      const leaf = leafOf(object);
      if (leaf !== undefined) leaves.push(leaf);
    });
    if (!listed.ok) return listed;
  }
  return ok(leaves);
}

function leafOf(object: KubeObject): Ending | undefined {
  const text = chainText(object, undefined);
  const document = text.ok ? parseDocument('', Buffer.from(text.value.text)) : text;
  const leaf = document.ok && document.value.kind === 'x509' ? document.value.chain[0] : undefined;
  if (leaf === undefined) return undefined;
  const { namespace, name } = metaOf(object);
  const uri = leaf.subjectAltName?.names.find((one) => one.kind === 'uri');
  return {
    endMs: leaf.notAfterMs,
    kind: 'leaf',
    what: uri?.kind === 'uri' ? uri.text : nameText(leaf.subjectDer),
    sha256: sha256Hex(leaf.der),
    where: [`secret/${namespace}/${name}`],
  };
}
