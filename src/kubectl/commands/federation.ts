import { inParallel } from '../../base/in-parallel.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec } from '../../cli/spec.ts';
import { counted, safe, span } from '../../cli/text.ts';
import { type Cluster, withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, SCOPE_FLAGS } from '../flags.ts';
import { compare, type JudgedCopy } from '../judge.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { refOf } from '../model.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';
import { fetchRelationship, type Relationship, relationshipsOf } from '../sources/federation.ts';

/** Endpoints asked at a time. */
const AT_ONCE = 8;

/** A partner, with what its endpoint said just now. */
interface Partner {
  readonly relationship: Relationship;
  readonly state: 'InSync' | 'Stale' | 'Missing' | 'Failed';
  /** What the endpoint says, and the copy that the cluster holds. */
  readonly sequence: string;
  readonly heldSequence: string;
  readonly hint: string;
  readonly heldBy: string;
  readonly error: string | undefined;
}

/** `kubectl signet federation`. */
export const federation: CommandSpec = {
  about:
    'Prints the partners that ClusterFederatedTrustDomains state, asks the endpoint of each for its bundle\n' +
    '(https_web, https_spiffe), and compares that to the copy in the cluster: Stale where it differs,\n' +
    'Missing where there is none, Failed where the endpoint does not answer or is not who it should be.',
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'json', 'yaml']),
    NO_HEADERS,
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: ['kubectl signet federation -A', 'kubectl signet federation -A -o json'],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      const judged = await collect(input, io, clusters);
      if (!judged.ok && judged.error.code !== 'TRUST_NOT_FOUND') return judged;
      const partners: Partner[] = [];
      for (const cluster of clusters) {
        const found = await partnersOf(cluster, judged.ok ? judged.value : [], io);
        if (!found.ok) return found;
        partners.push(...found.value);
      }
      if (isForPrograms(input)) {
        await printObject('FederationList', { items: partners.map(partnerJson) }, input, io);
      } else if (partners.length > 0) {
        const heads = ['TRUST DOMAIN', 'PROFILE', 'SEQ', 'HELD', 'REFRESH', 'URL', 'STATE'];
        printTable({ heads, rows: partners.map(rowOf) }, input, io);
        for (const { relationship, error } of partners) {
          if (error !== undefined) io.err(`${safe(`${relationship.name}: ${error}`)}\n`);
        }
      } else io.out('no relationships\n');
      const bad = partners.filter(({ state }) => state !== 'InSync');
      if (bad.length === 0) return ok(undefined);
      const total = counted(partners.length, 'partner', 'partners');
      return fail('TRUST_FINDINGS', `${bad.length} of ${total} not in sync`);
    }),
};

async function partnersOf(
  cluster: Cluster,
  judged: readonly JudgedCopy[],
  io: CliIo,
): Promise<Result<readonly Partner[]>> {
  const relationships = await relationshipsOf(cluster);
  if (!relationships.ok) return relationships;
  const own = judged.filter(
    ({ copy, isReference }) => isReference && copy.place.context === cluster.context,
  );
  const held = (name: string): JudgedCopy | undefined =>
    own.find((one) => one.trustDomain === name && one.copy.content.x509.length > 0);
  return ok(
    await inParallel(relationships.value, AT_ONCE, async (relationship) => {
      const parts = { clock: io.clock, signal: new AbortController().signal };
      const fetched = await fetchRelationship(
        relationship,
        (name) => held(name)?.copy.content,
        parts,
      );
      return partnerOf(relationship, fetched, held(relationship.trustDomain));
    }),
  );
}

function partnerOf(
  relationship: Relationship,
  fetched: Awaited<ReturnType<typeof fetchRelationship>>,
  held: JudgedCopy | undefined,
): Partner {
  const heldSequence = held?.copy.sequence?.toString() ?? '-';
  const heldBy = held === undefined ? '-' : refOf(held.copy.place, true);
  const some = { relationship, heldSequence, heldBy };
  if (!fetched.ok) {
    const error = `${fetched.error.code}: ${fetched.error.message}`;
    return { ...some, state: 'Failed', sequence: '-', hint: '-', error };
  }
  const { sequence, refreshHintSeconds } = fetched.value;
  const differs =
    held !== undefined &&
    Object.values(compare(held.copy.content, fetched.value)).some((list) => list.length > 0);
  return {
    ...some,
    state: held === undefined ? 'Missing' : differs ? 'Stale' : 'InSync',
    sequence: sequence?.toString() ?? '-',
    hint: refreshHintSeconds === undefined ? '-' : span(refreshHintSeconds).replaceAll(' ', ''),
    error: undefined,
  };
}

function rowOf({ relationship, sequence, heldSequence, hint, state }: Partner): readonly string[] {
  const { trustDomain, profile, url } = relationship;
  return [trustDomain, profile, sequence, heldSequence, hint, url, state];
}

function partnerJson(partner: Partner): Readonly<Record<string, unknown>> {
  const { relationship, error, ...facts } = partner;
  const { context, name, trustDomain, profile, url } = relationship;
  return { context, name, trustDomain, profile, url, ...facts, error: error ?? null };
}
