import type { X509SVID, X509SVIDResponse } from '../../src/gen/workload.ts';
import { makeLeaf, makeRoot, type TestCertificate, type TestCertificateOptions } from './x509.ts';

/** A trust domain of a test: its root, and SVIDs under it. */
export interface TestDomain {
  readonly name: string;
  readonly root: TestCertificate;
}

/** A trust domain with a new root. */
export function testDomain(name: string): TestDomain {
  return { name, root: makeRoot(name) };
}

/** An SVID as the Workload API sends it. */
export function wireSvid(
  domain: TestDomain,
  path: string,
  options: TestCertificateOptions & { readonly hint?: string } = {},
): X509SVID {
  const { hint = '', ...certificate } = options;
  const spiffeId = `spiffe://${domain.name}${path}`;
  const leaf = makeLeaf(domain.root, spiffeId, certificate);
  return {
    spiffeId,
    x509Svid: Buffer.from(leaf.der),
    x509SvidKey: leaf.key.privateKey.export({ type: 'pkcs8', format: 'der' }),
    bundle: Buffer.from(domain.root.der),
    hint,
  };
}

/** A response with these SVIDs and the bundles of these other domains. */
export function wireResponse(
  svids: readonly X509SVID[],
  federated: readonly TestDomain[] = [],
): X509SVIDResponse {
  const bundles = federated.map(({ name, root }) => [`spiffe://${name}`, Buffer.from(root.der)]);
  return { svids: [...svids], crl: [], federatedBundles: Object.fromEntries(bundles) };
}
