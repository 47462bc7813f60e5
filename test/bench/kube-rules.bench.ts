/**
 * Rules over many pods: how long a change of a rule takes until all entries are derived and in the
 * streams of their agents, what a pod costs then, and in memory. The derivation and the registry as the
 * server has them, without API server and wire. Prints a table and writes `bench-kube-rules.json`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { podReader } from '../../src/controllers/projections.ts';
import { createRegistry, type Registry } from '../../src/registry/registry.ts';
import { Derivation } from '../../src/rules/kube/derivation.ts';
import type { JsonObject } from '../../src/rules/kube/fields.ts';
import type { KubePod } from '../../src/rules/kube/objects.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { CLUSTER, clusterRule, node, USUAL_TEMPLATE } from '../support/kube-rules.ts';
import { agentRecord, id } from '../support/state.ts';
import { podObject } from './kube/pod-object.ts';
import { report } from './report.ts';

const PODS = 10_000;
const NODES = 200;
const RULES = 10_000;
/** As the server does it: so many pods, then others get their turn. */
const SLICE = 100;
const MIB = 1024 * 1024;

/** A pod as API servers hold them, with status and managed fields. */
function wholePod(index: number): JsonObject {
  const { metadata, spec } = podObject(index, {
    namespace: `ns-${index % 50}`,
    serviceAccountName: `sa-${index % 100}`,
  });
  return {
    metadata: {
      ...metadata,
      uid: `0e4d6c2a-0000-4000-8000-${String(index).padStart(12, '0')}`,
      resourceVersion: String(1_000_000 + index),
      creationTimestamp: '2027-01-01T00:00:00Z',
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: `rs-${index % 500}` },
      ],
      managedFields: [
        { manager: 'kubelet', fieldsV1: { 'f:status': { 'f:x': 'y'.repeat(1500) } } },
      ],
    },
    spec: { ...spec, nodeName: `node-${index % NODES}`, schedulerName: 'default-scheduler' },
    status: { phase: 'Running', podIP: '10.0.0.1', message: 's'.repeat(1000) },
  };
}

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

const readPod = podReader();

function podOf(object: JsonObject): KubePod {
  const pod = readPod(object);
  if (pod === undefined) throw new TypeError('the pod has ended');
  return pod;
}

function usedMib(): number {
  for (let round = 0; round < 4; round += 1) collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / MIB;
}

/** Derives what is due, in the server's slices; answers milliseconds and the longest slice. */
async function settle(rules: Derivation, registry: Registry): Promise<readonly [number, number]> {
  const startedMs = performance.now();
  let longestMs = 0;
  do {
    const sliceMs = performance.now();
    registry.derived.apply(rules.settle(SLICE));
    longestMs = Math.max(longestMs, performance.now() - sliceMs);
    await setImmediate();
  } while (rules.pending > 0);
  return [performance.now() - startedMs, longestMs];
}

const folder = mkdtempSync(join(tmpdir(), 'signet-bench-'));
const { trustDomain } = CLUSTER;
const parts = { trustDomain, clock: systemClock, random: systemRandom };
const store = unwrap(await openSqliteStore({ ...parts, path: join(folder, 'bench.db') }));
const registry = unwrap(await createRegistry({ ...parts, store, derives: true }));
const rules = new Derivation({ cluster: CLUSTER, isIgnored: () => false });
const told = new Set<string>();
for (let index = 0; index < NODES; index += 1) {
  const agentId = id(`/spire/agent/k8s_psat/rack/uid-node-${index}`);
  const agent = { ...agentRecord('x'), id: agentId };
  unwrap(
    await registry.recordAttestation({ agent, aliasEntry: undefined, joinTokenAnswer: undefined }),
  );
  rules.putNode(node(`node-${index}`));
  const stream = registry.subscribe(agentId, () => {
    for (const { id: entryId } of stream.take()?.upserts ?? []) told.add(entryId);
  });
  stream.take();
}
for (let index = 0; index < 50; index += 1) {
  const name = `ns-${index}`;
  rules.putNamespace({ name, labels: { 'kubernetes.io/metadata.name': name } });
}
rules.putRule(clusterRule('all'));

const baseMib = usedMib();
for (let index = 0; index < PODS; index += 1) rules.putPod(podOf(wholePod(index)));
const [firstMs, firstSliceMs] = await settle(rules, registry);
const appeared = told.size;
const pushedMib = usedMib() - baseMib;

told.clear();
rules.putRule(clusterRule('all', { spiffeIDTemplate: `${USUAL_TEMPLATE}/{{ .PodMeta.Name }}` }));
const [changeMs, changeSliceMs] = await settle(rules, registry);
const changed = told.size;

const podStartedMs = performance.now();
for (let index = 0; index < 1000; index += 1) {
  const before = wholePod(index);
  rules.putPod(podOf({ ...before, metadata: { ...(before.metadata as object), labels: {} } }));
  registry.derived.apply(rules.settle());
}
const podMs = (performance.now() - podStartedMs) / 1000;

const rulesStartedMs = performance.now();
for (let index = 0; index < RULES; index += 1) {
  const podSelector = { matchLabels: { app: `app-${index}` } };
  rules.putRule(clusterRule(`r${index}`, { podSelector, hint: String(index) }));
}
const [manyMs] = await settle(rules, registry);
const manyRulesMs = performance.now() - rulesStartedMs;

report('kube-rules', {
  '10,000 pods appear': {
    ms: firstMs,
    'longest slice ms': firstSliceMs,
    entries: appeared,
  },
  'rule change over 10,000 pods, derived and taken by 200 streams': {
    ms: changeMs,
    'longest slice ms': changeSliceMs,
    entries: changed,
  },
  'one pod changes': { ms: podMs },
  'memory of 10,000 pods': { MiB: pushedMib },
  '10,000 rules more, each of one app': { ms: manyRulesMs, entries: registry.derived.count },
  'of that, pods looked at anew': { ms: manyMs },
});
await registry.close();
await store.close();
rmSync(folder, { recursive: true, force: true });
