import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { AGENT_TEST_DOMAIN } from '../../../test/support/agent-ca.ts';
import { runAttestation } from '../../../test/support/attestor-suite.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeRoot,
  type TestCertificate,
} from '../../../test/support/x509.ts';
import { x509popChain, x509popRig } from '../../../test/support/x509pop.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { emptyBundle, withX509Authority } from '../../spiffe/bundle.ts';
import { parsePathTemplate } from '../path-template.ts';
import { encodeX509PopPayload } from './payload.ts';
import { X509POP_VALUES } from './server.ts';

function sha1(certificate: TestCertificate): string {
  return createHash('sha1').update(certificate.der).digest('hex');
}

describe('what x509pop establishes', () => {
  test('is an ID by fingerprint, selectors of the certificate and its issuers, and a key', async (context) => {
    const { root, intermediate, leaf } = x509popChain(undefined, {
      serial: Buffer.from('0a1b2c', 'hex'),
      uris: [
        'x509pop://example.org/rack:12',
        'x509pop://example.org/row/3',
        'x509pop://evil.org/a:b',
      ],
    });
    const node = assertValue(
      (
        await runAttestation(
          x509popRig(context, {
            leaf,
            intermediates: [intermediate],
            trust: { mode: 'external_pki', roots: [root.certificate] },
          }),
        )
      ).result,
    );
    assert.equal(node.agentId.uri, `spiffe://example.org/spire/agent/x509pop/${sha1(leaf)}`);
    assert.deepEqual(
      node.selectors.map(({ text }) => text),
      [
        'x509pop:subject:cn:node-1',
        `x509pop:ca:fingerprint:${sha1(intermediate)}`,
        `x509pop:ca:fingerprint:${sha1(root)}`,
        'x509pop:serialnumber:0a1b2c',
        'x509pop:san:rack:12',
        'x509pop:san:row:3',
      ],
    );
    assert.equal(node.canReattest, true);
    assert.equal(node.assurance.binding, 'key');
  });

  test('is an ID by a template, in which a common name cannot make a path', async (context) => {
    const template = '/cn/{{ .Subject.CommonName }}';
    const node = assertValue((await runAttestation(x509popRig(context, { template }))).result);
    assert.equal(node.agentId.path, '/spire/agent/cn/node-1');
    for (const commonName of ['a/b', '..', 'ä']) {
      const { root, intermediate, leaf } = x509popChain(undefined, { subject: { commonName } });
      const rig = x509popRig(context, {
        leaf,
        intermediates: [intermediate],
        trust: { mode: 'external_pki', roots: [root.certificate] },
        template,
      });
      assertRefused((await runAttestation(rig)).result, 'ATTESTATION_ID');
    }
  });

  for (const text of [
    'fixed',
    '{{ .Nothing }}',
    '{{ if .Fingerprint }}x{{ end }}',
    '{{.Fingerprint',
  ]) {
    test(`refuses the template ${text}`, () => {
      assertRefused(parsePathTemplate(text, X509POP_VALUES), 'ATTESTATION_ID');
    });
  }
});

describe('a certificate that x509pop refuses', () => {
  const root = makeRoot();
  const intermediate = makeIntermediate(root);
  const below = (extra: Parameters<typeof makeCertificate>[0]): TestCertificate =>
    makeCertificate({ issuer: intermediate, ...extra });
  const cases: readonly (readonly [string, TestCertificate, ErrorCode])[] = [
    ['of another root', makeCertificate({ issuer: makeRoot() }), 'PATH_NOT_FOUND'],
    ['that is a CA', below({ ca: true }), 'X509POP_LEAF'],
    ['that has expired', below({ notAfterMs: Date.UTC(2029, 0, 1) }), 'PATH_EXPIRED'],
    ['that is not valid yet', below({ notBeforeMs: Date.UTC(2031, 0, 1) }), 'PATH_NOT_YET_VALID'],
    ['with a key that proves nothing', below({ key: makeKey('rsa-1024') }), 'PATH_KEY'],
    ['without digitalSignature', below({ keyUsage: ['keyEncipherment'] }), 'X509POP_LEAF'],
  ];
  for (const [name, leaf, code] of cases) {
    test(name, async (context) => {
      const rig = x509popRig(context, {
        leaf,
        intermediates: [intermediate],
        trust: { mode: 'external_pki', roots: [root.certificate] },
      });
      assertRefused((await runAttestation(rig)).result, code);
    });
  }

  test('because there are more than five of them', async (context) => {
    const rig = x509popRig(context);
    const payload = encodeX509PopPayload(Array.from({ length: 6 }, () => root.der));
    assertRefused(
      (await runAttestation(rig, { payload: () => payload })).result,
      'ATTESTATION_PAYLOAD',
    );
  });

  test("because the key in the agent's file is another", async (context) => {
    const rig = x509popRig(context, {
      leaf: { ...below({}), key: makeKey() },
      intermediates: [intermediate],
      trust: { mode: 'external_pki', roots: [root.certificate] },
    });
    assertRefused((await runAttestation(rig)).result, 'X509POP_PROOF');
  });
});

describe('x509pop in the mode spiffe', () => {
  const authority = makeRoot('example.org');
  const bundle = withX509Authority(emptyBundle(AGENT_TEST_DOMAIN), {
    certificate: authority.certificate,
    tainted: false,
  });
  const trust = { mode: 'spiffe', svidPrefix: '/spire-exchange/' } as const;
  const template = '{{ .PluginName }}/{{ .SVIDPathTrimmed }}';
  const svid = (path: string, issuer = authority): TestCertificate =>
    makeCertificate({ issuer, uris: [`spiffe://example.org${path}`] });

  test('exchanges an SVID for an agent of the same path', async (context) => {
    const leaf = svid('/spire-exchange/rack/host');
    const rig = x509popRig(context, { leaf, intermediates: [], trust, template, bundle });
    const node = assertValue((await runAttestation(rig)).result);
    assert.equal(node.agentId.path, '/spire/agent/x509pop/rack/host');
  });

  const revoked = svid('/spire-exchange/host');
  const cases: readonly (readonly [string, TestCertificate, ErrorCode])[] = [
    ['of another path', svid('/other/host'), 'X509POP_LEAF'],
    ['with nothing after the prefix', svid('/spire-exchange'), 'X509POP_LEAF'],
    ['that was revoked', revoked, 'X509POP_LEAF'],
    [
      'of another authority',
      svid('/spire-exchange/host', makeRoot('example.org')),
      'PATH_NOT_FOUND',
    ],
  ];
  for (const [name, leaf, code] of cases) {
    test(`refuses one ${name}`, async (context) => {
      const serials = new Set([revoked.certificate.serialDecimal]);
      const rig = x509popRig(context, {
        ...{ leaf, intermediates: [], trust, template, bundle, revoked: serials },
      });
      assertRefused((await runAttestation(rig)).result, code);
    });
  }
});
