import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ok, type Result } from '../../src/base/result.ts';
import { contextConstructed } from '../../src/der/tags.ts';
import { derElement, derSequence, derTime, derUnsigned } from '../../src/der/writer.ts';
import type { SigningKey } from '../../src/keys/key-manager.ts';
import type { CertificateExpectation } from '../../src/lint/certificate-lints.ts';
import type { LintToken } from '../../src/lint/gate.ts';
import type { LintName } from '../../src/lint/lint.ts';
import { onlyLinted } from '../../src/lint/linted-key.ts';
import { VERSION_3_DER } from '../../src/x509/template.ts';

/** The fields of a TBSCertificate, each as DER, so that a test can change one of them. */
export interface Parts {
  readonly version: Uint8Array;
  readonly serial: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: Uint8Array;
  readonly notAfter: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  /** Between key and extensions. */
  readonly uniqueIds: Uint8Array;
  readonly extensions: Readonly<Record<string, Uint8Array>>;
  /** After everything. */
  readonly trailing: Uint8Array;
}

const NOTHING = new Uint8Array();

/** The fields that an expectation asks for, with a subject and extensions. */
export function partsOf(
  expected: CertificateExpectation,
  subject: Uint8Array,
  extensions: Parts['extensions'],
): Parts {
  return {
    version: VERSION_3_DER,
    serial: derUnsigned(expected.serial),
    algorithm: expected.issuer.signatureAlgorithm,
    issuer: expected.issuer.subjectDer,
    notBefore: derTime(expected.notBeforeMs),
    notAfter: derTime(expected.notAfterMs),
    subject,
    spki: expected.spki,
    uniqueIds: NOTHING,
    extensions,
    trailing: NOTHING,
  };
}

/** The TBSCertificate. */
export function assemble(parts: Parts): Uint8Array {
  const { version, serial, algorithm, issuer, notBefore, notAfter, subject, spki } = parts;
  const extensions = Object.values(parts.extensions).filter(({ length }) => length > 0);
  return derSequence(
    version,
    serial,
    algorithm,
    issuer,
    derSequence(notBefore, notAfter),
    subject,
    spki,
    parts.uniqueIds,
    derElement(contextConstructed(3), derSequence(...extensions)),
    parts.trailing,
  );
}

/** One change to one field. */
export interface Mutation<Expected> {
  readonly name: string;
  /** The lints that it breaks, in the order of the table. */
  readonly breaks: string;
  readonly change?: Partial<Omit<Parts, 'extensions'>>;
  /** Extensions that are changed; empty bytes leave one out. */
  readonly extensions?: Parts['extensions'];
  /** Where the plan itself is wrong, the certificate follows it. */
  readonly plan?: Partial<Expected>;
}

/** What the mutations are tried on. */
export interface Subject<Expected> {
  readonly parts: Parts;
  readonly expected: Expected;
  readonly lint: (tbs: Uint8Array, expected: Expected) => Result<LintToken>;
  readonly publicKeySpki: Uint8Array;
}

/** Lints as issuance does and, with the token, asks the key: answers codes, and how often it signed. */
export async function attemptToSign<Expected>(
  { lint, publicKeySpki }: Subject<Expected>,
  tbs: Uint8Array,
  expected: Expected,
): Promise<{ readonly lints: string; readonly signatures: number }> {
  let signatures = 0;
  const spy: SigningKey = {
    slot: 'spy',
    type: 'ec-p256',
    publicKeySpki,
    sign: async () => {
      signatures += 1;
      return ok(new Uint8Array(70));
    },
    exportPkcs8: () => undefined,
  };
  const token = lint(tbs, expected);
  if (token.ok) {
    const signed = await onlyLinted(spy).sign(token.value, { hash: 'sha256', encoding: 'der' });
    return { lints: signed.ok ? '' : signed.error.code, signatures };
  }
  assert.equal(token.error.code, 'LINT_REFUSED');
  return { lints: String(token.error.details?.lints), signatures };
}

/** One test for each mutation, and one that they break every lint of the table. */
export function testMutations<Expected>(
  subject: Subject<Expected>,
  mutations: readonly Mutation<Expected>[],
  lints: readonly LintName[],
): void {
  for (const { name, breaks, change, extensions, plan } of mutations) {
    test(`${breaks}: ${name} is refused before the key is touched`, async () => {
      const { parts, expected } = subject;
      const mutated = { ...parts, ...change, extensions: { ...parts.extensions, ...extensions } };
      const tried = await attemptToSign(subject, assemble(mutated), { ...expected, ...plan });
      assert.deepEqual(tried, { lints: breaks, signatures: 0 });
    });
  }

  test('what is not changed is signed, once', async () => {
    const tried = await attemptToSign(subject, assemble(subject.parts), subject.expected);
    assert.deepEqual(tried, { lints: '', signatures: 1 });
  });

  test('every lint is broken by one of the mutations', () => {
    const broken = new Set(mutations.flatMap(({ breaks }) => breaks.split(' ')));
    assert.deepEqual(
      lints.map(({ id }) => id).filter((id) => !broken.has(id)),
      [],
    );
  });
}
