import { fail, ok } from '../../base/result.ts';
import { ADMIN_SVID_FLAG, type CommandSpec } from '../../cli/spec.ts';
import { withClusters } from '../clusters.ts';
import { contentReader } from '../content.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag } from '../flags.ts';
import { compare } from '../judge.ts';
import { type BundleContent, type BundleCopy, refOf } from '../model.ts';
import { nameText } from '../name-text.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { readSource, SOURCE_HELP } from '../reference.ts';
import { shortOf, timeText } from '../view.ts';

/** An authority that only one side has, or that the other has under another certificate. */
interface Line {
  readonly side: '<' | '>' | '~';
  readonly sha256: string;
  readonly kind: 'x509' | 'jwt';
  readonly what: string;
  readonly end: string;
}

/** `kubectl signet diff`. */
export const diff: CommandSpec = {
  args: '<source> <source>',
  about:
    'Prints the authorities that only the first source has (<), only the second (>), and those of the\n' +
    `first that the second has under another certificate of the same key (~). ${SOURCE_HELP}\n` +
    'Exit code 1 where they differ; a certificate that was issued anew is no difference.',
  flags: [
    { name: 'namespace', short: 'n', value: 'name', help: 'namespace of names that say none' },
    {
      name: 'server-socket',
      value: 'path',
      help: 'admin socket of the server or tcp://host:port, for the source "server" (SIGNET_SERVER_SOCKET)',
    },
    ADMIN_SVID_FLAG,
    outputFlag(['table', 'json', 'yaml']),
    NO_HEADERS,
    ...CONNECTION_FLAGS,
  ],
  examples: [
    'kubectl signet diff cm/shop/spiffe-bundle ctb/example.org',
    'kubectl signet diff prod@cm/spire/spire-bundle staging@cm/spire/spire-bundle --context prod --context staging',
    'kubectl signet diff https://example.org/bundle.json ./bundle.pem',
  ],
  run: async (input, io) => {
    const [first, second, ...rest] = input.args;
    if (first === undefined || second === undefined || rest.length > 0) {
      return fail('CLI_USAGE', 'takes two sources');
    }
    return withClusters(
      input,
      io,
      async (clusters) => {
        const parts = { clusters, input, io, read: contentReader() };
        const a = await readSource(first, parts);
        if (!a.ok) return a;
        const b = await readSource(second, parts);
        if (!b.ok) return b;
        const lines = linesOf(a.value, b.value);
        if (isForPrograms(input)) {
          const members = { a: refOf(a.value.place, true), b: refOf(b.value.place, true) };
          await printObject('BundleDiff', { ...members, items: lines }, input, io);
        } else if (lines.length > 0) {
          const rows = lines.map((one) => [
            one.side,
            one.kind,
            shortOf(one.sha256),
            one.end,
            one.what,
          ]);
          const heads = ['', 'KIND', 'SHA-256', 'UNTIL', 'SUBJECT OR KEY ID'];
          printTable({ heads, rows }, input, io);
        }
        const count = lines.filter(({ side }) => side !== '~').length;
        if (count === 0) return ok(undefined);
        return fail('TRUST_FINDINGS', `${first} and ${second} differ by ${count} authorities`);
      },
      'names',
    );
  },
};

function linesOf({ content: a }: BundleCopy, { content: b }: BundleCopy): readonly Line[] {
  const { extra, missing, reissued } = compare(a, b);
  return [
    ...extra.map((sha256) => lineOf('<', sha256, a)),
    ...missing.map((sha256) => lineOf('>', sha256, b)),
    ...reissued.map((sha256) => lineOf('~', sha256, a)),
  ];
}

function lineOf(side: Line['side'], sha256: string, { x509, jwt }: BundleContent): Line {
  const authority = x509.find(({ fingerprint }) => fingerprint === sha256);
  if (authority !== undefined) {
    const { subjectDer, notAfterMs } = authority.certificate;
    return { side, sha256, kind: 'x509', what: nameText(subjectDer), end: timeText(notAfterMs) };
  }
  const key = jwt.find(({ fingerprint }) => fingerprint === sha256);
  const endMs = key?.expiresAtMs;
  const end = endMs === undefined ? '-' : timeText(endMs);
  return { side, sha256, kind: 'jwt', what: key?.keyId ?? '-', end };
}
