import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { segmentDraft } from '../../test/support/connector-state.ts';
import { makeRoot } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { ServerMessage } from '../gen/signet/connector/v1/connector.ts';
import type { FederatedBundle } from '../rules/federation.ts';
import { type Bundle, emptyBundle, withX509Authority } from '../spiffe/bundle.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { BundleFeed, type BundleMessage } from './bundle-feed.ts';
import type { SegmentVersion } from './segment-feed.ts';

function bundleOf(name: string, sequence = 1n): Bundle {
  const { certificate } = makeRoot(name);
  const empty = { ...emptyBundle(unwrap(parseTrustDomain(name))), sequence };
  return { ...withX509Authority(empty, { certificate, tainted: false }), sequence };
}

/** A feed over sources that a test changes. */
function feed() {
  const sources = {
    own: bundleOf('example.org') as Bundle | undefined,
    others: new Map<string, Bundle>(),
    crl: undefined as { readonly der: Uint8Array } | undefined,
  };
  const bundles = new BundleFeed({
    registry: {
      get bundle() {
        return sources.own;
      },
      federation: {
        bundle: (name) => {
          const bundle = sources.others.get(name);
          // The feed looks at nothing but the bundle of it.
          return bundle === undefined ? undefined : ({ bundle } as FederatedBundle);
        },
      },
    },
    crl: {
      get current() {
        return sources.crl;
      },
    },
  });
  return { sources, bundles };
}

/** A version of segments that these clients may reach, whose target is of this ID. */
function segments(clients: readonly string[], upstreamId = ''): SegmentVersion {
  const draft = segmentDraft('db', { clients, upstreamId });
  const segment = { ...draft, revision: 1n, createdRevision: 1n };
  return { version: '1-a', served: new Map([['db', segment]]) };
}

function said(message: BundleMessage | undefined) {
  assert.ok(message);
  const { kind } = ServerMessage.decode(message.encoded.bytes);
  assert.ok(kind?.$case === 'bundle');
  const { version, nonce } = kind.value;
  assert.deepEqual([version, nonce.equals(message.nonce)], [message.version, true]);
  return {
    names: kind.value.bundles.map(({ trustDomain }) => trustDomain),
    crl: kind.value.crl.toString('hex'),
    version,
  };
}

const NONE = segments([]);

describe('bundles for connectors', () => {
  it('are none before the first one, and the own one then', () => {
    const { sources, bundles } = feed();
    const { own } = sources;
    sources.own = undefined;
    assert.equal(bundles.of(NONE), undefined);
    sources.own = own;
    assert.deepEqual(said(bundles.of(NONE)).names, ['example.org']);
  });

  it('are those of the trust domains that clients and targets of the group are of, where they are here', () => {
    const { sources, bundles } = feed();
    for (const name of ['a.org', 'b.org', 'c.org']) sources.others.set(name, bundleOf(name));
    const group = segments(
      ['spiffe://b.org/team/*', 'spiffe://example.org/x', 'spiffe://gone.org/x', '???/*'],
      'spiffe://a.org/db',
    );
    assert.deepEqual(said(bundles.of(group)).names, ['example.org', 'a.org', 'b.org']);
    assert.deepEqual(said(bundles.of(NONE)).names, ['example.org']);
  });

  it('are made once for all groups that need the same, and anew at a change', () => {
    const { sources, bundles } = feed();
    sources.others.set('b.org', bundleOf('b.org'));
    const first = bundles.of(segments(['spiffe://b.org/x']));
    assert.equal(bundles.of(segments(['spiffe://b.org/y', 'spiffe://b.org/z'])), first);
    assert.notEqual(bundles.of(NONE), first);
    bundles.changed();
    const again = bundles.of(segments(['spiffe://b.org/x']));
    assert.notEqual(again, first);
    // The same content is the same version on every server: nobody is sent it again.
    assert.equal(again?.version, first?.version);
    sources.others.set('b.org', bundleOf('b.org', 2n));
    bundles.changed();
    assert.notEqual(bundles.of(segments(['spiffe://b.org/x']))?.version, first?.version);
  });

  it('come with the CRL, and are another version with another one', () => {
    const { sources, bundles } = feed();
    const without = said(bundles.of(NONE));
    assert.equal(without.crl, '');
    sources.crl = { der: Buffer.of(1, 2) };
    bundles.changed();
    const first = said(bundles.of(NONE));
    assert.equal(first.crl, '0102');
    sources.crl = { der: Buffer.of(1, 3) };
    bundles.changed();
    const second = said(bundles.of(NONE));
    assert.equal(new Set([without.version, first.version, second.version]).size, 3);
  });

  it('of trust domains that are not here make no difference, however many segments name', () => {
    const { bundles } = feed();
    const first = bundles.of(NONE);
    for (let at = 0; at < 200; at++) {
      assert.equal(bundles.of(segments([`spiffe://t${at}.org/x`])), first);
    }
  });

  it('are kept for so many sets of trust domains, and forgotten past that', () => {
    const { sources, bundles } = feed();
    const names = Array.from({ length: 65 }, (_, at) => `t${at}.org`);
    const bundle = bundleOf('t.org');
    for (const name of names) sources.others.set(name, bundle);
    const of = (at: number) => bundles.of(segments([`spiffe://${names[at]}/x`]));
    const made = names.slice(0, 64).map((_, at) => of(at));
    assert.equal(of(0), made[0]);
    of(64);
    assert.equal(of(0), made[0], 'the one that was used');
    assert.equal(of(2), made[2]);
    assert.notEqual(of(1), made[1]);
  });
});
