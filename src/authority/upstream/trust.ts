import { equalBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import {
  type Bundle,
  type BundleJwtAuthority,
  type BundleX509Authority,
  sameBundleContents,
} from '../../spiffe/bundle.ts';
import { checkKeyPolicy } from '../../x509/key-policy.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import type { JournalEntry } from '../journal.ts';
import type { Life } from '../life.ts';
import { pruneAtMs } from '../schedule.ts';
import type { UpstreamTrust } from './upstream.ts';

/** The JWT key of a journal entry as a bundle shows it. */
export function jwtKeyOf(
  entry: Pick<JournalEntry, 'authorityId' | 'publicKey' | 'notAfterSeconds'>,
) {
  return {
    keyId: entry.authorityId,
    publicKeySpki: Buffer.from(entry.publicKey, 'base64'),
    expiresAtSeconds: entry.notAfterSeconds,
    tainted: false,
  };
}

/** JWT keys of ours that the upstream does not know of, though verifiers everywhere should. */
export function unknownUpstream(
  entries: readonly JournalEntry[],
  trust: UpstreamTrust,
): readonly BundleJwtAuthority[] {
  const known = new Set(trust.jwt?.map(({ keyId }) => keyId));
  return entries
    .filter(({ kind, state }) => kind === 'jwt' && (state === 'published' || state === 'active'))
    .map(jwtKeyOf)
    .filter(({ keyId }) => !known.has(keyId));
}

/**
 * The bundle after what the upstream says: its roots and JWT keys are in, with their taint; ours stay;
 * what it no longer names goes, except roots that an authority of ours still leads to. The same bundle
 * where nothing changes.
 */
export function followTrust(life: Life, trust: UpstreamTrust, nowMs: number): Bundle {
  const next: Bundle = {
    ...life.bundle,
    x509Authorities: followRoots(life, trust.x509, nowMs),
    jwtAuthorities:
      trust.jwt === undefined ? life.bundle.jwtAuthorities : followJwtKeys(life, trust.jwt, nowMs),
  };
  return sameBundleContents(life.bundle, next) ? life.bundle : next;
}

function followRoots(
  { bundle, entries }: Life,
  announced: readonly BundleX509Authority[],
  nowMs: number,
): readonly BundleX509Authority[] {
  const kept = bundle.x509Authorities.flatMap((held) => {
    const said = announced.find((each) => sameCertificate(each, held));
    if (said !== undefined) return [said.tainted ? { ...held, tainted: true } : held];
    return entries.some((entry) => needsRoot(entry, held)) ? [held] : [];
  });
  const added = announced.filter(
    (each) =>
      !kept.some((held) => sameCertificate(held, each)) &&
      nowMs < pruneAtMs(each.certificate.notAfterMs),
  );
  return [...kept, ...added];
}

/** Whether a root that the upstream does not name has to stay in the bundle for an authority of ours. */
function needsRoot(entry: JournalEntry, { certificate, tainted }: BundleX509Authority): boolean {
  const own = entry.upstream?.roots[0] ?? entry.certificate;
  if (own === undefined || !equalBytes(Buffer.from(own, 'base64'), certificate.der)) return false;
  if (entry.upstream === undefined) return entry.state !== 'revoked';
  const over = ['revoked', 'expired'].includes(entry.state);
  // What was tainted here stays until it is revoked here; what was tainted above goes when that drops it.
  return !over && !(entry.state === 'old' && tainted);
}

function followJwtKeys(
  { bundle, entries }: Life,
  announced: readonly BundleJwtAuthority[],
  nowMs: number,
): readonly BundleJwtAuthority[] {
  const entryOf = ({ keyId }: BundleJwtAuthority): JournalEntry | undefined =>
    entries.find((entry) => entry.kind === 'jwt' && entry.authorityId === keyId);
  const own = bundle.jwtAuthorities.filter((held) => entryOf(held) !== undefined);
  // What is ours is as our journal says: a key that was revoked here does not come back from above.
  const others = announced.filter(
    (each) =>
      entryOf(each) === undefined &&
      (each.expiresAtSeconds === 0 || nowMs < pruneAtMs(each.expiresAtSeconds * 1000)),
  );
  return [...own, ...others];
}

function sameCertificate(a: BundleX509Authority, b: BundleX509Authority): boolean {
  return equalBytes(a.certificate.der, b.certificate.der);
}

/** Most JWT keys of servers below that the bundle takes. */
const MAX_JWT_KEYS = 1000;
const MAX_KEY_ID_LENGTH = 256;

/**
 * The bundle with the JWT key of a server below this one. Errors: DOWNSTREAM_JWT_KEY, also where the
 * key id is that of another key: nobody takes the place of a key that is trusted already.
 */
export function withDownstreamKey(
  bundle: Bundle,
  key: BundleJwtAuthority,
  nowMs: number,
): Result<Bundle> {
  const refuse = (why: string) => fail('DOWNSTREAM_JWT_KEY', `the JWT key is not taken: ${why}`);
  const { keyId, publicKeySpki, expiresAtSeconds } = key;
  if (keyId === '' || keyId.length > MAX_KEY_ID_LENGTH) return refuse('it has no usable key id');
  const parsed = parsePublicKey(publicKeySpki);
  const allowed = parsed.ok ? checkKeyPolicy(parsed.value) : parsed;
  if (!allowed.ok) return refuse(allowed.error.message);
  if (expiresAtSeconds * 1000 <= nowMs) return refuse('it ends in the past, or never');
  const held = bundle.jwtAuthorities.find((each) => each.keyId === keyId);
  if (held !== undefined) {
    const same = equalBytes(held.publicKeySpki, publicKeySpki);
    return same ? ok(bundle) : refuse('another key has its key id');
  }
  if (bundle.jwtAuthorities.length >= MAX_JWT_KEYS) return refuse(`there are ${MAX_JWT_KEYS}`);
  const added = { keyId, publicKeySpki, expiresAtSeconds, tainted: false };
  return ok({ ...bundle, jwtAuthorities: [...bundle.jwtAuthorities, added] });
}
