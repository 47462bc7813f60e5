import type { OutputMaterial } from '../../agent/connector/outputs.ts';
import { readConnectorSvid } from '../../agent/connector/own-svid.ts';
import { parseX509Bundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { assertValue } from './refused.ts';
import { makeLeaf, makeRoot } from './x509.ts';

/** A material as a file has it, in base64. */
export interface StoredMaterial {
  readonly chain: string;
  readonly key: string;
  readonly root: string;
}

/** An SVID of a connector with its bundle, of a root of its own. */
export function makeStoredMaterial(): StoredMaterial {
  const root = makeRoot();
  const leaf = makeLeaf(root, 'spiffe://example.org/connector/edge/c1');
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    chain: text(leaf.der),
    key: text(leaf.key.privateKey.export({ type: 'pkcs8', format: 'der' })),
    root: text(root.der),
  };
}

/** What is written of it; `more` are bundles of other trust domains. */
export function outputMaterial(
  { chain, key, root }: StoredMaterial,
  more: readonly string[] = [],
): OutputMaterial {
  const bundleOf = (name: string) =>
    assertValue(parseX509Bundle(assertValue(parseTrustDomain(name)), Buffer.from(root, 'base64')));
  const own = bundleOf('example.org');
  const all = new Map([own, ...more.map(bundleOf)].map((one) => [one.trustDomain.name, one]));
  return {
    svid: assertValue(
      readConnectorSvid({
        chainDer: [Buffer.from(chain, 'base64')],
        privateKeyPkcs8: Buffer.from(key, 'base64'),
        trustDomain: 'example.org',
        group: 'edge',
      }),
    ),
    bundles: { own, all, crl: new Uint8Array(), version: '', stored: '' },
  };
}
