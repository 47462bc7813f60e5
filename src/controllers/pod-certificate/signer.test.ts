import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { x509Grant } from '../../../test/support/issuance.ts';
import { ManualClock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { IssuedX509 } from '../../issuance/issuer.ts';
import type { KubeApi, KubeRequest } from '../../kube/kube-api.ts';
import type { KubeObject } from '../../kube/objects.ts';
import type { X509Grant } from '../../policy/grant.ts';
import type { PodVerdict } from '../pod-identity.ts';
import { refreshAt } from './answer.ts';
import { judgePodCertificate, type PodCertificateJudge } from './judge.ts';
import { podCertificateRequestFrom } from './request.ts';
import { PodCertificateSigner } from './signer.ts';

const NOW = 1_800_000_000;
const SIGNER = 'signet.test/spiffe';

function object(name: string, spec: object = {}, status: object = {}): KubeObject {
  return {
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, resourceVersion: '7' },
    spec: {
      signerName: SIGNER,
      podName: 'web',
      podUID: 'uid-web',
      nodeName: 'node-a',
      nodeUID: 'uid-node-a',
      serviceAccountName: 'default',
      serviceAccountUID: 'uid-account',
      maxExpirationSeconds: 86_400,
      stubPKCS10Request: 'AAAA',
      ...spec,
    },
    status,
  };
}

interface Condition {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

interface Body {
  readonly metadata: { readonly uid: string; readonly resourceVersion: string };
  readonly status: {
    readonly conditions: readonly Condition[];
    readonly beginRefreshAt?: string;
    readonly certificateChain?: string;
  };
}

const code = (errorCode: ErrorCode) => fail(errorCode, 'as the test says').error;

/** A signer between an API server, an issuer and policy that do as the test says. */
class Rig {
  readonly clock = new ManualClock(NOW * 1000);
  readonly calls: KubeRequest[] = [];
  readonly events: string[] = [];
  readonly counted: string[] = [];
  signed = 0;
  term: AbortController | undefined = new AbortController();
  leads: (leader: boolean) => void = () => {};
  serverAheadMs: number | undefined;
  dates = { notBeforeSeconds: NOW - 60, notAfterSeconds: NOW + 3600 };
  grant: X509Grant = x509Grant('/web');
  verdict: () => PodVerdict = () => ({
    kind: 'granted',
    grant: this.grant,
    source: { cluster: 'rack', rule: RULE, pod: 'shop/web' },
    pod: this.pod,
  });
  planned: () => Result<typeof this.dates> = () => ok(this.dates);
  issue: () => Promise<Result<IssuedX509>> = async () => ok(this.issued);
  answer: (request: KubeRequest) => Promise<Result<KubeObject>> = async () => ok({});
  checked: Result<never> | undefined;
  pod = POD;
  wishes: unknown[] = [];

  get issued(): IssuedX509 {
    const { notBeforeSeconds, notAfterSeconds } = this.dates;
    return {
      spiffeId: this.grant.spiffeId,
      chain: [Uint8Array.of(1)],
      serialDecimal: '1',
      notBeforeSeconds,
      expiresAtSeconds: notAfterSeconds,
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

  readonly judge: PodCertificateJudge = {
    cluster: 'rack',
    signerDomain: 'signet.test',
    signer: 'spiffe',
    identities: {
      resolve: (_, wish) => {
        this.wishes.push(wish);
        return this.verdict();
      },
    },
    issuer: { planX509: () => this.planned() },
    defaultTtlSeconds: () => 3600,
    serverAheadMs: () => this.serverAheadMs,
    clock: this.clock,
  };

  readonly signer: PodCertificateSigner;

  constructor() {
    const rig = this;
    const one = () => {
      this.signed += 1;
      return this.issue();
    };
    const proven = () => this.checked ?? (ok(undefined) as unknown as Result<never>);
    this.signer = new PodCertificateSigner({
      api: this.api,
      judge: this.judge,
      issuer: {
        issueX509Batch: (items) => Promise.all(items.map(one)),
        issueX509ByProof: one,
        checkCsr: proven,
        checkProof: proven,
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
      events: { tell: ({ reason }) => void this.events.push(reason) },
      resource: () => ({ group: 'certificates.k8s.io', version: 'v1', plural: 'pcrs' }),
      graceMs: 5_000,
      clock: this.clock,
      log: { info: () => {}, warn: () => {} },
      metrics: {
        answered: (_, outcome) => void this.counted.push(outcome),
        postponed: (_, what) => void this.counted.push(what),
        waiting: () => {},
      },
    });
  }

  put(name: string, spec: object = {}): void {
    const value = podCertificateRequestFrom(object(name, spec), SIGNER);
    assert.ok(value !== undefined);
    const key = `shop/${name}`;
    this.signer.take({ kind: 'put', key, uid: value.uid, value, before: undefined });
  }

  remove(name: string): void {
    const before = podCertificateRequestFrom(object(name), SIGNER);
    assert.ok(before !== undefined);
    this.signer.take({ kind: 'delete', key: `shop/${name}`, uid: before.uid, before });
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
      const [{ type, reason } = assert.fail('no condition')] = conditions;
      return `${type} ${reason}`;
    });
  }
}

function volumes(signerName: string): object {
  return { volumes: [{ projected: { sources: [{ podCertificate: { signerName } }] } }] };
}

const RULE = {
  kind: 'ClusterSPIFFEID',
  namespace: '',
  name: 'all',
  uid: 'u',
  createdAtMs: 0,
  deletingSinceMs: undefined,
} as const;
const POD = {
  namespace: 'shop',
  name: 'web',
  uid: 'uid-web',
  createdAtSeconds: 0,
  nodeName: 'node-a',
  labels: {},
  json: JSON.stringify({ spec: volumes('signet.test/spiffe') }),
};

describe('a request for a pod certificate', () => {
  it('is answered once, with the certificate and its dates', async () => {
    const rig = new Rig();
    rig.put('a');
    await rig.rest();
    const [body] = rig.bodies;
    assert.deepEqual(body?.metadata, { uid: 'uid-a', resourceVersion: '7' });
    assert.deepEqual(rig.conditions, ['Issued Issued']);
    assert.match(body.status.certificateChain ?? '', /^-----BEGIN CERTIFICATE-----/);
    assert.equal(body.status.beginRefreshAt, '2027-01-15T08:29:30Z');
    assert.equal(rig.calls[0]?.path, '/apis/certificates.k8s.io/v1/namespaces/shop/pcrs/a/status');
    assert.deepEqual(rig.events, ['PodCertificateIssued']);
    // Told again before its answer is seen, by a watch that began anew.
    rig.put('a');
    rig.signer.lookAgain();
    await rig.pass(40);
    assert.equal(rig.calls.length, 1);
    assert.equal(rig.signed, 1);
    await rig.signer.stop();
  });

  it('that is answered is none, and that of another signer neither', () => {
    for (const type of ['Issued', 'Denied', 'Failed']) {
      const answered = object('a', {}, { conditions: [{ type, status: 'True' }] });
      assert.equal(podCertificateRequestFrom(answered, SIGNER), undefined);
    }
    assert.equal(podCertificateRequestFrom(object('a', { signerName: 'x/y' }), SIGNER), undefined);
  });

  it('may choose among what the pod has, and nothing else', async () => {
    const rig = new Rig();
    const annotations = { 'signet.test/spiffe-id-hint': 'x', 'signet.test/dns-names': 'a, b' };
    rig.put('a', { unverifiedUserAnnotations: annotations, maxExpirationSeconds: 7200 });
    await rig.rest();
    assert.deepEqual(rig.wishes, [
      {
        spiffeId: 'x',
        dnsNames: ['a', 'b'],
        ofServices: false,
        requestedBy: 'pod-certificate:rack',
        maxLifeSeconds: 7200,
        notBeforeSeconds: NOW - 270,
      },
    ]);
    rig.put('b', { unverifiedUserAnnotations: { 'signet.test/other': '' } });
    await rig.rest();
    assert.equal(rig.conditions[1], 'Denied InvalidUnverifiedUserAnnotations');
    assert.equal(rig.signed, 1);
    await rig.signer.stop();
  });

  it('is denied where its pod has no volume of the signer', async () => {
    for (const spec of [{}, volumes('other.test/spiffe')]) {
      const rig = new Rig();
      rig.pod = { ...POD, json: JSON.stringify({ spec }) };
      rig.put('a');
      await rig.rest();
      assert.deepEqual(rig.conditions, ['Denied PodMismatch']);
      assert.equal(rig.signed, 0);
      await rig.signer.stop();
    }
  });

  it('to the signer of services is about their names, for pods with a volume of that one', () => {
    const rig = new Rig();
    const judge = { ...rig.judge, signer: 'service-dns' } as const;
    const name = 'signet.test/service-dns';
    const request = podCertificateRequestFrom(object('a', { signerName: name }), name);
    assert.ok(request !== undefined);
    const other = judgePodCertificate(request, judge);
    assert.equal(other.kind === 'refused' && other.error.code, 'POD_MISMATCH');
    rig.pod = { ...POD, json: JSON.stringify({ spec: volumes(name) }) };
    assert.equal(judgePodCertificate(request, judge).kind, 'issue');
    assert.deepEqual(
      rig.wishes.map((wish) => (wish as { ofServices: boolean }).ofServices),
      [true, true],
    );
  });

  it('is denied at once where policy refuses, without any other field', async () => {
    const rig = new Rig();
    rig.verdict = () => ({ kind: 'refused', error: code('ZONE_NOT_MET') });
    rig.put('a');
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Denied ZoneNotMet']);
    assert.deepEqual(Object.keys(rig.bodies[0]?.status ?? {}), ['conditions']);
    assert.equal(rig.signed, 0);
    await rig.signer.stop();
  });

  it('is denied after the grace where no rule comes, and issued where one does', async () => {
    const rig = new Rig();
    const granted = rig.verdict;
    rig.verdict = () => ({ kind: 'hold', error: code('POD_NO_IDENTITY') });
    rig.put('a');
    await rig.rest();
    await rig.pass(4);
    assert.deepEqual(rig.conditions, []);
    await rig.pass(3);
    assert.deepEqual(rig.conditions, ['Denied PodNoIdentity']);
    rig.put('b');
    await rig.rest();
    rig.verdict = granted;
    rig.signer.lookAgain();
    await rig.rest();
    assert.deepEqual(rig.conditions.slice(1), ['Issued Issued']);
    await rig.signer.stop();
  });

  it('has no grace running while rules are being read', async () => {
    const rig = new Rig();
    rig.verdict = () => ({ kind: 'wait', error: code('POD_RULES_PENDING') });
    rig.put('a');
    await rig.rest();
    await rig.pass(60);
    assert.deepEqual(rig.conditions, []);
    rig.verdict = () => ({ kind: 'hold', error: code('POD_NO_IDENTITY') });
    await rig.pass(3);
    assert.deepEqual(rig.conditions, []);
    await rig.signer.stop();
  });

  it('stays pending while the authority is away, and is issued when it is back', async () => {
    const rig = new Rig();
    rig.planned = () => fail('ISSUANCE_CLOSED', 'away');
    rig.put('a');
    rig.put('b');
    await rig.rest();
    await rig.pass(20);
    rig.planned = () => ok(rig.dates);
    rig.issue = async () => fail('ISSUANCE_OVERLOADED', 'away');
    await rig.pass(20);
    assert.equal(rig.calls.length, 0);
    rig.issue = async () => ok(rig.issued);
    await rig.pass(40);
    assert.deepEqual(rig.conditions, ['Issued Issued', 'Issued Issued']);
    await rig.signer.stop();
  });

  it('is denied for a key that nothing is issued for, and fails where it proves none', async () => {
    const rig = new Rig();
    rig.issue = async () => fail('KEY_ALGORITHM', 'no such');
    rig.checked = fail('KEY_ALGORITHM', 'no such');
    rig.put('a');
    await rig.rest();
    rig.issue = async () => fail('SIGNATURE_INVALID', 'no');
    rig.checked = fail('SIGNATURE_INVALID', 'no');
    rig.put('b');
    await rig.rest();
    // The same of a key manager says nothing about the request.
    rig.checked = undefined;
    rig.put('c');
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Denied UnsupportedKeyType', 'Failed SignatureInvalid']);
    await rig.signer.stop();
  });

  for (const [refusal, then] of [
    ['KUBE_CONFLICT', 'the watch replays it'],
    ['KUBE_UNREACHABLE', 'the server answers again'],
    ['KUBE_FORBIDDEN', 'the role is bound'],
  ] as const) {
    it(`is written by what was signed for it, after ${refusal}, once ${then}`, async () => {
      const rig = new Rig();
      rig.answer = async () => fail(refusal, 'no');
      rig.put('a');
      await rig.rest();
      rig.answer = async () => ok({});
      await rig.pass(5);
      assert.equal(rig.calls.length, 2);
      assert.equal(rig.signed, 1);
      assert.deepEqual(rig.counted, [refusal, 'issued']);
      await rig.signer.stop();
    });
  }

  it('is signed for anew when what could not be written has become old, or its agent another', async () => {
    for (const change of ['age', 'agent'] as const) {
      const rig = new Rig();
      rig.answer = async () => fail('KUBE_FORBIDDEN', 'no');
      rig.put('a');
      await rig.rest();
      if (change === 'age') await rig.pass(130);
      else rig.grant = x509Grant('/web', { agentAttestedAtSeconds: 99 });
      rig.answer = async () => ok({});
      await rig.pass(40);
      assert.equal(rig.signed, 2);
      await rig.signer.stop();
    }
  });

  it('is signed five times at most for an API server that never takes it, then has failed', async () => {
    const rig = new Rig();
    const isIssued = (body: unknown) => JSON.stringify(body).includes('certificateChain');
    rig.answer = async ({ body }) => (isIssued(body) ? fail('KUBE_REFUSED', 'no') : ok({}));
    rig.put('a');
    for (let minute = 0; minute < 6 * 60 && rig.signer.waiting > 0; minute++) {
      rig.clock.advance(60_000);
      await rig.rest();
    }
    assert.deepEqual([rig.signed, rig.counted.at(-1)], [5, 'failed']);
    assert.ok(rig.clock.monotonicMs() >= 24 * 60_000);
    await rig.signer.stop();
  });

  it('is signed ever more rarely while we may not write, and issued once we may', async () => {
    const rig = new Rig();
    rig.answer = async () => fail('KUBE_FORBIDDEN', 'no');
    rig.put('a');
    for (let minute = 0; minute < 120; minute++) {
      rig.clock.advance(60_000);
      await rig.rest();
    }
    assert.ok(rig.signed >= 8 && rig.signed <= 14, `${rig.signed} signatures in two hours`);
    rig.answer = async () => ok({});
    for (let minute = 0; minute < 12; minute++) {
      rig.clock.advance(60_000);
      await rig.rest();
    }
    assert.equal(rig.counted.at(-1), 'issued');
    await rig.signer.stop();
  });

  it('is counted and told of, though the watch tells of its answer before the call does', async () => {
    const rig = new Rig();
    rig.answer = async () => {
      rig.remove('a');
      return ok({});
    };
    rig.put('a');
    await rig.rest();
    assert.deepEqual([rig.counted, rig.events], [['issued'], ['PodCertificateIssued']]);
    assert.equal(rig.signer.waiting, 0);
    await rig.signer.stop();
  });

  it('is forgotten with its object', async () => {
    const rig = new Rig();
    rig.verdict = () => ({ kind: 'hold', error: code('POD_NO_IDENTITY') });
    rig.put('a');
    await rig.rest();
    assert.equal(rig.signer.waiting, 1);
    rig.remove('a');
    await rig.pass(10);
    assert.equal(rig.signer.waiting, 0);
    assert.equal(rig.calls.length, 0);
    await rig.signer.stop();
  });
});

describe('a server that does not lead', () => {
  it('signs and writes nothing until it does', async () => {
    const rig = new Rig();
    rig.term = undefined;
    rig.put('a');
    await rig.rest();
    await rig.pass(3);
    assert.deepEqual([rig.signed, rig.calls.length], [0, 0]);
    rig.term = new AbortController();
    rig.leads(true);
    await rig.rest();
    assert.deepEqual(rig.conditions, ['Issued Issued']);
    await rig.signer.stop();
  });

  it('writes nothing that it was signing when its lease was lost', async () => {
    const rig = new Rig();
    const { promise, resolve } = Promise.withResolvers<Result<IssuedX509>>();
    rig.issue = () => promise;
    rig.put('a');
    await rig.rest();
    assert.equal(rig.signed, 1);
    rig.term?.abort();
    rig.term = undefined;
    resolve(ok(rig.issued));
    await rig.rest();
    await rig.pass(5);
    assert.equal(rig.calls.length, 0);
    // Not even when it has it again at once: another may have led between.
    await rig.signer.stop();
  });

  it('writes nothing in another term than it signed in', async () => {
    const rig = new Rig();
    const { promise, resolve } = Promise.withResolvers<Result<IssuedX509>>();
    rig.issue = () => promise;
    rig.put('a');
    await rig.rest();
    rig.term = new AbortController();
    resolve(ok(rig.issued));
    await rig.rest();
    assert.equal(rig.calls.length, 0);
    await rig.signer.stop();
  });

  it('ends a write that is under way', async () => {
    const rig = new Rig();
    const { promise, resolve } = Promise.withResolvers<Result<KubeObject>>();
    rig.answer = () => promise;
    rig.put('a');
    await rig.rest();
    rig.term?.abort();
    assert.equal(rig.calls[0]?.signal?.aborted, true);
    resolve(fail('KUBE_UNREACHABLE', 'ended'));
    await rig.signer.stop();
  });
});

describe('the dates of a pod certificate', () => {
  const request = podCertificateRequestFrom(object('a'), SIGNER);
  assert.ok(request !== undefined);
  const kindOf = (rig: Rig): string => {
    const plan = judgePodCertificate(request, rig.judge);
    return plan.kind === 'issue' ? 'issue' : `${plan.kind} ${plan.error.code}`;
  };

  for (const [life, ttl, outcome] of [
    [3600, 3599, 'issue'],
    [3599, 3599, 'refused POD_CERTIFICATE_LIFE'],
    [3599, 3600, 'wait POD_CERTIFICATE_CLOCK'],
  ] as const) {
    it(`of ${life} s, where policy has ${ttl} s, come to "${outcome}"`, () => {
      const rig = new Rig();
      rig.grant = x509Grant('/web', { ttlSeconds: ttl });
      rig.dates = { notBeforeSeconds: NOW, notAfterSeconds: NOW + life };
      assert.equal(kindOf(rig), outcome);
    });
  }

  for (const [ahead, outcome] of [
    [-210, 'issue'],
    [-211, 'wait POD_CERTIFICATE_CLOCK'],
    [400, 'issue'],
  ] as const) {
    it(`come to "${outcome}" where the API server is ${ahead} s ahead`, () => {
      const rig = new Rig();
      rig.serverAheadMs = ahead * 1000;
      rig.dates = { notBeforeSeconds: NOW + (ahead < 0 ? 0 : 130), notAfterSeconds: NOW + 9000 };
      if (ahead < 0) rig.dates = { ...rig.dates, notBeforeSeconds: NOW + 60 };
      assert.equal(kindOf(rig), outcome);
      const [wish] = rig.wishes as readonly { notBeforeSeconds: number }[];
      assert.equal(wish?.notBeforeSeconds, NOW + ahead - 270);
    });
  }

  it('begin to be refreshed at half of the life, ten minutes from both ends', () => {
    assert.equal(refreshAt(0, 3600), 1800);
    assert.equal(refreshAt(0, 86_401), 43_200);
    assert.equal(refreshAt(0, 1200), 600);
  });

  it('are not asked for where the life is under an hour, or the key has no proof', () => {
    for (const spec of [{ maxExpirationSeconds: 3599 }, { stubPKCS10Request: undefined }]) {
      const bad = podCertificateRequestFrom(object('a', spec), SIGNER);
      assert.ok(bad !== undefined);
      const plan = judgePodCertificate(bad, new Rig().judge);
      assert.equal(plan.kind === 'hold' && plan.error.code, 'POD_CERTIFICATE_REQUEST');
    }
  });
});
