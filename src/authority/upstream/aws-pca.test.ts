import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  FAKE_CA_ARN,
  type FakeAcmPca,
  type PcaFault,
  startFakeAcmPca,
} from '../../../test/support/fake-acm-pca.ts';
import { FakeCa } from '../../../test/support/fake-ca.ts';
import { testUpstream } from '../../../test/support/upstream-suite.ts';
import { makeCsr, makeKey } from '../../../test/support/x509.ts';
import { type Clock, ManualClock, systemClock } from '../../base/clock.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { type AwsPcaUpstreamOptions, createAwsPcaUpstream } from './aws-pca.ts';
import { parseCaArn } from './ca-arn.ts';

let fake: FakeAcmPca;
before(async () => {
  fake = await startFakeAcmPca();
});
after(() => fake.close());
beforeEach(() => {
  fake.decide = () => undefined;
  fake.looksBefore = 0;
  fake.calls.length = 0;
});

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const key = makeKey();
const order = {
  csr: makeCsr({ key, uris: ['spiffe://example.org'] }),
  spki: key.spki,
  ttlSeconds: 3600,
};

/** The system's time, but nothing is waited for. */
const hasty: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs > 5000 ? delayMs : 0, callback),
};

function pca(extra: Partial<AwsPcaUpstreamOptions> = {}) {
  const certificateAuthorityArn = parseCaArn(FAKE_CA_ARN);
  assert.ok(certificateAuthorityArn);
  return createAwsPcaUpstream({
    certificateAuthorityArn,
    pathLength: 0,
    templateArn: undefined,
    signingAlgorithm: undefined,
    endpoint: fake.address,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'hush' },
    bundlePath: undefined,
    clock: hasty,
    ...extra,
  });
}

testUpstream('aws-pca', async () => {
  Object.assign(fake.ca, new FakeCa());
  return { authority: pca(), ca: fake.ca };
});

describe('the upstream aws-pca', () => {
  test('waits until the certificate is issued', async () => {
    fake.looksBefore = 5;
    unwrap(await pca().certify(order));
    const looks = fake.calls.filter(({ operation }) => operation === 'GetCertificate');
    assert.equal(looks.length, 6);
  });

  test('gives up after a minute, and at once when it is closed', async () => {
    fake.looksBefore = Infinity;
    assert.equal(code(await pca().certify(order)), 'UPSTREAM_PENDING');
    const looks = () => fake.calls.filter(({ operation }) => operation === 'GetCertificate').length;
    assert.equal(looks(), 60);
    const closing = pca();
    fake.decide = (operation) => {
      if (operation === 'GetCertificate') void closing.close();
      return undefined;
    };
    assert.equal(code(await closing.certify(order)), 'UPSTREAM_PENDING');
    assert.equal(looks(), 61);
  });

  test('asks for the signature algorithm of the CA once, and not where it is set', async () => {
    const operations = () => fake.calls.map(({ operation }) => operation);
    const upstream = pca();
    unwrap(await upstream.certify(order));
    unwrap(await upstream.certify(order));
    const [describes, ...rest] = operations();
    assert.equal(describes, 'DescribeCertificateAuthority');
    assert.ok(!rest.includes('DescribeCertificateAuthority'));
    fake.calls.length = 0;
    unwrap(await pca({ signingAlgorithm: 'SHA256WITHECDSA' }).certify(order));
    assert.deepEqual(operations(), ['IssueCertificate', 'GetCertificate']);
  });

  test('signs its calls for the service and the region of the ARN, with an end as asked for', async () => {
    const clock = new ManualClock(Date.UTC(2030, 0, 1));
    unwrap(await pca({ clock, pathLength: 1 }).certify(order));
    const issue = fake.calls.find(({ operation }) => operation === 'IssueCertificate');
    const { authorization = '' } = issue?.headers ?? {};
    assert.match(
      authorization,
      /Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/acm-pca\/aws4_request/,
    );
    assert.match(authorization, /SignedHeaders=[^,]*host;[^,]*x-amz-target/);
    const { Validity, TemplateArn } = issue?.body ?? {};
    assert.deepEqual(Validity, { Type: 'ABSOLUTE', Value: Date.UTC(2030, 0, 1) / 1000 + 3600 });
    assert.equal(
      TemplateArn,
      'arn:aws:acm-pca:::template/BlankSubordinateCACertificate_PathLen1_APICSRPassthrough/V1',
    );
    assert.doesNotMatch(JSON.stringify(fake.calls), /hush/);
  });

  test('passes no usages to a template that takes none', async () => {
    const templateArn = 'arn:aws:acm-pca:::template/SubordinateCACertificate_PathLen0/V1';
    unwrap(await pca({ templateArn }).certify(order));
    const issue = fake.calls.find(({ operation }) => operation === 'IssueCertificate');
    assert.equal(issue?.body.ApiPassthrough, undefined);
    assert.equal(issue?.body.TemplateArn, templateArn);
  });

  const faults: readonly [string, PcaFault, string][] = [
    ['throttled', { status: 400, name: 'ThrottlingException' }, 'UPSTREAM_THROTTLED'],
    ['no permission', { status: 400, name: 'AccessDeniedException' }, 'UPSTREAM_PERMISSION'],
    [
      'credentials that ended',
      { status: 400, name: 'ExpiredTokenException' },
      'UPSTREAM_CREDENTIALS',
    ],
    [
      'credentials unknown',
      { status: 400, name: 'UnrecognizedClientException' },
      'UPSTREAM_CREDENTIALS',
    ],
    ['a CA that is disabled', { status: 400, name: 'InvalidStateException' }, 'UPSTREAM_REFUSED'],
    [
      'an end after that of the CA',
      { status: 400, name: 'ValidationException' },
      'UPSTREAM_REFUSED',
    ],
    ['a fault of its own', { status: 500, name: 'InternalFailure' }, 'UPSTREAM_UNREACHABLE'],
    ['a page of a proxy', { status: 502, text: '<html>' }, 'UPSTREAM_UNREACHABLE'],
    ['an answer that is no JSON', { status: 200, text: '<html>' }, 'UPSTREAM_REFUSED'],
    ['an answer without what was asked', { status: 200, text: '{}' }, 'UPSTREAM_ANSWER_INVALID'],
    ['a connection that breaks', 'reset', 'UPSTREAM_UNREACHABLE'],
  ];
  for (const operation of ['DescribeCertificateAuthority', 'IssueCertificate', 'GetCertificate']) {
    for (const [name, fault, expected] of faults) {
      test(`tells apart at ${operation}: ${name}`, async () => {
        fake.decide = (each) => (each === operation ? fault : undefined);
        assert.equal(code(await pca().certify(order)), expected);
      });
    }
  }

  test('tells what the service says', async () => {
    const message = 'The certificate validity specified exceeds that of the CA';
    fake.decide = () => ({ status: 400, name: 'ValidationException', message });
    const result = await pca().certify(order);
    assert.ok(!result.ok);
    assert.match(result.error.message, /ValidationException, status 400 "The certificate validity/);
  });

  test('tells apart: no credentials, and nothing of them', async () => {
    const credentials = () => Promise.reject(new TypeError('hush'));
    const result = await pca({ credentials }).certify(order);
    assert.equal(code(result), 'UPSTREAM_CREDENTIALS');
    assert.ok(!result.ok);
    assert.doesNotMatch(result.error.message, /hush/);
  });
});

describe('the ARN of a CA', () => {
  const id = 'certificate-authority/12345678-1234-1234-1234-123456789012';
  test('names partition and region', () => {
    const text = `arn:aws-us-gov:acm-pca:us-gov-west-1:123456789012:${id}`;
    assert.deepEqual(parseCaArn(text), { text, partition: 'aws-us-gov', region: 'us-gov-west-1' });
  });
  const others = [
    '',
    `arn:aws:acm-pca:eu-central-1:12345678901:${id}`,
    `arn:aws:acm-pca:eu-central-1:1234567890123:${id}`,
    `arn:aws:acm:eu-central-1:123456789012:${id}`,
    `arn:aws:acm-pca:eu.evil/x:123456789012:${id}`,
    `arn:aws:acm-pca:eu-central-1:123456789012:${id}/certificate/1`,
    `x arn:aws:acm-pca:eu-central-1:123456789012:${id}`,
  ];
  for (const text of others) {
    test(`is not ${JSON.stringify(text)}`, () => assert.equal(parseCaArn(text), undefined));
  }
});
