import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubeObject } from '../../kube/objects.ts';
import { issuerFrom } from './issuer-object.ts';
import { certificateRequestFrom, signingRequestFrom } from './request.ts';

interface Said {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
}

const APPROVED: Said = { type: 'Approved', status: 'True' };
const ref = { group: 'signet.dev', kind: 'SignetIssuer', name: 'ca' };

function object(conditions: readonly Said[], spec: object = {}, status: object = {}): KubeObject {
  return {
    metadata: { name: 'r', namespace: 'shop', uid: 'u', resourceVersion: '1' },
    spec: { issuerRef: ref, ...spec },
    status: { conditions, ...status },
  };
}

describe('a CertificateRequest', () => {
  const cases: readonly (readonly [string, readonly Said[], string | undefined])[] = [
    ['nobody has approved', [], undefined],
    ['is not approved yet', [{ type: 'Approved', status: 'False' }], undefined],
    ['is approved', [APPROVED], 'approved'],
    ['is denied', [{ type: 'Denied', status: 'True' }], 'denied'],
    ['is approved and denied', [APPROVED, { type: 'Denied', status: 'True' }], 'denied'],
    ['is pending', [APPROVED, { type: 'Ready', status: 'False', reason: 'Pending' }], 'approved'],
    ['is issued', [APPROVED, { type: 'Ready', status: 'True', reason: 'Issued' }], undefined],
    ['has failed', [APPROVED, { type: 'Ready', status: 'False', reason: 'Failed' }], undefined],
    [
      'is said to be denied',
      [
        { type: 'Denied', status: 'True' },
        { type: 'Ready', status: 'False', reason: 'Denied' },
      ],
      undefined,
    ],
    ['is invalid', [APPROVED, { type: 'InvalidRequest', status: 'True' }], undefined],
  ];
  for (const [what, conditions, approval] of cases) {
    it(`that ${what} is ${approval ?? 'left alone'}`, () => {
      assert.equal(certificateRequestFrom(object(conditions))?.approval, approval);
    });
  }

  it('that names no issuer of ours is left alone', () => {
    for (const other of [
      { ...ref, group: 'cert-manager.io' },
      { ...ref, group: '' },
      { ...ref, kind: 'Issuer' },
      { ...ref, kind: '' },
      { kind: 'SignetIssuer', name: 'ca' },
    ]) {
      assert.equal(certificateRequestFrom(object([APPROVED], { issuerRef: other })), undefined);
    }
  });

  it('names an issuer of its own namespace, or one of the cluster', () => {
    assert.deepEqual(certificateRequestFrom(object([APPROVED]))?.issuer, {
      kind: 'SignetIssuer',
      namespace: 'shop',
      name: 'ca',
    });
    const issuerRef = { ...ref, kind: 'SignetClusterIssuer' };
    assert.deepEqual(certificateRequestFrom(object([APPROVED], { issuerRef }))?.issuer, {
      kind: 'SignetClusterIssuer',
      namespace: '',
      name: 'ca',
    });
  });
});

describe('a CertificateSigningRequest', () => {
  const read = (signerName: string, conditions = [APPROVED], status: object = {}) =>
    signingRequestFrom(object(conditions, { signerName }, status));

  it('names its issuer by the name of its signer', () => {
    const names: readonly (readonly [string, object | undefined])[] = [
      ['signetissuers.signet.dev/shop.ca', { kind: 'SignetIssuer', namespace: 'shop', name: 'ca' }],
      [
        'signetissuers.signet.dev/shop.c.a',
        { kind: 'SignetIssuer', namespace: 'shop', name: 'c.a' },
      ],
      [
        'signetclusterissuers.signet.dev/a.b',
        { kind: 'SignetClusterIssuer', namespace: '', name: 'a.b' },
      ],
      ['signetissuers.signet.dev/ca', undefined],
      ['signetissuers.signet.dev/.ca', undefined],
      ['issuers.cert-manager.io/shop.ca', undefined],
      ['kubernetes.io/kube-apiserver-client', undefined],
      ['', undefined],
    ];
    for (const [name, issuer] of names) assert.deepEqual(read(name)?.issuer, issuer, name);
  });

  it('is answered only while it is approved, not denied, and without an answer', () => {
    const name = 'signetclusterissuers.signet.dev/edge';
    assert.equal(read(name)?.approval, 'approved');
    assert.equal(read(name, []), undefined);
    assert.equal(read(name, [APPROVED, { type: 'Denied', status: 'True' }]), undefined);
    assert.equal(read(name, [APPROVED, { type: 'Failed', status: 'True' }]), undefined);
    assert.equal(read(name, [APPROVED], { certificate: 'AAAA' }), undefined);
  });
});

describe('an issuer', () => {
  const read = (spec: object, className = '', watchClassless = false) =>
    issuerFrom('SignetIssuer', { metadata: { name: 'ca' }, spec }, { className, watchClassless });

  it('of another class is another server`s', () => {
    assert.ok(read({}) !== undefined);
    assert.equal(read({ className: 'other' }), undefined);
    assert.equal(read({}, 'mine'), undefined);
    assert.ok(read({}, 'mine', true) !== undefined);
    assert.ok(read({ className: 'mine' }, 'mine') !== undefined);
  });

  it('that cannot be read is kept, so that its status can say so', () => {
    for (const certificates of [
      'all',
      [{}],
      [{ pathPrefix: '' }],
      [{ pathPrefix: '{{' }],
      [{ pathPrefix: '/a', ttl: 'long' }],
      [{ pathPrefix: '/a', dnsNames: 'x' }],
    ]) {
      assert.equal(read({ certificates })?.allowances.ok, false);
    }
  });
});

describe('what is kept of a request', () => {
  const long = 'x'.repeat(1_000_000);
  const many = Array.from({ length: 50_000 }, (_, index) => `usage ${index}`);
  const pod = 'authentication.kubernetes.io/pod-name';
  const hostile = {
    request: long,
    usages: [...many, long],
    duration: long,
    username: long,
    uid: long,
    extra: { [long]: many, other: [long], [pod]: [long, ...many] },
  };
  const pending = { type: 'Ready', status: 'False', reason: 'Pending', message: long };

  it('is little, whatever its maker has written into it', () => {
    const issuerRef = { ...ref, name: long };
    const read = certificateRequestFrom(object([APPROVED, pending], { issuerRef, ...hostile }));
    assert.ok(read !== undefined);
    const kept = JSON.stringify({
      ...read,
      maker: { ...read.maker, extra: [...read.maker.extra] },
    });
    assert.ok(kept.length < 10_000, `${kept.length} characters`);
    assert.equal(read.request, undefined);
    assert.equal(read.maker.extra.has(pod), true);
    const signerName = 'signetissuers.signet.dev/shop.ca';
    const signing = signingRequestFrom(object([APPROVED], { signerName, ...hostile }));
    assert.ok(JSON.stringify(signing).length < 10_000);
  });

  it('is all that is read of it, at the bound', () => {
    const spec = (length: number) => ({
      request: 'A'.repeat(length),
      username: 'u'.repeat(1024),
      usages: ['client auth', 'client auth', 'cert sign'],
      extra: { [pod]: ['p'.repeat(1024)] },
    });
    const read = certificateRequestFrom(object([APPROVED], spec(40_960)));
    assert.equal(read?.request?.length, 40_960);
    assert.equal(certificateRequestFrom(object([APPROVED], spec(40_961)))?.request, undefined);
    assert.equal(read.maker.username.length, 1024);
    assert.deepEqual(read.usages, ['client auth', 'cert sign']);
    assert.equal(read.maker.extra.get(pod)?.[0]?.length, 1024);
  });
});
