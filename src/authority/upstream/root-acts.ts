import { hash } from 'node:crypto';
import { equalBytes, toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Bundle, BundleX509Authority } from '../../spiffe/bundle.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { subjectKeyId } from '../../x509/key-id.ts';
import type { Certificate } from '../../x509/types.ts';
import type { JournalEntry } from '../journal.ts';
import type { Life } from '../life.ts';

/** What an operator does to a root of the upstream. */
export type RootAct = 'taint' | 'revoke';

/** How a root of the upstream stands with this server. */
export type RootStanding = 'trusted' | 'tainted' | 'revoked';

/** SHA-256 of the key of a root, base64: what is remembered of one that was revoked. */
export function rootKeyHash({ publicKey }: Certificate): string {
  return hash('sha256', publicKey.spki, 'base64');
}

/** Tells how roots stand: revoked by their key whatever the certificate, tainted as the bundle says. */
export function rootStandings(
  bundle: Bundle | undefined,
  distrusted: readonly string[],
): (root: Certificate) => RootStanding {
  return (root) => {
    if (distrusted.includes(rootKeyHash(root))) return 'revoked';
    const held = bundle?.x509Authorities.find((each) =>
      equalBytes(each.certificate.publicKey.spki, root.publicKey.spki),
    );
    return held?.tainted === true ? 'tainted' : 'trusted';
  };
}

/**
 * The root of the upstream that an operator's act is for, by its subject key identifier in hex. Fails
 * with AUTHORITY_UNKNOWN, or with AUTHORITY_WRONG_STATE and what to do first (as SPIRE does: only
 * roots that nothing leads to which signs, or will).
 */
export function rootFor(
  act: RootAct,
  keyId: string,
  { bundle, entries }: Life,
): Result<BundleX509Authority> {
  const wanted = keyId.toLowerCase();
  const root = bundle.x509Authorities.find(({ certificate }) => rootId(certificate) === wanted);
  if (root === undefined || entries.some((entry) => isOwn(entry, root))) {
    const shown = JSON.stringify(keyId.slice(0, 80));
    return fail('AUTHORITY_UNKNOWN', `the bundle has no root ${shown} of an upstream`);
  }
  const wrong = (why: string) =>
    fail('AUTHORITY_WRONG_STATE', `root ${wanted}, nothing to ${act}: ${why}`);
  const inUse = entries.find(
    (entry) =>
      ['prepared', 'published', 'active'].includes(entry.state) && leadsTo(entry, root.certificate),
  );
  if (inUse !== undefined) {
    const { authorityId, state } = inUse;
    const first = 'have the upstream sign below another root, then prepare and activate that';
    return wrong(`authority ${authorityId}, ${state}, leads to it; ${first}`);
  }
  if (act === 'taint' && root.tainted) return wrong('that was done already; next comes revoke');
  if (act === 'revoke' && !root.tainted) {
    return wrong('taint it first, so that agents renew what leads to it');
  }
  return ok(root);
}

/** With the root tainted, and what leads to it. */
export function taintedRoot({ bundle, entries }: Life, { certificate }: BundleX509Authority): Life {
  return {
    bundle: {
      ...bundle,
      x509Authorities: bundle.x509Authorities.map((each) =>
        equalBytes(each.certificate.der, certificate.der) ? { ...each, tainted: true } : each,
      ),
    },
    entries: entries.map((entry) =>
      entry.state === 'old' && leadsTo(entry, certificate) ? { ...entry, state: 'tainted' } : entry,
    ),
  };
}

/** Without the root and any other of its key, and with what leads to it given up. */
export function revokedRoot({ bundle, entries }: Life, { certificate }: BundleX509Authority): Life {
  const { spki } = certificate.publicKey;
  return {
    bundle: {
      ...bundle,
      x509Authorities: bundle.x509Authorities.filter(
        (each) => !equalBytes(each.certificate.publicKey.spki, spki),
      ),
    },
    entries: entries.map((entry) =>
      entry.state === 'tainted' && leadsTo(entry, certificate)
        ? { ...entry, state: 'revoked' }
        : entry,
    ),
  };
}

/** Hex subject key identifier of a root. */
export function rootId(certificate: Certificate): string {
  return toHex(certificate.subjectKeyId ?? subjectKeyId(certificate.publicKey));
}

/** The same of the root that an authority leads to; undefined for one of our own. */
export function upstreamKeyIdOf({ upstream }: JournalEntry): string | undefined {
  if (upstream === undefined) return undefined;
  const root = parseCertificate(Buffer.from(upstream.roots[0], 'base64'));
  return root.ok ? rootId(root.value) : undefined;
}

function leadsTo({ upstream }: JournalEntry, { der }: Certificate): boolean {
  return upstream !== undefined && equalBytes(Buffer.from(upstream.roots[0], 'base64'), der);
}

function isOwn({ upstream, certificate }: JournalEntry, root: BundleX509Authority): boolean {
  if (upstream !== undefined || certificate === undefined) return false;
  return equalBytes(Buffer.from(certificate, 'base64'), root.certificate.der);
}
