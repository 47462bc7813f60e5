import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  FakeCertManager,
  type FakeRequest,
  signedStatus,
} from '../../../test/support/fake-cert-manager.ts';
import { TRUST_DOMAIN } from '../../../test/support/issuance.ts';
import { testUpstream } from '../../../test/support/upstream-suite.ts';
import { makeCsr, makeKey } from '../../../test/support/x509.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { fail, ok, type Result, unwrap } from '../../base/result.ts';
import { type CertManagerUpstreamOptions, createCertManagerUpstream } from './cert-manager.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const key = makeKey();
const csr = makeCsr({ key, uris: ['spiffe://example.org'] });
const order = { csr, spki: key.spki, ttlSeconds: 3600 };

/** The system's time, but nothing is waited for. */
const hasty: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs > 5000 ? delayMs : 0, callback),
};

function upstreamOf(fake: FakeCertManager, extra: Partial<CertManagerUpstreamOptions> = {}) {
  return createCertManagerUpstream({
    trustDomain: TRUST_DOMAIN,
    open: async () => ok(fake),
    namespace: 'spiffe',
    issuerRef: { name: 'root', kind: 'Issuer', group: 'cert-manager.io' },
    bundlePath: undefined,
    clock: hasty,
    ...extra,
  });
}

const condition = (type: string, status: string, reason = 'r', message = 'm') => ({
  type,
  status,
  reason,
  message,
});
const waiting = { conditions: [condition('Ready', 'False', 'Pending', 'not yet')] };

testUpstream('cert-manager', async () => {
  const fake = new FakeCertManager();
  return { authority: upstreamOf(fake), ca: fake.ca };
});

describe('the upstream cert-manager', () => {
  test('asks for a CA with the usages of a CA, for as long as is wished for', async () => {
    const fake = new FakeCertManager();
    let seen: FakeRequest | undefined;
    fake.answer = (request) => {
      seen = request;
      return signedStatus(fake.ca, request);
    };
    unwrap(await upstreamOf(fake).certify(order));
    assert.deepEqual([...fake.namespaces], ['spiffe']);
    assert.equal(seen?.spec.isCA, true);
    assert.deepEqual(seen?.spec.usages, ['cert sign', 'crl sign']);
    assert.equal(seen?.spec.duration, '3600s');
    assert.deepEqual(seen?.spec.issuerRef, {
      name: 'root',
      kind: 'Issuer',
      group: 'cert-manager.io',
    });
  });

  test('deletes the request when it is signed, and does not mind where it cannot', async () => {
    const fake = new FakeCertManager();
    unwrap(await upstreamOf(fake).certify(order));
    assert.equal(fake.requests.size, 0);
    fake.decide = (call) => (call === 'remove' ? fail('KUBE_FORBIDDEN', 'planted') : undefined);
    unwrap(await upstreamOf(fake).certify(order));
    assert.equal(fake.requests.size, 1);
  });

  test('waits for an approval, gives up after a minute, and finds the request again', async () => {
    const fake = new FakeCertManager();
    fake.answer = () => waiting;
    const result = await upstreamOf(fake).certify(order);
    assert.equal(code(result), 'UPSTREAM_PENDING');
    assert.ok(!result.ok);
    assert.match(result.error.message, /not approved yet/);
    assert.equal(fake.calls.filter((call) => call === 'read').length, 120);
    // The next try has another signature in its CSR, and the same key.
    fake.answer = (request, looks) => (looks < 125 ? waiting : signedStatus(fake.ca, request));
    const again = { ...order, csr: makeCsr({ key, uris: ['spiffe://example.org'] }) };
    unwrap(await upstreamOf(fake).certify(again));
    assert.equal(fake.calls.filter((call) => call === 'create').length, 2);
    assert.equal(
      fake.calls.filter((call) => call === 'remove').length,
      1,
      'only when it was signed',
    );
  });

  const there: readonly [string, (fake: FakeCertManager) => Promise<void>][] = [
    [
      'that was refused',
      async (fake) => {
        fake.answer = () => ({ conditions: [condition('Denied', 'True')] });
        assert.equal(code(await upstreamOf(fake).certify(order)), 'UPSTREAM_REFUSED');
      },
    ],
    [
      'for another issuer',
      async (fake) => {
        fake.answer = () => waiting;
        const issuerRef = { name: 'other', kind: 'Issuer', group: 'cert-manager.io' };
        await upstreamOf(fake, { issuerRef }).certify(order);
      },
    ],
    [
      'for another key',
      async (fake) => {
        fake.answer = () => waiting;
        await upstreamOf(fake).certify({ ...order, csr: makeCsr() });
      },
    ],
    [
      'that is none',
      async (fake) => {
        fake.answer = () => waiting;
        await upstreamOf(fake).certify(order);
        for (const [name] of fake.requests)
          fake.requests.set(name, { metadata: { name } } as never);
      },
    ],
  ];
  for (const [name, prepare] of there) {
    test(`replaces a request of its name ${name}`, async () => {
      const fake = new FakeCertManager();
      await prepare(fake);
      assert.equal(fake.requests.size, 1);
      // What is there goes on waiting; only a new one is signed.
      const there = [...fake.requests.values()];
      fake.answer = (request) =>
        there.includes(request) ? request.status : signedStatus(fake.ca, request);
      const before = fake.calls.length;
      unwrap(await upstreamOf(fake).certify(order));
      const [first, second, third, fourth] = fake.calls.slice(before);
      assert.deepEqual([first, second, third, fourth], ['create', 'read', 'remove', 'create']);
    });
  }

  const refusals: readonly [string, object, string, RegExp][] = [
    [
      'denied',
      { conditions: [condition('Denied', 'True', 'policy', 'no CAs here')] },
      'UPSTREAM_REFUSED',
      /no CAs here/,
    ],
    [
      'invalid',
      { conditions: [condition('InvalidRequest', 'True')] },
      'UPSTREAM_REFUSED',
      /InvalidRequest/,
    ],
    [
      'failed',
      { conditions: [condition('Ready', 'False', 'Failed', 'the issuer broke')] },
      'UPSTREAM_REFUSED',
      /the issuer broke/,
    ],
    [
      'denied though a certificate is there',
      {
        conditions: [condition('Denied', 'True'), condition('Ready', 'True')],
        certificate: 'QUJD',
      },
      'UPSTREAM_REFUSED',
      /Denied/,
    ],
    [
      'ready without a certificate',
      { conditions: [condition('Ready', 'True')] },
      'UPSTREAM_PENDING',
      /not approved yet/,
    ],
    [
      'signed with something that is no certificate',
      { conditions: [condition('Ready', 'True')], certificate: 'QUJD' },
      'UPSTREAM_ANSWER_INVALID',
      /no certificate/,
    ],
    [
      'signed with something that is not even base64',
      { conditions: [condition('Ready', 'True')], certificate: '***' },
      'UPSTREAM_ANSWER_INVALID',
      /no CertificateRequest/,
    ],
  ];
  for (const [name, status, expected, words] of refusals) {
    test(`tells apart: ${name}`, async () => {
      const fake = new FakeCertManager();
      fake.answer = () => status;
      const result = await upstreamOf(fake).certify(order);
      assert.equal(code(result), expected);
      assert.ok(!result.ok);
      assert.match(result.error.message, words);
    });
  }

  const faults = [
    ['KUBE_CONFIG', 'UPSTREAM_SETTINGS'],
    ['KUBE_UNREACHABLE', 'UPSTREAM_UNREACHABLE'],
    ['KUBE_CREDENTIALS', 'UPSTREAM_CREDENTIALS'],
    ['KUBE_FORBIDDEN', 'UPSTREAM_PERMISSION'],
    ['KUBE_NOT_FOUND', 'UPSTREAM_REFUSED'],
    ['KUBE_REFUSED', 'UPSTREAM_REFUSED'],
  ] as const;
  for (const [fault, expected] of faults) {
    test(`tells apart at every call: ${fault}`, async () => {
      const open = async () => fail(fault, 'planted');
      const fake = new FakeCertManager();
      assert.equal(code(await upstreamOf(fake, { open }).certify(order)), expected);
      for (const at of ['create', 'read']) {
        fake.decide = (call) => (call === at ? fail(fault, 'planted') : undefined);
        assert.equal(code(await upstreamOf(fake).certify(order)), expected, at);
      }
    });
  }

  test('stops waiting when it is closed', async () => {
    const fake = new FakeCertManager();
    const upstream = upstreamOf(fake);
    fake.answer = () => {
      void upstream.close();
      return waiting;
    };
    assert.equal(code(await upstream.certify(order)), 'UPSTREAM_PENDING');
    assert.equal(fake.calls.filter((call) => call === 'read').length, 1);
  });
});
