import { hash } from 'node:crypto';
import type { JwtAuthority } from '../authority/authority.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { certificateScheme, publicKeyType } from '../keys/scheme.ts';
import { type JwtLintSigner, type LintToken, lintJwt } from '../lint/gate.ts';
import type { JwtGrant } from '../policy/grant.ts';
import { defaultJwsAlgorithm } from '../spiffe/jws.ts';
import {
  encodeJwtSvid,
  encodeJwtSvidHeader,
  encodeJwtSvidInput,
  type JwtSvidClaims,
} from '../spiffe/jwt-svid-encoding.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { IssuanceContext } from './issue-x509.ts';
import { jwtValidity } from './validity.ts';

/** A signed JWT-SVID. */
export interface IssuedJwt {
  readonly spiffeId: SpiffeId;
  readonly token: string;
  /** Unix seconds. */
  readonly issuedAtSeconds: number;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
}

/** A JWT authority made ready to sign. */
export interface JwtSigner extends JwtLintSigner {
  readonly authority: JwtAuthority;
}

/** Prepares what all tokens of an authority share. */
export function createJwtSigner(authority: JwtAuthority): Result<JwtSigner> {
  const { key, keyId } = authority;
  const algorithm = defaultJwsAlgorithm(publicKeyType(key.type));
  if (algorithm === undefined) return fail('INTERNAL', `${key.type} keys do not sign tokens`);
  const header = encodeJwtSvidHeader(algorithm, keyId);
  return ok({ authority, header, spki: key.publicKeySpki });
}

/** Issues one JWT-SVID on this thread: a signature costs less than the way to another. */
export async function issueJwt(
  grant: JwtGrant,
  signer: JwtSigner,
  context: IssuanceContext & { readonly jwtIssuer: string | undefined },
): Promise<Result<IssuedJwt>> {
  const { authority, header } = signer;

  // 1. No claim that was not granted: subject, audience and lifetime come from the grant.
  const claims = planClaims(grant, authority, context);

  // 2. Nothing reaches the key that was not linted, on what a validator's reader reads back.
  const input = encodeJwtSvidInput(header, claims);
  const linted = lintJwt(input, claims, signer);
  if (!linted.ok) return linted;

  // 3. Nothing is signed that is not on record.
  const recorded = await context.recorder.append([
    {
      grant,
      authorityId: authority.keyId,
      serial: NO_SERIAL,
      notBeforeSeconds: claims.issuedAtSeconds,
      notAfterSeconds: claims.expiresAtSeconds,
      tbsHash: hash('sha256', input, 'buffer'),
    },
  ]);
  if (!recorded.ok) return recorded;

  // 4. What leaves is what was linted, for whom it is still granted.
  const signed = await signToken(linted.value, signer);
  if (!signed.ok) return signed;
  const standing = context.recheck(grant);
  if (!standing.ok) return standing;

  // 5. The answer says what the token says.
  return ok({
    spiffeId: grant.spiffeId,
    token: signed.value,
    issuedAtSeconds: claims.issuedAtSeconds,
    expiresAtSeconds: claims.expiresAtSeconds,
  });
}

const NO_SERIAL = new Uint8Array();

function planClaims(
  grant: JwtGrant,
  authority: JwtAuthority,
  context: Parameters<typeof issueJwt>[2],
): JwtSvidClaims {
  const { clock, random, lifetimes, jwtIssuer } = context;
  const validity = jwtValidity(grant, authority.expiresAtSeconds, clock.nowMs(), lifetimes);
  return {
    id: grant.spiffeId,
    audience: grant.audience,
    issuedAtSeconds: validity.notBeforeSeconds,
    expiresAtSeconds: validity.notAfterSeconds,
    ...(jwtIssuer === undefined ? {} : { issuer: jwtIssuer }),
    ...(grant.includeJti ? { jwtId: Buffer.from(random.bytes(16)).toString('base64url') } : {}),
  };
}

/** The token over what was linted. A key outside this process verified its signature (B4). */
async function signToken(token: LintToken, signer: JwtSigner): Promise<Result<string>> {
  const { key } = signer.authority;
  const scheme = { ...certificateScheme(key.type), encoding: 'p1363' } as const;
  const signed = await key.sign(token, scheme);
  if (!signed.ok) return signed;
  const { body, signature } = signed.value;
  return ok(encodeJwtSvid(Buffer.from(body).toString('latin1'), signature));
}
