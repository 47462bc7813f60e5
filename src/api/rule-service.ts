import { fail, ok, type Result } from '../base/result.ts';
import {
  type ExplainPodRequest,
  type ExplainPodResponse,
  GetEntrySourcesResponse,
  type RuleRef,
  type RuleService,
  type RuleVerdict as WireVerdict,
} from '../gen/signet/rule/v1/rule.ts';
import { requireZone } from '../policy/zones.ts';
import type { Handlers } from '../rpc/service.ts';
import type { Entry } from '../rules/entry.ts';
import type { Explanation, PodExplanation, RuleVerdict } from '../rules/kube/explain.ts';
import { type RuleOrigin, ruleName } from '../rules/kube/pod-rule.ts';
import { checkBatch, fitAnswer } from './batch.ts';
import type { ApiContext } from './context.ts';
import { toWireEntry } from './convert/entries.ts';

/** Most verdicts of one answer; what is about the pod comes first. */
const MAX_VERDICTS = 1000;

/** The rules of one cluster, as operators ask about them. */
export interface ClusterRules {
  readonly name: string;
  /** Whether everything has been read once. */
  readonly isReady: boolean;
  /** How every rule stands with a pod, by `namespace/name`. */
  explain(pod: string): PodExplanation | undefined;
}

/** `signet.rule.v1.Rule`: which entries rules give pods, and why. */
export function createRuleService(
  api: ApiContext,
  clusters: readonly ClusterRules[],
): Handlers<RuleService> {
  return {
    explainPod: (request) => explainPod(api, clusters, request),
    getEntrySources(request) {
      const checked = checkBatch(request.ids.length, api.limits.maxBatchEntries, 'ids');
      if (!checked.ok) return checked;
      const sources = request.ids.flatMap((id) => {
        const source = api.registry.derived.sourceOf(id);
        if (source === undefined) return [];
        const { cluster, rule, pod = '' } = source;
        return [{ id, cluster, rule: refOf(rule), pod }];
      });
      return fitAnswer(GetEntrySourcesResponse, { sources });
    },
  };
}

function explainPod(
  api: ApiContext,
  clusters: readonly ClusterRules[],
  { cluster: asked, namespace, name }: ExplainPodRequest,
): Result<ExplainPodResponse> {
  const cluster = findCluster(clusters, asked);
  if (!cluster.ok) return cluster;
  if (!cluster.value.isReady) {
    return fail('RULES_PENDING', `the rules of ${cluster.value.name} are not read yet`);
  }
  const found = cluster.value.explain(`${namespace}/${name}`);
  if (found === undefined) {
    const pod = JSON.stringify(`${namespace}/${name}`.slice(0, 200));
    return fail('POD_NOT_FOUND', `cluster ${cluster.value.name} has no pod ${pod}`);
  }
  const { uid, nodeName } = found.pod;
  const told = found.rules.slice(0, MAX_VERDICTS);
  const rules = told.map((explanation) => verdictOf(api, explanation));
  const leftOut = found.rules.length - told.length;
  return ok({ cluster: cluster.value.name, namespace, name, uid, nodeName, rules, leftOut });
}

function findCluster(clusters: readonly ClusterRules[], asked: string): Result<ClusterRules> {
  const [only, ...others] = clusters;
  if (only === undefined) {
    return fail('RULE_CLUSTER', 'no cluster is configured: kubernetes.clusters is empty');
  }
  const names = clusters.map(({ name }) => name).join(', ');
  if (asked === '' && others.length > 0) {
    return fail('RULE_CLUSTER', `there are several clusters: ${names}`);
  }
  const found = asked === '' ? only : clusters.find(({ name }) => name === asked);
  if (found !== undefined) return ok(found);
  return fail(
    'RULE_CLUSTER',
    `no cluster ${JSON.stringify(asked.slice(0, 80))}; there is ${names}`,
  );
}

function verdictOf(api: ApiContext, { rule, verdict }: Explanation): WireVerdict {
  const entry = 'entry' in verdict ? verdict.entry : undefined;
  return {
    rule: refOf(rule),
    verdict: verdict.kind,
    reason: reasonOf(verdict),
    entry: entry && toWireEntry(entry),
    obstacles: verdict.kind === 'in-force' ? obstaclesOf(api, verdict.entry) : [],
  };
}

function reasonOf(verdict: RuleVerdict): string {
  switch (verdict.kind) {
    case 'in-force':
      return '';
    case 'masked':
      return `${ruleName(verdict.by)} gives the same entry and is older`;
    case 'not-needed':
      return `it is a fallback, and ${ruleName(verdict.by)} gives the pod an entry`;
    case 'failed':
      return `${verdict.error.code}: ${verdict.error.message}`;
    case 'ignored':
      return 'the namespace is one of rules.ignoreNamespaces';
    case 'other-class':
      return `className is ${JSON.stringify(verdict.className)}; see rules.className and rules.watchClassless of the server`;
    case 'invalid':
    case 'waiting':
    case 'not-selected':
      return verdict.why;
  }
}

/** What keeps a pod from what its entry says: the standing of its node. */
function obstaclesOf({ registry, policy }: ApiContext, entry: Entry): string[] {
  const agent = registry.agent(entry.parentId);
  if (agent === undefined) return [`no agent ${entry.parentId.uri} has attested`];
  const zone = requireZone(entry.spiffeId, agent, policy);
  return [
    ...(agent.banned ? [`agent ${agent.id.uri} is banned`] : []),
    ...(agent.quarantine === undefined ? [] : [`quarantine: ${agent.quarantine}`]),
    ...(zone.ok ? [] : [zone.error.message]),
  ];
}

function refOf({ kind, namespace, name }: RuleOrigin): RuleRef {
  return { kind, namespace, name };
}
