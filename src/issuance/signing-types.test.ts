import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JwtAuthority, X509Authority } from '../authority/authority.ts';
import { type RootFields, signRoot } from '../authority/x509-certificate.ts';
import type { SigningKey, SignOptions } from '../keys/key-manager.ts';
import type { LintToken } from '../lint/gate.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { Certificate } from '../x509/types.ts';
import { createJwtSigner, type JwtSigner } from './issue-jwt.ts';
import { createLeafIssuer, type DraftLeaf, type LeafIssuer, signLeaf } from './leaf.ts';

/** What somebody has at hand who wants a signature and has linted nothing. */
interface Forger {
  readonly body: Uint8Array;
  readonly raw: SigningKey;
  readonly linted: LintedKey;
  readonly certificate: Certificate;
  readonly issuer: LeafIssuer;
  readonly x509: X509Authority;
  readonly jwt: JwtAuthority;
  readonly signer: JwtSigner;
  readonly root: RootFields;
  readonly token: LintToken;
}

const OPTIONS: SignOptions = { hash: 'sha256', encoding: 'der' };

/** Never called: it must not compile without its expectations, which `npm run check:types` sees. */
function forge(all: Forger): readonly unknown[] {
  const { body, raw, linted, certificate, issuer, x509, jwt, signer, root } = all;
  return [
    // @ts-expect-error a key takes no bytes
    linted.sign(body, OPTIONS),
    // @ts-expect-error nor does that of leaves, here or in a signing thread
    issuer.key.sign(body, OPTIONS),
    // @ts-expect-error nor that of the X.509 authority, inside or outside this process
    x509.key.sign(body, OPTIONS),
    // @ts-expect-error nor that of the JWT authority
    jwt.key.sign(body, OPTIONS),
    // @ts-expect-error nor by the way of its signer
    signer.authority.key.sign(body, OPTIONS),
    // @ts-expect-error leaves are not signed by a key without the gate
    createLeafIssuer(raw, certificate),
    // @ts-expect-error nor tokens
    createJwtSigner({ ...jwt, key: raw }),
    // @ts-expect-error nor CA certificates
    signRoot(raw, root),
    // @ts-expect-error what looks like a token is none
    linted.sign({ isFor: () => true, take: () => body }, OPTIONS),
    // @ts-expect-error and a draft without one is no draft
    signLeaf({ tbsHash: body } satisfies Omit<DraftLeaf, 'token'>, issuer),
    // @ts-expect-error the raw key is out of reach
    linted.raw,
  ];
}

test('I3 the types let nothing but a lint token reach a signer', () => {
  assert.equal(forge.length, 1);
});
