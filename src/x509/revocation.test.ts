import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CRL_FROM_MS,
  CRL_UNTIL_MS,
  distributionPoint,
  makeAnyCrl,
  makeCrl,
  makeCrlSigner,
  plainExtensions,
  revokedEntry,
} from '../../test/support/crl.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  makeIntermediate,
  makeLeaf,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import { parseCrl } from './crl.ts';
import { trustCrl } from './crl-trust.ts';
import { validatePath } from './path.ts';
import type { RevocationCheck, TrustedCrl } from './revocation.ts';

const root = makeRoot();
const issuing = makeIntermediate(root);
const signer = makeCrlSigner(root);
const leaf = makeLeaf(issuing);
const sibling = makeLeaf(issuing);
const roots = [root.certificate];

function trusted(der: Uint8Array): TrustedCrl {
  return assertValue(trustCrl(assertValue(parseCrl(der)), { roots, atMs: CRL_FROM_MS }));
}

function judge(
  subject: TestCertificate,
  crls: readonly TrustedCrl[],
  unknown: RevocationCheck['unknown'] = 'refuse',
  atMs = CRL_FROM_MS,
) {
  const chain = [subject.certificate, issuing.certificate];
  return validatePath({ chain, roots, atMs, revocation: { crls, unknown } });
}

describe('a path whose revocation is judged', () => {
  const listing = trusted(makeCrl(signer, [revokedEntry(leaf)]));

  test('holds for what an indirect CRL does not list, and not for what it lists', () => {
    assertValue(judge(sibling, [listing]));
    assertRefused(judge(leaf, [listing]), 'PATH_REVOKED');
    assertRefused(judge(leaf, [listing], 'accept'), 'PATH_REVOKED');
  });

  test('looks at the authorities in it too', () => {
    const crl = trusted(makeCrl(signer, [revokedEntry(issuing)]));
    assertRefused(judge(leaf, [crl]), 'PATH_REVOKED');
  });

  test('goes by issuer and serial number, not by the number alone', () => {
    const { serial } = leaf.certificate;
    const entry = { ...revokedEntry(leaf), issuerDer: root.subjectDer, serial };
    assertValue(judge(leaf, [trusted(makeCrl(signer, [entry]))]));
  });

  const beginning = CRL_FROM_MS;
  const times: readonly [string, number, ErrorCode | undefined][] = [
    ['before it begins', beginning - 1, 'PATH_REVOCATION_UNKNOWN'],
    ['when it begins', beginning, undefined],
    ['when it ends', CRL_UNTIL_MS, undefined],
    ['after it ended', CRL_UNTIL_MS + 1, 'PATH_REVOCATION_UNKNOWN'],
  ];
  for (const [name, atMs, code] of times) {
    test(`${name}: ${code ?? 'in force'}`, () => {
      const judged = judge(sibling, [listing], 'refuse', atMs);
      if (code === undefined) assertValue(judged);
      else assertRefused(judged, code);
      // Where what is unknown is accepted, what is listed is refused all the same.
      assertValue(judge(sibling, [listing], 'accept', atMs));
      assertRefused(judge(leaf, [listing], 'accept', atMs), 'PATH_REVOKED');
    });
  }

  test('a CRL ends with the certificate of its signer', () => {
    const brief = makeCrlSigner(root, { notAfterMs: CRL_FROM_MS + 1000 });
    const crl = trusted(makeCrl(brief, []));
    assertValue(judge(sibling, [crl], 'refuse', CRL_FROM_MS + 1000));
    const after = judge(sibling, [crl], 'refuse', CRL_FROM_MS + 1001);
    assertRefused(after, 'PATH_REVOCATION_UNKNOWN');
  });

  test('without a CRL: as told, and by default it is not looked at', () => {
    assertRefused(judge(sibling, []), 'PATH_REVOCATION_UNKNOWN');
    assertValue(judge(sibling, [], 'accept'));
    const chain = [leaf.certificate, issuing.certificate];
    assertValue(validatePath({ chain, roots, atMs: CRL_FROM_MS }));
  });

  test('a direct CRL covers what its authority issued, and its scope only', () => {
    const rootsOwn = trusted(makeAnyCrl(root));
    assertRefused(judge(leaf, [rootsOwn]), 'PATH_REVOCATION_UNKNOWN');
    const chain = [makeLeaf(root).certificate];
    const revocation = { crls: [rootsOwn], unknown: 'refuse' } as const;
    assertValue(validatePath({ chain, roots, atMs: CRL_FROM_MS, revocation }));
    const extensions = [...plainExtensions(root), distributionPoint([2])];
    const ofAuthorities = {
      crls: [trusted(makeAnyCrl(root, { extensions }))],
      unknown: 'refuse',
    } as const;
    const judged = validatePath({ chain, roots, atMs: CRL_FROM_MS, revocation: ofAuthorities });
    assertRefused(judged, 'PATH_REVOCATION_UNKNOWN');
  });
});

describe('who may sign a CRL', () => {
  const trust = (der: Uint8Array, atMs = CRL_FROM_MS) =>
    trustCrl(assertValue(parseCrl(der)), { roots, atMs });
  const by = (options: TestCertificateOptions, issuer = root) =>
    makeCrl(makeCrlSigner(issuer, options), []);

  const cases: readonly [string, () => Uint8Array][] = [
    ['without cRLSign', () => by({ keyUsage: ['digitalSignature'] })],
    ['without a key usage', () => by({ keyUsage: null })],
    ['an authority, for others', () => by({ ca: true })],
    ['made by an authority below the root', () => by({}, issuing)],
    ['of another root', () => by({}, makeRoot())],
    ['that has ended', () => by({ notAfterMs: CRL_FROM_MS - 1000 })],
    ['without a key identifier', () => by({ subjectKeyId: null })],
    ['a leaf of ours', () => makeCrl(leaf, [])],
  ];
  for (const [name, der] of cases) {
    test(`refuses a signer ${name}`, () => assertRefused(trust(der()), 'CRL_UNTRUSTED'));
  }

  test('refuses another key under the name of the signer', () => {
    const imposter = makeCrlSigner(root, { subject: signer.subjectDer });
    const signed = makeCrl({ ...imposter, der: signer.der, keyId: signer.keyId }, []);
    assertRefused(trust(signed), 'CRL_UNTRUSTED');
    const crl = makeCrl(signer, [revokedEntry(leaf)]);
    crl[crl.length - 1] = (crl.at(-1) ?? 0) ^ 1;
    assertRefused(trust(crl), 'CRL_UNTRUSTED');
  });

  test('takes the own CRL of an authority below the root, told of it', () => {
    const crl = assertValue(parseCrl(makeAnyCrl(issuing)));
    assertRefused(trustCrl(crl, { roots, atMs: CRL_FROM_MS }), 'CRL_UNTRUSTED');
    const authorities = [issuing.certificate];
    assertValue(trustCrl(crl, { roots, authorities, atMs: CRL_FROM_MS }));
  });

  test('nor does a signer that it made', () => {
    const crl = assertValue(parseCrl(by({}, issuing)));
    const authorities = [issuing.certificate];
    assertRefused(trustCrl(crl, { roots, authorities, atMs: CRL_FROM_MS }), 'CRL_UNTRUSTED');
  });

  test('an authority below the root says nothing of what others issued', () => {
    const extensions = [...plainExtensions(issuing), distributionPoint([4])];
    const crl = assertValue(parseCrl(makeAnyCrl(issuing, { extensions })));
    assert.ok(crl.indirect);
    const authorities = [issuing.certificate];
    assertRefused(trustCrl(crl, { roots, authorities, atMs: CRL_FROM_MS }), 'CRL_UNTRUSTED');
  });
});
