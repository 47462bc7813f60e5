import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { x509Grant } from '../../../test/support/issuance.ts';
import { CLUSTER } from '../../../test/support/kube-rules.ts';
import { makeCsr, makeKey } from '../../../test/support/x509.ts';
import { ManualClock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result, unwrap } from '../../base/result.ts';
import { encodePem } from '../../der/pem.ts';
import type { IssuedX509 } from '../../issuance/issuer.ts';
import type { KubeApi, KubeRequest } from '../../kube/kube-api.ts';
import type { KubeObject } from '../../kube/objects.ts';
import type { PolicyContext } from '../../policy/context.ts';
import type { X509Grant } from '../../policy/grant.ts';
import { parseTemplate } from '../../rules/template/template.ts';
import type { PublicKey } from '../../x509/types.ts';
import type { PodVerdict } from '../pod-identity.ts';
import type { IssuerObject } from './issuer-object.ts';
import { certificateRequestFrom, type SigningRequest, signingRequestFrom } from './request.ts';
import { IssuerSigner } from './signer.ts';

const NOW = 1_800_000_000;
const URI = 'spiffe://example.org/web';
const CSR = Buffer.from(
  encodePem('CERTIFICATE REQUEST', makeCsr({ key: makeKey(), uris: [URI] })),
).toString('base64');
const SAID = 'authentication.kubernetes.io';
const MADE_BY_POD = {
  username: 'system:serviceaccount:shop:web',
  extra: { [`${SAID}/pod-name`]: ['web'], [`${SAID}/pod-uid`]: ['uid-web'] },
};
const ISSUER: IssuerObject = {
  ref: { kind: 'SignetIssuer', namespace: 'shop', name: 'ca' },
  uid: 'uid-ca',
  generation: 1,
  allowances: ok([
    {
      namespaceSelector: [],
      pathPrefix: unwrap(parseTemplate('/none')),
      dnsNames: [],
      ttlSeconds: 0,
    },
  ]),
  shown: undefined,
};

interface Body {
  readonly metadata: object;
  readonly status: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
      readonly lastTransitionTime: string;
    }[];
    readonly certificate?: string;
    readonly ca?: string;
    readonly failureTime?: string;
  };
}

const refusal = (code: ErrorCode) => fail(code, 'as the test says').error;
const POD = {
  namespace: 'shop',
  name: 'web',
  uid: 'uid-web',
  createdAtSeconds: 0,
  nodeName: 'node-a',
  labels: {},
  json: '{}',
};
const RULE = {
  kind: 'ClusterSPIFFEID',
  namespace: '',
  name: 'all',
  uid: 'u',
  createdAtMs: 0,
  deletingSinceMs: undefined,
} as const;

/** A signer between an API server, an issuer and policy that do as the test says. */
class Rig {
  readonly clock = new ManualClock(NOW * 1000);
  readonly calls: KubeRequest[] = [];
  readonly events: string[] = [];
  readonly counted: string[] = [];
  readonly warned: object[] = [];
  signed = 0;
  isSynced = true;
  term: AbortController | undefined = new AbortController();
  leads: (leader: boolean) => void = () => {};
  grant: X509Grant = x509Grant('/web');
  found: Result<IssuerObject> = ok(ISSUER);
  verdict: () => PodVerdict = () => ({
    kind: 'granted',
    grant: this.grant,
    source: { cluster: 'rack', rule: RULE, pod: 'shop/web' },
    pod: POD,
  });
  issue: () => Promise<Result<IssuedX509>> = async () => ok(this.issued);
  answer: (request: KubeRequest) => Promise<Result<KubeObject>> = async () =>
    ok({ metadata: { resourceVersion: '8' } });
  checked: Result<PublicKey> | undefined;
  bundle: Result<string> = ok('bundle');

  get issued(): IssuedX509 {
    return {
      spiffeId: this.grant.spiffeId,
      chain: [Uint8Array.of(1), Uint8Array.of(2)],
      serialDecimal: '1',
      notBeforeSeconds: NOW - 60,
      expiresAtSeconds: NOW + 3600,
    };
  }

  readonly api: KubeApi = {
    name: 'rack',
    serverAheadMs: undefined,
    request: (request) => {
      this.calls.push(request);
      return this.answer(request);
    },
    stream: async () => ok(undefined),
    close: () => {},
  };

  readonly signer: IssuerSigner;

  constructor() {
    const rig = this;
    this.signer = new IssuerSigner({
      api: this.api,
      judge: {
        cluster: 'rack',
        settings: { podRequests: true, controllerAccounts: [] },
        issuer: () => this.found,
        identities: { resolve: () => this.verdict() },
        namespaces: { facts: CLUSTER, namespace: () => ({ labels: {}, prefixes: [] }) },
        // Asked only for who is no pod.
        policy: {} as PolicyContext,
      },
      issuer: {
        issueX509Batch: (items) =>
          Promise.all(
            items.map(() => {
              this.signed += 1;
              return this.issue();
            }),
          ),
        checkCsr: () => this.checked ?? ok({} as PublicKey),
      },
      bundlePem: () => this.bundle,
      isSynced: () => this.isSynced,
      leader: {
        get term() {
          return rig.term?.signal;
        },
        onChange: (listener) => {
          this.leads = listener;
          return () => {};
        },
      },
      events: { tell: ({ reason }) => void this.events.push(reason) },
      retryMs: 5_000,
      clock: this.clock,
      log: { info: () => {}, warn: (facts: object) => void this.warned.push(facts) },
      metrics: {
        answered: (_, __, outcome) => void this.counted.push(outcome),
        postponed: (_, __, code) => void this.counted.push(code),
        waiting: () => {},
        issuers: () => {},
      },
    });
  }

  put(name: string, more: { readonly spec?: object; readonly conditions?: object[] } = {}): void {
    const value = certificateRequestFrom(object(name, more));
    assert.ok(value !== undefined);
    this.tell(name, value);
  }

  tell(name: string, value: SigningRequest): void {
    const key = `shop/${name}`;
    this.signer.take({ kind: 'put', key, uid: value.uid, value, before: undefined });
  }

  /** Answers when nothing is to be done before the clock moves: all fakes answer at once. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  }

  /** Moves the clock by seconds, with rest after each. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1_000);
      await this.rest();
    }
  }

  get bodies(): readonly Body[] {
    return this.calls.map(({ body }) => body as Body);
  }

  get conditions(): readonly string[] {
    return this.bodies.map(({ status: { conditions } }) => {
      const [{ type, status, reason } = assert.fail('no condition')] = conditions ?? [];
      return `${type} ${status} ${reason}`;
    });
  }
}

function object(
  name: string,
  { spec = {}, conditions = [] }: { readonly spec?: object; readonly conditions?: object[] } = {},
): KubeObject {
  return {
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, resourceVersion: '7' },
    spec: {
      request: CSR,
      issuerRef: { group: 'signet.dev', kind: 'SignetIssuer', name: 'ca' },
      ...MADE_BY_POD,
      ...spec,
    },
    status: { conditions: [{ type: 'Approved', status: 'True' }, ...conditions] },
  };
}

const DENIED = [{ type: 'Denied', status: 'True' }];
const FAILED = 'Ready False Failed';

describe('an approved request', () => {
  it('is answered once, with chain, bundle and condition in one write', async () => {
    const rig = new Rig();
    rig.put('a');
    await rig.rest();
    const [call] = rig.calls;
    const path = '/apis/cert-manager.io/v1/namespaces/shop/certificaterequests/a/status';
    assert.deepEqual([call?.path, call?.patch], [path, 'apply']);
    assert.deepEqual(call?.query, { fieldManager: 'signet-issuer', force: 'true' });
    const [body] = rig.bodies;
    const meta = { name: 'a', namespace: 'shop', uid: 'uid-a', resourceVersion: '7' };
    assert.deepEqual(body?.metadata, meta);
    assert.deepEqual(rig.conditions, ['Ready True Issued']);
    const chain = Buffer.from(body.status.certificate ?? '', 'base64').toString();
    assert.equal(chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.equal(Buffer.from(body.status.ca ?? '', 'base64').toString(), 'bundle');
    assert.equal(body.status.failureTime, undefined);
    assert.deepEqual(rig.events, ['CertificateIssued']);
    assert.deepEqual(rig.counted, ['issued']);
    // Told again before its answer is seen, by a watch that began anew.
    rig.put('a');
    rig.signer.lookAgain();
    await rig.pass(40);
    assert.deepEqual([rig.calls.length, rig.signed], [1, 1]);
    await rig.signer.stop();
  });

  it('that was denied is told to be, and nothing is signed', async () => {
    const rig = new Rig();
    rig.put('a', { conditions: DENIED });
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Ready False Denied']);
    assert.ok(rig.bodies[0]?.status.failureTime);
    assert.equal(rig.signed, 0);
    await rig.signer.stop();
  });

  it('waits for its issuer without end, says so once, and is issued when it is ready', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_NOT_READY', 'as the test says');
    rig.put('a');
    await rig.rest();
    const shown = { type: 'Ready', ...rig.bodies[0]?.status.conditions?.[0] };
    rig.put('a', { conditions: [shown] });
    await rig.pass(120);
    assert.deepEqual(rig.conditions, ['Ready False Pending']);
    rig.found = ok(ISSUER);
    rig.signer.lookAgain();
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Ready False Pending', 'Ready True Issued']);
    await rig.signer.stop();
  });

  it('that is denied while it waits is told so', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'as the test says');
    rig.put('a');
    await rig.rest();
    rig.put('a', { conditions: DENIED });
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Ready False Pending', 'Ready False Denied']);
    await rig.signer.stop();
  });

  for (const kind of ['hold', 'wait'] as const) {
    it(`whose pod is not known yet (${kind}) is tried for a time, then has failed`, async () => {
      const rig = new Rig();
      rig.verdict = () => ({ kind, error: refusal('POD_UNKNOWN') });
      rig.put('a');
      await rig.rest();
      await rig.pass(4);
      assert.ok(!rig.conditions.includes('Ready False Failed'));
      await rig.pass(5);
      assert.equal(rig.conditions.at(-1), 'Ready False Failed');
      assert.ok(rig.bodies.at(-1)?.status.failureTime);
      assert.equal(rig.bodies[0]?.status.failureTime, undefined);
      assert.equal(rig.signed, 0);
      await rig.signer.stop();
    });
  }

  it('is tried anew for as long once its issuer was away meanwhile', async () => {
    const rig = new Rig();
    rig.verdict = () => ({ kind: 'hold', error: refusal('POD_UNKNOWN') });
    rig.put('a');
    await rig.pass(3);
    rig.found = fail('ISSUER_NOT_READY', 'as the test says');
    rig.signer.lookAgain();
    await rig.pass(60);
    rig.found = ok(ISSUER);
    rig.signer.lookAgain();
    await rig.pass(1);
    assert.ok(!rig.conditions.includes('Ready False Failed'));
    await rig.signer.stop();
  });

  it('that policy refuses has failed at once', async () => {
    const rig = new Rig();
    rig.verdict = () => ({ kind: 'refused', error: refusal('AGENT_QUARANTINED') });
    rig.put('a');
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Ready False Failed']);
    assert.match(rig.bodies[0]?.status.conditions?.[0]?.message ?? '', /AGENT_QUARANTINED/);
    assert.deepEqual(rig.events, ['CertificateFailed']);
    await rig.signer.stop();
  });

  it('fails for a key that nothing is issued for, and waits while nothing is signed', async () => {
    const rig = new Rig();
    rig.issue = async () => fail('KEY_ALGORITHM', 'no such');
    rig.checked = fail('KEY_ALGORITHM', 'no such');
    rig.put('a');
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Ready False Failed']);
    rig.checked = undefined;
    rig.issue = async () => fail('ISSUANCE_OVERLOADED', 'away');
    rig.put('b');
    await rig.rest();
    assert.equal(rig.conditions.at(-1), 'Ready False Pending');
    rig.issue = async () => ok(rig.issued);
    await rig.pass(3);
    assert.equal(rig.conditions.at(-1), 'Ready True Issued');
    await rig.signer.stop();
  });

  for (const change of ['issuer', 'verdict', 'grant', 'bundle'] as const) {
    it(`gets nothing that was signed when its ${change} changed meanwhile`, async () => {
      const rig = new Rig();
      const { promise, resolve } = Promise.withResolvers<Result<IssuedX509>>();
      rig.issue = () => promise;
      rig.put('a');
      await rig.rest();
      assert.equal(rig.signed, 1);
      const { issued } = rig;
      if (change === 'issuer') rig.found = fail('ISSUER_UNKNOWN', 'gone');
      if (change === 'verdict') {
        rig.verdict = () => ({ kind: 'refused', error: refusal('AGENT_BANNED') });
      }
      if (change === 'grant') rig.grant = x509Grant('/web', { agentAttestedAtSeconds: 9 });
      if (change === 'bundle') rig.bundle = fail('KUBE_BUNDLE_EMPTY', 'none');
      resolve(ok(issued));
      await rig.rest();
      assert.ok(!rig.conditions.includes('Ready True Issued'));
      await rig.signer.stop();
    });
  }

  for (const code of ['KUBE_CONFLICT', 'KUBE_UNREACHABLE', 'KUBE_FORBIDDEN'] as const) {
    it(`is written by what was signed for it, after ${code}`, async () => {
      const rig = new Rig();
      rig.answer = async () => fail(code, 'no');
      rig.put('a');
      await rig.rest();
      rig.answer = async () => ok({});
      await rig.pass(5);
      assert.deepEqual([rig.calls.length, rig.signed], [2, 1]);
      assert.deepEqual(rig.counted, [code, 'issued']);
      await rig.signer.stop();
    });
  }

  it('is written over what was written just now', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'as the test says');
    rig.put('a');
    await rig.rest();
    rig.found = ok(ISSUER);
    rig.signer.lookAgain();
    await rig.rest();
    const meta = { name: 'a', namespace: 'shop', uid: 'uid-a', resourceVersion: '8' };
    assert.deepEqual(rig.bodies[1]?.metadata, meta);
    await rig.signer.stop();
  });

  it('is written over what the watch told while it was written', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'as the test says');
    const { promise, resolve } = Promise.withResolvers<Result<KubeObject>>();
    rig.answer = () => promise;
    rig.put('a');
    await rig.rest();
    const denied = object('a', { conditions: DENIED });
    const metadata = { ...(denied.metadata as object), resourceVersion: '9' };
    const value = certificateRequestFrom({ ...denied, metadata });
    assert.ok(value !== undefined);
    rig.tell('a', value);
    rig.answer = async () => ok({});
    resolve(ok({ metadata: { resourceVersion: '8' } }));
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Ready False Pending', 'Ready False Denied']);
    assert.deepEqual(rig.bodies[1]?.metadata, { ...metadata, name: 'a', namespace: 'shop' });
    await rig.signer.stop();
  });

  it('is counted and told of, though the watch tells of its answer before the call does', async () => {
    const rig = new Rig();
    rig.answer = async () => {
      const before = certificateRequestFrom(object('a')) ?? assert.fail('no request of ours');
      rig.signer.take({ kind: 'delete', key: 'shop/a', uid: 'uid-a', before });
      return ok({});
    };
    rig.put('a');
    await rig.rest();
    assert.deepEqual([rig.counted, rig.events], [['issued'], ['CertificateIssued']]);
    assert.equal(rig.signer.waiting, 0);
    await rig.signer.stop();
  });

  it('is forgotten with its object, and another of its name is another', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'as the test says');
    rig.put('a');
    await rig.rest();
    assert.equal(rig.signer.waiting, 1);
    const before = certificateRequestFrom(object('a'));
    assert.ok(before !== undefined);
    rig.signer.take({ kind: 'delete', key: 'shop/a', uid: 'another', before });
    assert.equal(rig.signer.waiting, 1);
    rig.signer.take({ kind: 'delete', key: 'shop/a', uid: 'uid-a', before });
    assert.equal(rig.signer.waiting, 0);
    await rig.signer.stop();
  });

  it('that is denied while it is signed for gets the denial, and nothing that was signed', async () => {
    const rig = new Rig();
    const { promise, resolve } = Promise.withResolvers<Result<IssuedX509>>();
    rig.issue = () => promise;
    rig.put('a');
    await rig.rest();
    rig.put('a', { conditions: DENIED });
    resolve(ok(rig.issued));
    await rig.pass(2);
    assert.deepEqual([rig.conditions, rig.signed], [['Ready False Denied'], 1]);
    await rig.signer.stop();
  });

  it('that asks for another key by then gets nothing that was signed for the first', async () => {
    const rig = new Rig();
    const { promise, resolve } = Promise.withResolvers<Result<IssuedX509>>();
    rig.issue = () => promise;
    rig.put('a');
    await rig.rest();
    const der = makeCsr({ key: makeKey(), uris: [URI] });
    const request = Buffer.from(encodePem('CERTIFICATE REQUEST', der)).toString('base64');
    rig.put('a', { spec: { request } });
    resolve(ok(rig.issued));
    await rig.rest();
    assert.ok(!rig.conditions.includes('Ready True Issued'));
    rig.issue = async () => ok(rig.issued);
    await rig.pass(2);
    assert.deepEqual([rig.conditions.at(-1), rig.signed], ['Ready True Issued', 2]);
    await rig.signer.stop();
  });

  it('that asks for another key after a write that failed is signed for anew', async () => {
    const rig = new Rig();
    rig.answer = async () => fail('KUBE_CONFLICT', 'no');
    rig.put('a');
    await rig.rest();
    const der = makeCsr({ key: makeKey(), uris: [URI] });
    const request = Buffer.from(encodePem('CERTIFICATE REQUEST', der)).toString('base64');
    rig.put('a', { spec: { request } });
    rig.answer = async () => ok({});
    await rig.pass(3);
    assert.deepEqual([rig.counted.at(-1), rig.signed], ['issued', 2]);
    await rig.signer.stop();
  });

  it('is signed five times at most for an API server that never takes it, then has failed', async () => {
    const rig = new Rig();
    rig.answer = async ({ body }) =>
      (body as Body).status.certificate === undefined
        ? ok({})
        : fail('KUBE_REFUSED', 'as policy says');
    rig.put('a');
    for (let minute = 0; minute < 6 * 60 && rig.conditions.at(-1) !== FAILED; minute++) {
      rig.clock.advance(60_000);
      await rig.rest();
    }
    assert.deepEqual([rig.conditions.at(-1), rig.signed], [FAILED, 5]);
    assert.match(rig.bodies.at(-1)?.status.conditions?.[0]?.message ?? '', /as policy says/);
    // From the first to the fifth two, four, eight and ten minutes pass.
    assert.ok(rig.clock.monotonicMs() >= 24 * 60_000);
    await rig.signer.stop();
  });

  it('is signed ever more rarely while we may not write, and issued once we may', async () => {
    const rig = new Rig();
    rig.answer = async () => fail('KUBE_FORBIDDEN', 'no');
    rig.put('a');
    for (let minute = 0; minute < 120; minute++) {
      rig.clock.advance(60_000);
      rig.signer.lookAgain();
      await rig.rest();
    }
    assert.ok(rig.signed >= 8 && rig.signed <= 14, `${rig.signed} signatures in two hours`);
    assert.ok(!rig.conditions.includes(FAILED));
    rig.answer = async () => ok({});
    for (let minute = 0; minute < 12; minute++) {
      rig.clock.advance(60_000);
      await rig.rest();
    }
    assert.equal(rig.counted.at(-1), 'issued');
    await rig.signer.stop();
  });

  it('is never written without saying over which version, whatever the API server answers', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'as the test says');
    rig.answer = async () => ok({});
    rig.put('a');
    await rig.rest();
    rig.found = ok(ISSUER);
    rig.signer.lookAgain();
    await rig.rest();
    const meta = { name: 'a', namespace: 'shop', uid: 'uid-a', resourceVersion: '7' };
    assert.deepEqual(rig.bodies[1]?.metadata, meta);
    await rig.signer.stop();
  });

  it('whose name is no place in the API is not signed for', async () => {
    const rig = new Rig();
    rig.put('-a');
    await rig.pass(3);
    assert.deepEqual([rig.signed, rig.calls.length, rig.signer.waiting], [0, 0, 0]);
    assert.equal(rig.warned.length, 1);
    await rig.signer.stop();
  });

  it('that waits is logged once for all that wait for the same', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'x'.repeat(100_000));
    for (let index = 0; index < 300; index++) rig.put(`a${index}`);
    await rig.rest();
    assert.equal(rig.warned.length, 1);
    assert.ok(JSON.stringify(rig.warned).length < 3_000);
    await rig.signer.stop();
  });
});

describe('a server that does not lead', () => {
  it('signs and writes nothing until it does, nor before it has read the issuers', async () => {
    const rig = new Rig();
    rig.term = undefined;
    rig.put('a');
    rig.put('b', { conditions: DENIED });
    await rig.pass(3);
    rig.isSynced = false;
    rig.term = new AbortController();
    rig.leads(true);
    await rig.pass(3);
    assert.deepEqual([rig.signed, rig.calls.length], [0, 0]);
    rig.isSynced = true;
    rig.signer.lookAgain();
    await rig.rest();
    assert.deepEqual([...rig.conditions].sort(), ['Ready False Denied', 'Ready True Issued']);
    await rig.signer.stop();
  });

  for (const next of ['none', 'another'] as const) {
    it(`writes nothing that it was signing when its lease was lost (then ${next})`, async () => {
      const rig = new Rig();
      const { promise, resolve } = Promise.withResolvers<Result<IssuedX509>>();
      rig.issue = () => promise;
      rig.put('a');
      await rig.rest();
      assert.equal(rig.signed, 1);
      rig.term?.abort();
      rig.term = next === 'none' ? undefined : new AbortController();
      resolve(ok(rig.issued));
      await rig.rest();
      assert.equal(rig.calls.length, 0);
      await rig.signer.stop();
    });
  }
});

describe('a signing request of Kubernetes', () => {
  const signing = (name: string): SigningRequest => {
    const spec = { signerName: 'signetissuers.signet.dev/shop.ca' };
    const { metadata, ...rest } = object(name, { spec });
    const meta = { ...(metadata as object), namespace: '' };
    return signingRequestFrom({ ...rest, metadata: meta }) ?? assert.fail('no request of ours');
  };

  it('gets its chain alone', async () => {
    const rig = new Rig();
    rig.tell('a', signing('a'));
    await rig.rest();
    const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests/a/status';
    assert.equal(rig.calls[0]?.path, path);
    assert.deepEqual(Object.keys(rig.bodies[0]?.status ?? {}), ['certificate']);
    await rig.signer.stop();
  });

  it('has no word for waiting, and one for failing', async () => {
    const rig = new Rig();
    rig.found = fail('ISSUER_UNKNOWN', 'as the test says');
    rig.tell('a', signing('a'));
    await rig.pass(3);
    assert.equal(rig.calls.length, 0);
    rig.found = ok(ISSUER);
    rig.verdict = () => ({ kind: 'refused', error: refusal('AGENT_BANNED') });
    rig.signer.lookAgain();
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Failed True SignetRefused']);
    assert.deepEqual(Object.keys(rig.bodies[0]?.status ?? {}), ['conditions']);
    await rig.signer.stop();
  });
});
