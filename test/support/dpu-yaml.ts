import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DPU_CLASS } from './dpu.ts';
import type { Fleet } from './fleet.ts';
import { IROT, manifestBytes, signManifest, writtenManifest, writtenTarget } from './manifest.ts';
import { makeKey } from './x509.ts';

/**
 * `attestation.dpu` of a server: the class of the tests' cards and a manifest of their releases, in files
 * of a folder. More of `attestation.dpu` may follow, four spaces in.
 */
export function dpuYaml(folder: string): string {
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const signer = makeKey();
  const targets = [writtenTarget({ deviceClass: DPU_CLASS.name })];
  const manifest = signManifest(manifestBytes(writtenManifest({ targets })), signer);
  const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });
  return `attestation:
  dpu:
    classes:
      - name: ${DPU_CLASS.name}
        roots: [${DPU_CLASS.roots[0]}]
        classCas: [${DPU_CLASS.classCas[0]}]
    targets: [{ id: ${IROT}, class: ${DPU_CLASS.name} }]
    manifests: { paths: [${file('manifest.json', manifest)}], signerPaths: [${file('signer.pem', publisher)}] }
`;
}

/** Imports a DPU from a file of rows, pins its device key, and writes the fleet's bundle for its agent. */
export async function commission(
  fleet: Fleet,
  serial: string,
  rows: string,
  deviceId: string,
  ...more: readonly string[]
): Promise<void> {
  const imported = await fleet.cli('dpu', 'import', rows);
  assert.equal(imported.code, 0, imported.stderr);
  const commissioned = await fleet.cli(
    ...['dpu', 'commission', serial, '--device-id', deviceId, '--reason', 'vendor list'],
    ...more,
  );
  assert.equal(commissioned.code, 0, commissioned.stderr);
  writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
}
