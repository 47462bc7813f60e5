import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type BusyKube, busyKube, moved } from '../../../test/support/busy-kube.ts';
import { FakeKube, type FakeKubeCall } from '../../../test/support/fake-kube.ts';
import { assertValue } from '../../../test/support/refused.ts';
import { makeRoot } from '../../../test/support/x509.ts';
import { ManualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { unwrap } from '../../base/result.ts';
import { openKubeApi } from '../../kube/kube-api.ts';
import { type KubeObject, textAt } from '../../kube/objects.ts';
import { Federations } from '../../registry/federation.ts';
import { type Bundle, emptyBundle } from '../../spiffe/bundle.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { kubernetesSchema } from '../settings.ts';
import type { PublishedObject } from './published-object.ts';
import { BundlePublisher } from './publisher.ts';

const TD = unwrap(parseTrustDomain('example.org'));
const MAPS = '/api/v1/configmaps';
const BUNDLES = '/apis/certificates.k8s.io/v1/clustertrustbundles';
const ROOTS = [makeRoot(), makeRoot()];

/** A bundle of so many of the roots. */
function bundleOf(count: number, sequence: bigint): Bundle {
  const x509Authorities = ROOTS.slice(0, count).map(({ certificate }) => ({
    certificate,
    tainted: false,
  }));
  return { ...emptyBundle(TD), x509Authorities, sequence };
}

function pemOf(count: number): string {
  return ROOTS.slice(0, count)
    .map(({ pem }) => pem)
    .join('');
}

interface Rig {
  readonly fake: FakeKube;
  readonly kube: BusyKube;
  readonly clock: ManualClock;
  readonly publisher: BundlePublisher;
  readonly failures: string[];
  readonly warnings: string[];
  publish(bundle: Bundle): void;
  /** Holds a bundle of another trust domain, of so many roots; or none any more. */
  federate(name: string, count: number | undefined): void;
  lead(leads: boolean): void;
}

interface RigOptions {
  readonly settings: object;
  readonly before?: (fake: FakeKube) => void;
  readonly leads?: boolean;
  readonly bundle?: Bundle;
}

async function rig(context: TestContext, options: RigOptions): Promise<Rig> {
  const { settings, before, leads = true } = options;
  const fake = await FakeKube.start();
  fake.serves.set('/apis/certificates.k8s.io/v1', ['clustertrustbundles']);
  before?.(fake);
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const { kubeconfigPath } = fake;
  const kube = busyKube(assertValue(await openKubeApi({ kubeconfigPath }, { clock })));
  const [cluster = assert.fail()] = kubernetesSchema.parse({
    clusters: [{ name: 'rack', ...settings }],
  }).clusters;
  const failures: string[] = [];
  const warnings: string[] = [];
  const federation = new Federations();
  let bundle = options.bundle ?? bundleOf(1, 1n);
  let tell: (bundle: Bundle) => void = () => {};
  let term = leads ? new AbortController() : undefined;
  let changed: (leads: boolean) => void = () => {};
  const publisher = new BundlePublisher({
    cluster,
    api: kube.api,
    trustDomain: TD,
    registry: {
      federation,
      get bundle() {
        return bundle;
      },
      onBundle(listener) {
        tell = listener;
        return () => {};
      },
    },
    leader: {
      get term() {
        return term?.signal;
      },
      onChange(listener) {
        changed = listener;
        return () => {};
      },
    },
    clock,
    random: seededRandom(3),
    log: {
      info: () => {},
      warn: (facts: unknown, text?: string) =>
        void warnings.push(`${text} ${JSON.stringify(facts)}`),
    } as never,
    onFailure: (target, { code }) => failures.push(`${target} ${code}`),
  });
  context.after(async () => {
    await publisher.stop();
    kube.api.close();
    await fake.stop();
  });
  return {
    fake,
    kube,
    clock,
    publisher,
    failures,
    warnings,
    publish(next) {
      bundle = next;
      tell(next);
    },
    federate(name, count) {
      const trustDomain = unwrap(parseTrustDomain(name));
      const held = count === undefined ? undefined : { ...bundleOf(count, 5n), trustDomain };
      federation.putBundle(name, held && { bundle: held, origin: '', revision: 1n });
      federation.notify();
    },
    lead(now) {
      term?.abort();
      term = now ? new AbortController() : undefined;
      changed(now);
    },
  };
}

/** Lets real time pass, not that of the publisher, until something holds. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Moves the clock while a watch is open, until something holds. */
async function ticked({ clock }: Rig, holds: () => boolean): Promise<void> {
  while (!holds()) {
    clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** The first object of the first target. */
function objectOf({ publisher }: Rig): PublishedObject | undefined {
  return [...(publisher.targets[0]?.objects ?? [])][0];
}

const ONE_MAP = { configMaps: [{ namespace: 'spire' }] };
const MAP = 'spire/spire-bundle';

const mapPem = (fake: FakeKube, key = MAP): string | undefined => {
  const object = fake.object(MAPS, key);
  return object && textAt(object, 'data', 'bundle.crt');
};
const isWrite = ({ method }: FakeKubeCall): boolean => method === 'PATCH';
const writes = ({ kube }: Rig): number => kube.begun('patch');
/** The ConfigMap with another text, as somebody else would put it. */
const edited = (text: string): object => ({
  metadata: { name: 'spire-bundle', namespace: 'spire' },
  data: { 'bundle.crt': text, mine: 'x' },
});

describe('a published ConfigMap', () => {
  test('holds the bundle, and the next one at once, without a tick of the clock', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    const { fake, clock } = all;
    await until(() => mapPem(fake) === pemOf(1));
    const [write = assert.fail()] = fake.calls.filter(isWrite);
    assert.equal(write.path, '/api/v1/namespaces/spire/configmaps/spire-bundle');
    assert.deepEqual(
      [...write.query],
      [
        ['fieldManager', 'signet-bundle-publisher'],
        ['force', 'true'],
      ],
    );
    all.publish(bundleOf(2, 2n));
    await until(() => mapPem(fake) === pemOf(2));
    assert.equal(clock.monotonicMs(), 0);
  });

  test('is not written anew where it stands as it has to be', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    await until(() => mapPem(all.fake) === pemOf(1));
    await all.fake.whenWatching(1);
    const object = all.fake.object(MAPS, MAP) ?? assert.fail();
    all.fake.put(MAPS, { ...object, data: { ...(object.data as object), more: 'x' } });
    // A later event has been taken, so the one before was, too.
    all.fake.remove(MAPS, MAP);
    await until(() => mapPem(all.fake) === pemOf(1));
    assert.equal(writes(all), 2);
  });

  test('is put back when somebody edits it, or deletes it', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    const { fake } = all;
    await until(() => mapPem(fake) === pemOf(1));
    await fake.whenWatching(1);
    fake.put(MAPS, edited('evil'));
    await until(() => mapPem(fake) === pemOf(1));
    assert.equal(textAt(fake.object(MAPS, MAP) ?? {}, 'data', 'mine'), 'x', 'not ours to remove');
    all.clock.advance(120_000);
    fake.remove(MAPS, MAP);
    await until(() => mapPem(fake) === pemOf(1));
    assert.match(all.warnings.join(), /changed by others.*deleted by others/s);
  });

  test('is put back later, when somebody changes it again and again', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    const { fake } = all;
    await until(() => mapPem(fake) === pemOf(1));
    await fake.whenWatching(1);
    const began = all.clock.monotonicMs();
    for (let round = 0; round < 5; round++) {
      const before = all.warnings.length;
      await until(() => objectOf(all)?.isCurrent === true);
      fake.put(MAPS, edited(`round ${round}`));
      await until(() => all.warnings.length > before);
      await ticked(all, () => mapPem(fake) === pemOf(1) && objectOf(all)?.isCurrent === true);
    }
    assert.ok(all.clock.monotonicMs() - began >= 8_000, 'waits double from round to round');
  });

  for (const [status, code] of [
    [403, 'KUBE_FORBIDDEN'],
    [409, 'KUBE_CONFLICT'],
    [429, 'KUBE_UNREACHABLE'],
    [500, 'KUBE_UNREACHABLE'],
  ] as const) {
    test(`is tried again after a ${status}, with its code and action in the log`, async (context) => {
      const all = await rig(context, {
        settings: ONE_MAP,
        before(fake) {
          fake.fault = (call) => (isWrite(call) ? { status } : undefined);
        },
      });
      const { fake } = all;
      await until(() => all.failures.length === 1);
      await ticked(all, () => all.failures.length >= 3);
      assert.ok(all.failures.every((line) => line === `ConfigMap/spire/spire-bundle ${code}`));
      const told = all.warnings.filter((line) => line.startsWith('bundle is not published'));
      assert.equal(told.length, 1, 'once for each code');
      assert.match(told[0] ?? '', new RegExp(`"code":"${code}".*"action":"`));
      fake.fault = () => undefined;
      await ticked(all, () => mapPem(fake) === pemOf(1));
    });
  }

  test('waits as long as the server asks for', async (context) => {
    const all = await rig(context, {
      settings: ONE_MAP,
      before(fake) {
        fake.fault = (call) =>
          isWrite(call) ? { status: 429, headers: { 'retry-after': '30' } } : undefined;
      },
    });
    await until(() => all.failures.length === 1);
    all.fake.fault = () => undefined;
    all.clock.advance(29_999);
    assert.equal(writes(all), 1);
    all.clock.advance(1);
    await until(() => mapPem(all.fake) === pemOf(1));
  });

  test('gets a new bundle at once, whatever it waits for', async (context) => {
    const all = await rig(context, {
      settings: ONE_MAP,
      before(fake) {
        fake.fault = (call) => (isWrite(call) ? 'reset' : undefined);
      },
    });
    await until(() => all.failures.length === 1);
    all.fake.fault = () => undefined;
    all.publish(bundleOf(2, 2n));
    await until(() => mapPem(all.fake) === pemOf(2));
  });

  test('holds the last of several bundles that came while it was written', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    const { fake } = all;
    await until(() => mapPem(fake) === pemOf(1));
    const gate = Promise.withResolvers<void>();
    let held = 0;
    fake.fault = (call) => {
      if (!isWrite(call) || held > 0) return undefined;
      held++;
      return { after: gate.promise };
    };
    all.publish(bundleOf(2, 2n));
    await until(() => held === 1);
    all.publish(bundleOf(1, 3n));
    all.publish(bundleOf(2, 4n));
    gate.resolve();
    const sequence = (): string | undefined =>
      textAt(fake.object(MAPS, MAP) ?? {}, 'metadata', 'annotations', 'signet.dev/bundle-sequence');
    await until(() => sequence() === '4');
    assert.equal(mapPem(fake), pemOf(2));
  });

  test('is put back when an edit is told before its own write is answered', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    const { fake } = all;
    await until(() => mapPem(fake) === pemOf(1));
    await fake.whenWatching(1);
    const gate = Promise.withResolvers<void>();
    fake.fault = (call) => (isWrite(call) ? { after: gate.promise } : undefined);
    all.publish(bundleOf(2, 2n));
    await until(() => mapPem(fake) === pemOf(2));
    fake.fault = () => undefined;
    fake.put(MAPS, edited('evil'));
    await until(() => all.warnings.length > 0);
    gate.resolve();
    await ticked(all, () => mapPem(fake) === pemOf(2));
  });

  test('keeps what it holds when a bundle has nothing left, and is never deleted', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    const { fake } = all;
    await until(() => mapPem(fake) === pemOf(1));
    all.publish(bundleOf(0, 2n));
    assert.deepEqual(all.failures, ['ConfigMap/spire/spire-bundle KUBE_BUNDLE_EMPTY']);
    assert.match(all.warnings.join(), /what was published stays/);
    all.publish(bundleOf(2, 3n));
    await until(() => mapPem(fake) === pemOf(2));
    await all.publisher.stop();
    assert.equal(mapPem(fake), pemOf(2));
    assert.ok(fake.calls.every(({ method }) => method !== 'DELETE'));
  });

  test('is written by the server that leads only', async (context) => {
    const all = await rig(context, { settings: ONE_MAP, leads: false });
    const { fake } = all;
    await fake.whenWatching(1);
    all.publish(bundleOf(2, 2n));
    assert.equal(writes(all), 0);
    all.lead(true);
    await until(() => mapPem(fake) === pemOf(2));
    all.lead(false);
    all.publish(bundleOf(1, 3n));
    fake.put(MAPS, edited('evil'));
    all.clock.advance(120_000);
    assert.equal(writes(all), 1);
  });

  test('a lease that is lost in mid-write ends the write', async (context) => {
    const all = await rig(context, {
      settings: ONE_MAP,
      before(fake) {
        fake.fault = (call) => (isWrite(call) ? 'silence' : undefined);
      },
    });
    await until(() => writes(all) === 1);
    all.lead(false);
    all.fake.fault = () => undefined;
    all.lead(true);
    await until(() => mapPem(all.fake) === pemOf(1));
    assert.deepEqual(all.failures, []);
  });
});

describe('ConfigMaps by a selector', () => {
  const settings = { configMaps: [{ namespaceSelector: 'trust=yes' }] };
  const namespace = (name: string, labels: object): object => ({ metadata: { name, labels } });
  const NAMESPACES = '/api/v1/namespaces';

  test('are in each namespace that matches, and follow labels', async (context) => {
    const all = await rig(context, {
      settings,
      before(fake) {
        fake.put(NAMESPACES, namespace('a', { trust: 'yes' }));
        fake.put(NAMESPACES, namespace('b', {}));
      },
    });
    const { fake } = all;
    await until(() => mapPem(fake, 'a/spire-bundle') === pemOf(1));
    await fake.whenWatching(2);
    fake.put(NAMESPACES, namespace('c', { trust: 'yes' }));
    await until(() => mapPem(fake, 'c/spire-bundle') === pemOf(1));
    assert.equal(mapPem(fake, 'b/spire-bundle'), undefined);
    all.publish(bundleOf(2, 2n));
    await until(() => ['a', 'c'].every((at) => mapPem(fake, `${at}/spire-bundle`) === pemOf(2)));
    fake.remove(NAMESPACES, 'c');
    await until(() => [...(all.publisher.targets[0]?.objects ?? [])].length === 1);
    assert.equal(mapPem(fake, 'c/spire-bundle'), pemOf(2), 'left to others');
  });
});

describe('a ClusterTrustBundle', () => {
  const settings = { trustBundles: [{ signerName: 'example.org/spiffe' }] };
  const NAME = 'example.org:spiffe:example.org';
  const pem = (object: KubeObject | undefined): string | undefined =>
    object && textAt(object, 'spec', 'trustBundle');

  test('is published by v1', async (context) => {
    const { fake } = await rig(context, { settings });
    await until(() => pem(fake.object(BUNDLES, NAME)) === pemOf(1));
    assert.equal(fake.object(BUNDLES, NAME)?.apiVersion, 'certificates.k8s.io/v1');
  });

  test('is published by v1beta1 where v1 has none', async (context) => {
    const { fake } = await rig(context, {
      settings,
      before(fake) {
        fake.serves.set('/apis/certificates.k8s.io/v1', ['certificatesigningrequests']);
        fake.serves.set('/apis/certificates.k8s.io/v1beta1', ['clustertrustbundles']);
      },
    });
    const beta = BUNDLES.replace('v1', 'v1beta1');
    await until(() => pem(fake.object(beta, NAME)) === pemOf(1));
  });

  test('waits for a cluster that serves none, and says so', async (context) => {
    const all = await rig(context, { settings, before: (fake) => fake.serves.clear() });
    await until(() => all.failures.length === 1);
    assert.deepEqual(all.failures, [`ClusterTrustBundle/${NAME} KUBE_NOT_FOUND`]);
    assert.deepEqual(assertValue(await all.publisher.missing({ sequence: 1n, publishedAtMs: 0 })), [
      `rack/ClusterTrustBundle/${NAME}`,
    ]);
    all.fake.serves.set('/apis/certificates.k8s.io/v1', ['clustertrustbundles']);
    await moved(all, () => pem(all.fake.object(BUNDLES, NAME)) === pemOf(1));
  });

  test('is looked for anew when its version is gone', async (context) => {
    const all = await rig(context, { settings });
    const { fake } = all;
    await until(() => pem(fake.object(BUNDLES, NAME)) === pemOf(1));
    fake.serves.set('/apis/certificates.k8s.io/v1', []);
    fake.serves.set('/apis/certificates.k8s.io/v1beta1', ['clustertrustbundles']);
    fake.fault = ({ path }) => (path.startsWith(BUNDLES) ? { status: 404 } : undefined);
    all.publish(bundleOf(2, 2n));
    const beta = BUNDLES.replace('v1', 'v1beta1');
    await until(() => pem(fake.object(beta, NAME)) === pemOf(2));
  });
});

describe('a new authority', () => {
  const missing = async ({ publisher }: Rig, sequence: bigint): Promise<readonly string[]> =>
    assertValue(await publisher.missing({ sequence, publishedAtMs: 0 }));

  test('waits until objects have held its bundle for as long as kubelets take', async (context) => {
    const all = await rig(context, { settings: ONE_MAP, leads: false });
    const titles = ['rack/ConfigMap/spire/spire-bundle'];
    assert.deepEqual(await missing(all, 1n), titles);
    let progress = 0;
    all.publisher.onProgress(() => progress++);
    all.lead(true);
    await until(() => all.kube.agreed() === 1 && objectOf(all)?.isCurrent === true);
    all.clock.advance(119_999);
    assert.deepEqual([await missing(all, 1n), progress], [titles, 0]);
    all.clock.advance(1);
    assert.deepEqual([await missing(all, 1n), progress], [[], 1]);
    // One more bundle does not take away what pods have of the one before.
    all.publish(bundleOf(2, 2n));
    await until(() => objectOf(all)?.sequence === 2n);
    assert.deepEqual([await missing(all, 1n), await missing(all, 2n)], [[], titles]);
    all.clock.advance(120_000);
    assert.deepEqual(await missing(all, 2n), []);
  });

  test('waits anew when somebody has changed an object', async (context) => {
    const all = await rig(context, { settings: ONE_MAP });
    await until(() => mapPem(all.fake) === pemOf(1));
    await until(() => all.kube.agreed() === 1 && objectOf(all)?.isCurrent === true);
    all.clock.advance(120_000);
    assert.deepEqual(await missing(all, 1n), []);
    all.fake.put(MAPS, edited('evil'));
    await until(() => all.warnings.length === 1);
    await until(() => objectOf(all)?.isCurrent === true);
    assert.equal((await missing(all, 1n)).length, 1);
  });
});

describe('bundles of other trust domains', () => {
  const settings = {
    trustBundles: [
      { signerName: 'example.org/spiffe', federated: true },
      { name: 'roots', federated: true },
      { name: 'taken.test' },
      { federated: true },
    ],
    configMaps: [{ namespace: 'spire', federated: true }, { namespace: 'plain' }],
  };
  const THEIRS = 'spire/spire-bundle.other.test';
  const names = ['example.org:spiffe:other.test', 'roots.other.test', 'other.test'];
  const all = (fake: FakeKube): readonly string[] => [
    ...names.filter((name) => fake.object(BUNDLES, name) !== undefined),
    ...(fake.object(MAPS, THEIRS) === undefined ? [] : [THEIRS]),
  ];

  test('are published beside the own one while they are held, and go with them', async (context) => {
    const rack = await rig(context, { settings });
    const { fake } = rack;
    rack.federate('other.test', 2);
    await until(() => all(fake).length === 4);
    const object = fake.object(BUNDLES, 'roots.other.test') ?? assert.fail();
    assert.equal(textAt(object, 'spec', 'trustBundle'), pemOf(2));
    assert.deepEqual(object.metadata, {
      ...(object.metadata as object),
      labels: {
        'signet.dev/bundle': 'published',
        'signet.dev/federated': 'true',
        'signet.dev/canarying': 'live',
      },
      annotations: {
        'signet.dev/bundle-sequence': '5',
        'signet.dev/trust-domain': 'other.test',
        'signet.dev/published-by': 'example.org',
      },
    });
    assert.equal(fake.object(MAPS, 'plain/spire-bundle.other.test'), undefined);
    rack.federate('other.test', 1);
    await until(() => mapPem(fake, THEIRS) === pemOf(1));
    rack.federate('other.test', undefined);
    await until(() => all(fake).length === 0);
    assert.equal(mapPem(fake), pemOf(1), 'ours stays');
    await until(() => rack.publisher.targets.length === 6);
    rack.federate('other.test', 2);
    await until(() => all(fake).length === 4);
  });

  test('never take the name of an own object, nor of one another', async (context) => {
    const rack = await rig(context, { settings });
    const { fake } = rack;
    rack.federate('taken.test', 2);
    await until(() => fake.object(BUNDLES, 'roots.taken.test') !== undefined);
    await until(() => fake.object(BUNDLES, 'taken.test') !== undefined);
    const own = fake.object(BUNDLES, 'taken.test') ?? assert.fail();
    assert.equal(textAt(own, 'spec', 'trustBundle'), pemOf(1));
    assert.match(rack.warnings.join(), /its name is that of another object.*taken\.test/);
    rack.federate('a_b.test', 1);
    rack.federate('a-b.test', 2);
    await until(() => fake.object(BUNDLES, 'a-b.test') !== undefined);
    const hashed = rack.publisher.targets.filter(({ name }) => /td-[0-9a-f]{32}$/.test(name));
    assert.equal(hashed.length, 4);
  });

  test('are not removed where they bear other marks, or were never held here', async (context) => {
    const foreign = (name: string, annotations: object): object => ({
      metadata: {
        name,
        labels: { 'signet.dev/bundle': 'published', 'signet.dev/federated': 'true' },
        annotations: { 'signet.dev/trust-domain': 'gone.test', ...annotations },
      },
      spec: { trustBundle: pemOf(1) },
    });
    const rack = await rig(context, {
      settings,
      before(fake) {
        fake.put(BUNDLES, foreign('gone.test', { 'signet.dev/published-by': 'example.org' }));
      },
    });
    const { fake } = rack;
    rack.federate('other.test', 2);
    await until(() => all(fake).length === 4);
    // Whose mark is taken off is somebody else's now; who leads no more puts nothing back.
    rack.lead(false);
    const object = fake.object(BUNDLES, 'other.test') ?? assert.fail();
    fake.put(BUNDLES, {
      ...object,
      metadata: { name: 'other.test', labels: { 'signet.dev/bundle': 'published' } },
    });
    rack.federate('other.test', undefined);
    assert.equal(all(fake).length, 4, 'removed by the server that leads only');
    rack.lead(true);
    await until(() => all(fake).length === 1);
    assert.deepEqual(all(fake), ['other.test']);
    assert.ok(fake.object(BUNDLES, 'gone.test'));
  });

  test('are removed later, where the cluster does not answer', async (context) => {
    const rack = await rig(context, { settings });
    const { fake } = rack;
    rack.federate('other.test', 2);
    await until(() => all(fake).length === 4);
    let refused = 0;
    fake.fault = ({ method }) => {
      if (method !== 'DELETE') return undefined;
      refused++;
      return { status: 500 };
    };
    rack.federate('other.test', undefined);
    await until(() => refused >= 4);
    assert.equal(all(fake).length, 4);
    fake.fault = () => undefined;
    await ticked(rack, () => all(fake).length === 0);
  });

  test('empty ones leave what was published, and the own authorities do not wait for them', async (context) => {
    const rack = await rig(context, {
      settings: { configMaps: [{ namespace: 'spire', federated: true }] },
    });
    rack.federate('other.test', 0);
    await until(() => mapPem(rack.fake) === pemOf(1));
    await until(() => objectOf(rack)?.isCurrent === true);
    rack.clock.advance(3_600_000);
    await until(() => rack.failures.length > 0);
    assert.equal(all(rack.fake).length, 0);
    const missing = assertValue(await rack.publisher.missing({ sequence: 1n } as never));
    assert.deepEqual(missing, []);
  });
});
