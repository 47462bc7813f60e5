import type { WorkloadX509Svid, X509Context } from '../client/x509-context.ts';
import { encodePem } from '../der/pem.ts';
import { formatPemBundle } from '../spiffe/bundle-format.ts';
import type { OutputFile } from './files.ts';
import type { CliIo } from './spec.ts';
import { counted, formatBlock, formatTime } from './text.ts';

/** Certificates as PEM, one after the other. */
export function pemChain(chain: readonly { readonly der: Uint8Array }[]): string {
  return chain.map(({ der }) => encodePem('CERTIFICATE', der)).join('');
}

/** A private key as PKCS#8 PEM. */
export function pemKey({ privateKey }: Pick<WorkloadX509Svid, 'privateKey'>): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** What a response says, for people. */
export function formatX509Context(context: X509Context, io: CliIo): string {
  const nowMs = io.clock.nowMs();
  const time = (ms: number): string => formatTime(Math.floor(ms / 1000), nowMs);
  const blocks = context.svids.map(({ id, hint, leaf, chain }) =>
    formatBlock([
      ['SPIFFE ID', id.uri],
      ['Hint', hint === '' ? [] : hint],
      ['Valid from', time(leaf.notBeforeMs)],
      ['Valid until', time(leaf.notAfterMs)],
      ['Chain', counted(chain.length, 'certificate', 'certificates')],
      ['Serial', leaf.serialDecimal],
    ]),
  );
  const bundles = [...context.bundles.values()].map(({ trustDomain, x509Authorities }) => {
    const authorities = counted(x509Authorities.length, 'authority', 'authorities');
    return `Bundle of ${trustDomain.name}: ${authorities}\n`;
  });
  return `${blocks.join('\n')}\n${bundles.join('')}`;
}

/** SPIRE's file names: `svid.0.pem`, `svid.0.key`, `bundle.0.pem`, and so on; federated ones by name. */
export function filesOf(context: X509Context): readonly OutputFile[] {
  const files: OutputFile[] = [];
  const own = new Set<string>();
  for (const [i, svid] of context.svids.entries()) {
    const { trustDomain } = svid.id;
    own.add(trustDomain.name);
    const bundle = context.bundles.get(trustDomain.name);
    files.push({ name: `svid.${i}.key`, content: pemKey(svid), secret: true });
    files.push({ name: `svid.${i}.pem`, content: pemChain(svid.chain) });
    if (bundle !== undefined) {
      files.push({ name: `bundle.${i}.pem`, content: formatPemBundle(bundle) });
    }
  }
  for (const [name, bundle] of context.bundles) {
    if (own.has(name)) continue;
    files.push({ name: `federated_bundle.${name}.pem`, content: formatPemBundle(bundle) });
  }
  return files;
}

/** What a response says, for programs: the names of the Workload API, PEM in place of DER. */
export function x509ContextJson(context: X509Context): unknown {
  const bundleOf = (name: string): string => {
    const bundle = context.bundles.get(name);
    return bundle === undefined ? '' : formatPemBundle(bundle);
  };
  return {
    svids: context.svids.map((svid) => ({
      spiffeId: svid.id.uri,
      x509Svid: pemChain(svid.chain),
      x509SvidKey: pemKey(svid),
      bundle: bundleOf(svid.id.trustDomain.name),
      hint: svid.hint,
      expiresAt: String(Math.floor(svid.leaf.notAfterMs / 1000)),
    })),
    bundles: Object.fromEntries(
      [...context.bundles.values()].map((bundle) => [
        bundle.trustDomain.id,
        formatPemBundle(bundle),
      ]),
    ),
  };
}
