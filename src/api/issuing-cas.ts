import type { IssuingCa as OwnIssuingCa } from '../authority/issuing-ca.ts';
import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { IssuingCA } from '../gen/spire/api/server/localauthority/v1/localauthority.ts';
import type { Registry } from '../registry/registry.ts';
import { type IssuingCa, isDistrusted } from '../rules/issuing-ca.ts';

/** What acts on issuing CAs stand on. */
export interface IssuingCaContext {
  readonly registry: Pick<Registry, 'issuingCas' | 'issuingCa' | 'putIssuingCa'>;
  /** The one of this server; undefined where its roots sign leaves themselves. */
  readonly issuingCa: Pick<OwnIssuingCa, 'replace'> | undefined;
  readonly clock: Clock;
}

/** Issuing CAs of all servers that have not ended, those that end first before others. */
export function listIssuingCas({ registry, clock }: IssuingCaContext): IssuingCA[] {
  return [...registry.issuingCas()]
    .filter(({ certificate }) => clock.nowMs() <= certificate.notAfterMs)
    .toSorted((a, b) => a.certificate.notAfterMs - b.certificate.notAfterMs)
    .map(({ authorityId, certificate, server, state }) => ({
      authorityId,
      server,
      state,
      expiresAt: BigInt(Math.floor(certificate.notAfterMs / 1000)),
      issuerId: toHex(certificate.authorityKeyId ?? new Uint8Array()),
    }));
}

/**
 * Taints or revokes an issuing CA. Tainting the one that signs here has another made first, so that
 * nobody who renews gets an SVID of it again; where none can be made, that is the answer, and nothing
 * was done. Errors: AUTHORITY_WRONG_STATE, what the root's key manager says, STORE_*.
 */
export async function endIssuingCa(
  api: IssuingCaContext,
  act: 'taint' | 'revoke',
  known: IssuingCa,
): Promise<Result<IssuingCa>> {
  const refusal = refusalOf(act, known);
  if (refusal !== undefined) {
    const { authorityId, state } = known;
    return fail(
      'AUTHORITY_WRONG_STATE',
      `issuing CA ${authorityId} is ${state}, so there is nothing to ${act}: ${refusal}`,
    );
  }
  const replaced = await api.issuingCa?.replace(known.authorityId);
  if (replaced?.ok === false) return replaced;
  const state = act === 'taint' ? 'tainted' : 'revoked';
  const sinceSeconds = Math.floor(api.clock.nowMs() / 1000);
  const put = await api.registry.putIssuingCa({ ...known, state, sinceSeconds });
  return put.ok ? ok(put.value) : put;
}

/** What to do instead; undefined where the act fits. */
function refusalOf(act: 'taint' | 'revoke', known: IssuingCa): string | undefined {
  if (known.state === 'revoked') return 'that was done already';
  if (act === 'taint') return isDistrusted(known) ? 'next comes revoke' : undefined;
  return isDistrusted(known) ? undefined : 'taint it first, so that agents renew what it signed';
}
