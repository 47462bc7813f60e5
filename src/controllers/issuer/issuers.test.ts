import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KubeApi, KubeRequest, KubeStream } from '../../kube/kube-api.ts';
import { objectsAt, textAt } from '../../kube/objects.ts';
import { Issuers } from './issuers.ts';
import type { IssuerRef } from './kinds.ts';

const CA: IssuerRef = { kind: 'SignetIssuer', namespace: 'shop', name: 'ca' };
const EDGE: IssuerRef = { kind: 'SignetClusterIssuer', namespace: '', name: 'edge' };

function object({ namespace, name }: IssuerRef, spec: object, more: object = {}): object {
  const metadata = { name, namespace, uid: `uid-${name}`, resourceVersion: '5', generation: 3 };
  return { metadata: { ...metadata, ...more }, spec };
}

/** Issuers of a cluster that says what the test says. */
class Rig {
  readonly clock = new ManualClock(1_800_000_000_000);
  readonly written: KubeRequest[] = [];
  readonly streams = new Map<string, KubeStream>();
  lists: Record<string, readonly object[]> = {};
  isReady = true;
  signs: Result<unknown> = ok(undefined);
  term: AbortController | undefined = new AbortController();
  leads: (leader: boolean) => void = () => {};
  changes = 0;
  asked = 0;

  readonly api: KubeApi = {
    name: 'rack',
    serverAheadMs: undefined,
    request: async (request) => {
      if (request.verb === 'patch') {
        this.written.push(request);
        return ok({});
      }
      const items = this.lists[request.path.split('/').at(-1) ?? ''] ?? [];
      return ok({ metadata: { resourceVersion: '6' }, items });
    },
    stream: (stream) => {
      this.streams.set(stream.path.split('/').at(-1) ?? '', stream);
      const { promise, resolve } = Promise.withResolvers<Result<void>>();
      stream.signal.addEventListener('abort', () => resolve(ok(undefined)), { once: true });
      return promise;
    },
    close: () => {},
  };

  async start(context: TestContext): Promise<Issuers> {
    const rig = this;
    const issuers = new Issuers({
      api: this.api,
      filter: { className: '', watchClassless: true },
      isReady: () => this.isReady,
      canSign: () => {
        this.asked += 1;
        return this.signs;
      },
      leader: {
        get term() {
          return rig.term?.signal;
        },
        onChange: (listener) => {
          this.leads = listener;
          return () => {};
        },
      },
      clock: this.clock,
      random: seededRandom(1),
      log: { info: () => {}, warn: () => {} },
    });
    issuers.onChange(() => {
      this.changes += 1;
    });
    context.after(() => issuers.stop());
    await this.rest();
    return issuers;
  }

  async rest(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  }

  event(plural: string, type: string, event: object): void {
    this.streams.get(plural)?.onEvent({ type, object: event });
  }

  /** What was written of whom: status, reason, generation. */
  get told(): readonly string[] {
    return this.written.map(({ body }) => {
      const text = JSON.parse(JSON.stringify(body)) as Record<string, unknown>;
      const [ready = {}] = objectsAt(text, 'status', 'conditions');
      const { status, reason, observedGeneration } = ready;
      return `${textAt(text, 'metadata', 'name')} ${status} ${reason} ${observedGeneration}`;
    });
  }
}

const code = (result: Result<unknown>) => (result.ok ? 'ready' : result.error.code);

describe('issuers', () => {
  it('are told that they are ready, once, by server-side apply of their generation', async (context) => {
    const rig = new Rig();
    rig.lists = { signetissuers: [object(CA, {})], signetclusterissuers: [object(EDGE, {})] };
    const issuers = await rig.start(context);
    assert.equal(issuers.isSynced, true);
    assert.deepEqual([...rig.told].sort(), ['ca True Checked 3', 'edge True Checked 3']);
    const [first] = rig.written;
    assert.deepEqual([first?.patch, first?.query?.fieldManager], ['apply', 'signet-issuer']);
    assert.match(first?.path ?? '', /namespaces\/shop\/signetissuers\/ca\/status$/);
    assert.deepEqual([code(issuers.find(CA)), code(issuers.find(EDGE))], ['ready', 'ready']);
    const none = { ...CA, namespace: 'bank' };
    assert.equal(code(issuers.find(none)), 'ISSUER_UNKNOWN');
    assert.deepEqual([issuers.count(true), issuers.count(false)], [2, 0]);
    rig.clock.advance(1_000);
    issuers.look();
    await rig.rest();
    assert.equal(rig.written.length, 2);
  });

  it('stand as rules, authority and their own spec do', async (context) => {
    const rig = new Rig();
    const broken = { certificates: [{ pathPrefix: '{{' }] };
    rig.lists = { signetissuers: [object(CA, {})], signetclusterissuers: [object(EDGE, broken)] };
    rig.isReady = false;
    const issuers = await rig.start(context);
    assert.deepEqual([...rig.told].sort(), ['ca False Initializing 3', 'edge False Failed 3']);
    assert.equal(code(issuers.find(CA)), 'ISSUER_NOT_READY');
    rig.isReady = true;
    rig.signs = fail('ISSUANCE_CLOSED', 'away');
    issuers.look();
    await rig.rest();
    assert.equal(rig.told.at(-1), 'ca False Pending 3');
    rig.signs = ok(undefined);
    const before = rig.changes;
    // Nobody says that there is an authority again: it is looked for.
    rig.clock.advance(5_000);
    await rig.rest();
    assert.ok(rig.told.includes('ca True Checked 3'));
    assert.ok(rig.changes > before);
    assert.equal(code(issuers.find(EDGE)), 'ISSUER_NOT_READY');
  });

  it('are told anew when their spec changes, and put right when others write into it', async (context) => {
    const rig = new Rig();
    rig.lists = { signetissuers: [object(CA, {})] };
    await rig.start(context);
    rig.event('signetissuers', 'MODIFIED', object(CA, {}, { generation: 4, resourceVersion: '7' }));
    await rig.rest();
    assert.deepEqual(rig.told, ['ca True Checked 3', 'ca True Checked 4']);
    rig.clock.advance(5_000);
    await rig.rest();
    assert.equal(rig.told.length, 3);
  });

  it('say since when they stand so', async (context) => {
    const rig = new Rig();
    const since = '2026-01-01T00:00:00Z';
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'Checked',
      message: 'requests are answered',
    };
    const conditions = [{ ...ready, lastTransitionTime: since, observedGeneration: 2 }];
    rig.lists = { signetissuers: [{ ...object(CA, {}), status: { conditions } }] };
    await rig.start(context);
    assert.match(JSON.stringify(rig.written[0]?.body), new RegExp(since));
  });

  it('are not written to by who does not lead, and of another class not at all', async (context) => {
    const rig = new Rig();
    rig.lists = {
      signetissuers: [object(CA, {})],
      signetclusterissuers: [object(EDGE, { className: 'other' })],
    };
    rig.term = undefined;
    const issuers = await rig.start(context);
    assert.deepEqual(rig.told, []);
    assert.deepEqual(
      [code(issuers.find(CA)), code(issuers.find(EDGE))],
      ['ready', 'ISSUER_UNKNOWN'],
    );
    rig.term = new AbortController();
    rig.leads(true);
    await rig.rest();
    assert.deepEqual(rig.told, ['ca True Checked 3']);
  });

  it('are looked at together, however many come at once', async (context) => {
    const rig = new Rig();
    const many = Array.from({ length: 400 }, (_, index) =>
      object({ ...CA, name: `ca${index}` }, {}),
    );
    rig.lists = { signetissuers: many };
    const issuers = await rig.start(context);
    assert.ok(rig.asked < 600, `${rig.asked} looks at the authority for 400 issuers`);
    while (rig.told.length < 400) await rig.rest();
    const [asked, changes] = [rig.asked, rig.changes];
    for (let change = 0; change < 50; change++) issuers.glance();
    await rig.rest();
    assert.ok(rig.asked <= asked + 50);
    assert.equal(rig.changes, changes);
    rig.signs = fail('ISSUANCE_CLOSED', 'away');
    issuers.glance();
    await rig.rest();
    assert.equal(rig.changes, changes + 1);
  });
});
