import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { clusterRule, derivation, node, pod, staticRule } from '../../test/support/kube-rules.ts';
import { ManualClock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { KubeApi, KubeRequest } from '../kube/kube-api.ts';
import type { KubeObject } from '../kube/objects.ts';
import type { Derivation } from '../rules/kube/derivation.ts';
import { StatusWriter } from './rule-status.ts';

let rules: Derivation;
let clock: ManualClock;
let calls: KubeRequest[];
let faults: SignetError[];
let term: AbortController | undefined;
/** Holds an answer back, by the path of the call. */
let held: (path: string) => Promise<void> | undefined;
let refusals: (path: string) => Result<KubeObject> | undefined;
let refusal: Result<KubeObject> | undefined;
let settled: () => void;

/** Answers when what was begun has come to its end: the fake answers at once, within one turn. */
function settledDown(): Promise<void> {
  return setImmediate();
}

function start(): StatusWriter {
  const api: KubeApi = {
    name: 'fake',
    serverAheadMs: undefined,
    request: async (request) => {
      calls.push(request);
      await held(request.path);
      return refusals(request.path) ?? refusal ?? ok({});
    },
    stream: async () => ok(undefined),
    close: () => {},
  };
  return new StatusWriter({
    api,
    clock,
    leader: {
      get term() {
        return term?.signal;
      },
      onChange: () => () => {},
    },
    rules: {
      standings: () => rules.standings(),
      onSettled(listener) {
        settled = listener;
        return () => {};
      },
    },
    onFault: (error) => faults.push(error),
  });
}

async function change(...made: readonly (() => void)[]): Promise<void> {
  for (const make of made) make();
  rules.settle();
  settled();
  clock.advance(1_000);
  await settledDown();
}

/** Statuses as they were written, by path. */
function written(): readonly (readonly [string, unknown])[] {
  return calls.map(({ path, body }) => [path, (body as { status: unknown }).status]);
}

beforeEach(() => {
  rules = derivation();
  rules.putNode(node('node-a'));
  rules.putNamespace({ name: 'shop', labels: {} });
  clock = new ManualClock(1_800_000_000_000);
  calls = [];
  faults = [];
  term = new AbortController();
  refusal = undefined;
  held = () => undefined;
  refusals = () => undefined;
});

describe('the status of rules', () => {
  it('has counts and a condition, and is written once for each change', async () => {
    const writer = start();
    await change(
      () => rules.putRule(clusterRule('all')),
      () => rules.putPod(pod('shop', 'a')),
      () => rules.putPod(pod('shop', 'b')),
    );
    const stats = {
      namespacesSelected: 1,
      namespacesIgnored: 0,
      podsSelected: 2,
      podEntryRenderFailures: 0,
      entriesMasked: 0,
      entriesToSet: 2,
      entryFailures: 0,
    };
    const lastTransitionTime = '2027-01-15T08:00:01Z';
    const ready = { type: 'Ready', status: 'True', reason: 'InForce', message: '' };
    const path = '/apis/spire.spiffe.io/v1alpha1/clusterspiffeids/all/status';
    assert.deepEqual(written(), [
      [path, { stats, conditions: [{ ...ready, lastTransitionTime }] }],
    ]);
    await change();
    assert.equal(calls.length, 1, 'nothing has changed');
    await change(() => rules.deletePod('shop/b'));
    assert.equal(calls.length, 2);
    const [, [, last] = assert.fail()] = written();
    assert.deepEqual((last as { conditions: unknown }).conditions, [
      { ...ready, lastTransitionTime },
    ]);
    await writer.stop();
  });

  it('says of a broken rule what is wrong, and goes on with the others', async () => {
    const writer = start();
    const spec = { spiffeID: 'spiffe://example.org/x', parentID: 'spiffe://example.org/y' };
    await change(
      () => rules.putRule(clusterRule('bad', { spiffeIDTemplate: '{{ .Nope }}' })),
      () => rules.putRule(clusterRule('worse', { spiffeIDTemplate: '{{' })),
      () => rules.putRule(staticRule('tool', { ...spec, selectors: ['a:b'] })),
      () => rules.putRule(staticRule('no-tool', { ...spec, selectors: [] })),
      () => rules.putPod(pod('shop', 'a')),
    );
    const facts = written().map(([, status]) => {
      const { conditions, set } = status as {
        conditions: { reason: string; message: string }[];
        set?: boolean;
      };
      return [conditions[0]?.reason, set];
    });
    assert.deepEqual(facts, [
      ['RenderFailures', undefined],
      ['Invalid', undefined],
      ['InForce', true],
      ['Invalid', false],
    ]);
    await writer.stop();
  });

  it('is written by who leads alone, and not for rules of other classes', async () => {
    const writer = start();
    term = undefined;
    await change(() => rules.putRule(clusterRule('all')));
    assert.equal(calls.length, 0);
    term = new AbortController();
    const { origin } = clusterRule('theirs');
    await change(() => rules.putRule({ kind: 'other-class', origin, className: 'x' }));
    assert.equal(calls.length, 1);
    await writer.stop();
  });

  it('is tried again later when it was refused, and not for an object that is gone', async () => {
    const writer = start();
    refusal = fail('KUBE_FORBIDDEN', 'no');
    await change(() => rules.putRule(clusterRule('all')));
    assert.deepEqual([calls.length, faults.length], [1, 1]);
    refusal = fail('KUBE_NOT_FOUND', 'gone');
    clock.advance(30_000);
    await settledDown();
    assert.deepEqual([calls.length, faults.length], [2, 1]);
    await change();
    assert.equal(calls.length, 2);
    await writer.stop();
  });

  it('is written by one pass at a time, however often something changes meanwhile', async () => {
    const writer = start();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    held = () => answered;
    await change(
      () => rules.putRule(clusterRule('a')),
      () => rules.putRule(clusterRule('b')),
    );
    for (const name of ['c', 'd', 'e']) await change(() => rules.putRule(clusterRule(name)));
    assert.equal(calls.length, 1, 'the first write is not answered yet');
    answer();
    await settledDown();
    clock.advance(1_000);
    await settledDown();
    const paths = calls.map(({ path }) => path);
    assert.equal(new Set(paths).size, 5);
    assert.equal(paths.length, 5, 'each is written once');
    await writer.stop();
  });

  it('of a rule that changes behind the pass is written by the next', async () => {
    const writer = start();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    held = (path) => (path.includes('/second/') ? answered : undefined);
    await change(
      () => rules.putRule(clusterRule('first')),
      () => rules.putRule(clusterRule('second', { spiffeIDTemplate: '{{' })),
    );
    await change(() => rules.putPod(pod('shop', 'a')));
    assert.equal(calls.length, 2, 'the second one is not answered yet');
    answer();
    await settledDown();
    clock.advance(1_000);
    await settledDown();
    assert.deepEqual(
      calls.map(({ path }) => path.split('/').at(-2)),
      ['first', 'second', 'first'],
    );
    await writer.stop();
  });

  it('that is refused for one object keeps no other waiting', async () => {
    const writer = start();
    refusals = (path) =>
      path.includes('/bad/') || path.includes('/worse/')
        ? fail('KUBE_REFUSED', 'by an admission policy')
        : undefined;
    await change(
      () => rules.putRule(clusterRule('bad')),
      () => rules.putRule(clusterRule('worse')),
      () => rules.putRule(clusterRule('good')),
    );
    assert.deepEqual([calls.length, faults.length], [3, 1]);
    refusals = () => undefined;
    clock.advance(30_000);
    await settledDown();
    assert.deepEqual([calls.length, faults.length], [5, 1]);
    await writer.stop();
  });

  it('is not written on after the term in which that began', async () => {
    const writer = start();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    held = () => answered;
    await change(
      () => rules.putRule(clusterRule('a')),
      () => rules.putRule(clusterRule('b')),
    );
    term?.abort();
    term = undefined;
    assert.equal(calls[0]?.signal?.aborted, true);
    answer();
    await settledDown();
    assert.deepEqual([calls.length, faults.length], [1, 0]);
    await writer.stop();
  });
});
