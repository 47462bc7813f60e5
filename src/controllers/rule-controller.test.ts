import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { CLUSTER } from '../../test/support/kube-rules.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { systemClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { openKubeApi } from '../kube/kube-api.ts';
import type { KnownRule } from '../rules/kube/rule-table.ts';
import { RuleController } from './rule-controller.ts';
import { kubernetesSchema } from './settings.ts';

const RULES = '/apis/spire.spiffe.io/v1alpha1/clusterspiffeids';
const SPEC = { spiffeIDTemplate: 'spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}' };

async function started(context: TestContext, servesConnectors = false) {
  const fake = await FakeKube.start();
  const { kubeconfigPath } = fake;
  const api = assertValue(await openKubeApi({ kubeconfigPath }, { clock: systemClock }));
  const [cluster = assert.fail()] = kubernetesSchema.parse({
    clusters: [{ name: 'rack' }],
  }).clusters;
  const controller = new RuleController({
    servesConnectors,
    cluster,
    api,
    trustDomain: CLUSTER.trustDomain,
    derived: {
      count: 0,
      apply: () => {},
      sourceOf: () => undefined,
      holdBack: () => () => {},
      isHeld: () => false,
    },
    clock: systemClock,
    random: seededRandom(3),
    log: { info: () => {}, warn: () => {} },
  });
  context.after(async () => {
    await controller.stop();
    api.close();
    await fake.stop();
  });
  /** The rule as it was read last, once there is one of this name. */
  const rule = async (name: string): Promise<KnownRule> => {
    for (;;) {
      for (const { known } of controller.standings()) if (known.origin.name === name) return known;
      await pause(5);
    }
  };
  return { fake, rule, facts: controller.facts };
}

test('a rule is not read anew when somebody writes its status, else it is', async (context) => {
  const { fake, rule } = await started(context);
  fake.put(RULES, { metadata: { name: 'all' }, spec: SPEC });
  const first = await rule('all');
  fake.put(RULES, {
    metadata: { name: 'all' },
    spec: SPEC,
    status: { stats: { podsSelected: 9 } },
  });
  // What comes after it on the same watch has been taken, so it has been, too.
  fake.put(RULES, { metadata: { name: 'later' }, spec: SPEC });
  await rule('later');
  assert.equal(await rule('all'), first);
  fake.put(RULES, { metadata: { name: 'all' }, spec: { ...SPEC, hint: 'h' } });
  fake.put(RULES, { metadata: { name: 'last' }, spec: SPEC });
  await rule('last');
  const changed = await rule('all');
  assert.notEqual(changed, first);
  fake.put(RULES, {
    metadata: { name: 'all', deletionTimestamp: '2030-01-01T00:00:00Z' },
    spec: { ...SPEC, hint: 'h' },
  });
  fake.put(RULES, { metadata: { name: 'very-last' }, spec: SPEC });
  await rule('very-last');
  assert.notEqual(await rule('all'), changed, 'who masks whom depends on it');
});

test('of a server that serves connectors: static entries have none of their IDs', async (context) => {
  const { fake, rule, facts } = await started(context, true);
  assert.equal(facts.servesConnectors, true, 'what pods are judged by');
  for (const [name, path] of [
    ['theirs', 'connector/edge/c1'],
    ['other', 'connectors/c1'],
  ] as const) {
    const parentID = 'spiffe://example.org/spire/agent/a';
    const spec = { spiffeID: `spiffe://example.org/${path}`, parentID, selectors: ['unix:uid:0'] };
    fake.put(RULES.replace('clusterspiffeids', 'clusterstaticentries'), {
      metadata: { name },
      spec,
    });
    const known = await rule(name);
    assert.ok(known.kind === 'static');
    if (name === 'theirs') assertRefused(known.parsed, 'ENTRY_SPIFFE_ID');
    else assertValue(known.parsed);
  }
});
