import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/**
 * What each folder may import, besides itself and what those folders may import in turn. Libraries
 * are not judged here. `docs/architecture.md` draws the same table.
 */
export const BOUNDARIES: Readonly<Record<string, readonly string[]>> = {
  'src/base': [],
  'src/gen': [],
  'src/der': ['src/base'],
  'src/x509': ['src/der'],
  'src/spdm': ['src/x509'],
  'src/dice': ['src/x509'],
  'src/spiffe': ['src/x509'],
  'src/tpm': ['src/dice'],
  'src/runtime': ['src/base'],
  'src/rpc': ['src/spiffe', 'src/gen', 'src/runtime', 'src/tls'],
  'src/tls': ['src/spiffe', 'src/gen', 'src/runtime', 'src/rpc'],
  'src/keys': ['src/x509', 'src/runtime'],
  'src/ledger': ['src/base'],
  'src/rules': ['src/spiffe'],
  'src/store': ['src/rules', 'src/spiffe', 'src/runtime'],
  'src/registry': ['src/rules', 'src/store'],
  'src/policy': ['src/registry'],
  'src/lint': ['src/spiffe', 'src/keys'],
  'src/kube': ['src/runtime'],
  'src/authority': ['src/lint', 'src/store', 'src/kube'],
  'src/issuance': ['src/policy', 'src/authority', 'src/ledger'],
  'src/audit': ['src/ledger', 'src/store', 'src/runtime'],
  'src/redfish': ['src/spiffe', 'src/runtime'],
  'src/attestation': ['src/registry', 'src/dpu', 'src/tpm', 'src/kube'],
  'src/dpu': ['src/spdm', 'src/dice', 'src/redfish', 'src/registry'],
  'src/connectors': ['src/issuance', 'src/kube', 'src/rpc', 'src/gen'],
  'src/api': ['src/issuance', 'src/attestation', 'src/connectors', 'src/rpc', 'src/tls', 'src/gen'],
  'src/federation': ['src/registry', 'src/tls', 'src/runtime'],
  'src/controllers': ['src/issuance', 'src/kube'],
  'src/backup': ['src/store', 'src/ledger'],
  'src/nested': ['src/authority', 'src/client'],
  'src/server': [
    'src/api',
    'src/audit',
    'src/backup',
    'src/nested',
    'src/controllers',
    'src/federation',
  ],
  'src/client': ['src/spiffe', 'src/tls', 'src/rpc', 'src/gen'],
  agent: [
    'src/client',
    'src/keys',
    'src/kube',
    'src/runtime',
    'src/redfish',
    'src/spdm',
    'src/tpm',
    'src/attestation/binding-nonce.ts',
    'src/attestation/dpu/payload.ts',
    'src/attestation/dpu_host/payload.ts',
    'src/attestation/dpu_host/voucher.ts',
    'src/attestation/dpu_host/boot-key.ts',
    'src/attestation/dpu_host/link-local.ts',
    'src/attestation/strict-message.ts',
    'src/attestation/dpu/relay.ts',
    'src/attestation/dpu/tpm-question.ts',
    'src/attestation/tpm/payload.ts',
    'src/attestation/tpm_devid/payload.ts',
    'src/attestation/join_token/payload.ts',
    'src/attestation/k8s_psat/payload.ts',
    'src/attestation/x509pop/payload.ts',
  ],
  'src/cli': [
    'src/client',
    'src/rules',
    'src/runtime',
    'src/ledger',
    'src/redfish',
    'src/dpu/manifest',
    'src/dpu/inspect.ts',
    'src/keys/pem-key-file.ts',
  ],
  'src/kubectl': [
    'src/cli',
    'src/kube',
    'src/federation/fetch-bundle.ts',
    'src/federation/endpoint-agent.ts',
  ],
  // Written against what is public only: nothing of ours.
  examples: [],
  'src/main': ['src/server', 'agent', 'src/cli', 'src/kubectl'],
};

/** One import that the table does not allow. */
export interface Violation {
  readonly file: string;
  readonly imports: string;
}

/** The folder of the table that a file is in: the room it stands in. */
export function roomOf(file: string): string | undefined {
  return Object.keys(BOUNDARIES).find((room) => file.startsWith(`${room}/`));
}

/** Paths of the project's own files that a source imports, from its place in the tree. */
export function importsOf(file: string, source: string): readonly string[] {
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)['"](\.{1,2}\/[^'"]+)['"]/g;
  return [...source.matchAll(pattern)].map(([, path]) =>
    posix.join(posix.dirname(file), path ?? ''),
  );
}

/** The imports of one file that the table does not allow. */
export function violationsOf(file: string, source: string): readonly Violation[] {
  const room = roomOf(file);
  if (room === undefined) return [{ file, imports: '(the file is in no folder of the table)' }];
  const allowed = [...reachable(room), 'package.json'];
  return importsOf(file, source)
    .filter((path) => !allowed.some((entry) => path === entry || path.startsWith(`${entry}/`)))
    .map((imports) => ({ file, imports }));
}

function reachable(room: string): readonly string[] {
  const seen = new Set<string>();
  const queue = [room];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    queue.push(...(BOUNDARIES[next] ?? []));
  }
  return [...seen];
}

/** Every TypeScript source of the product, tests and generated code left out. */
export function productSources(root: string): readonly string[] {
  return ['src', 'agent', 'examples'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .map((path) => posix.join(top, path))
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .filter((path) => !path.startsWith('src/gen/')),
  );
}

/** All violations of the tree at `root`, with how many files were looked at. */
export function checkTree(root: string): {
  readonly files: number;
  readonly violations: readonly Violation[];
} {
  const files = productSources(root);
  const violations = files.flatMap((file) =>
    violationsOf(file, readFileSync(join(root, file), 'utf8')),
  );
  return { files: files.length, violations };
}
