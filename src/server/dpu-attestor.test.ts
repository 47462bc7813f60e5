import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  IROT,
  manifestBytes,
  signManifest,
  writtenManifest,
  writtenTarget,
} from '../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { openState, TRUST_DOMAIN } from '../../test/support/state.ts';
import { makeKey } from '../../test/support/x509.ts';
import { ok } from '../base/result.ts';
import { DpuInventory } from '../dpu/inventory.ts';
import { createLogger } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { openDpuAttestor } from './dpu-attestor.ts';
import { dpuAttestorSchema } from './dpu-attestor-settings.ts';

const CLASS = { name: 'dpu', roots: ['a'.repeat(64)], classCas: ['b'.repeat(64)] };
const signer = makeKey();

/** Opens the attestor over files that a test writes. */
async function setUp(context: TestContext) {
  const { registry, clock, random, store } = await openState(context);
  const folder = mkdtempSync(join(tmpdir(), 'sgn-dpu-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });
  const manifest = (name: string, target = IROT, key = signer): string => {
    const targets = [writtenTarget({ id: target })];
    return file(name, signManifest(manifestBytes(writtenManifest({ targets })), key));
  };
  const signerPaths = [file('signer.pem', publisher)];
  const base = {
    trustDomain: TRUST_DOMAIN,
    inventory: new DpuInventory({ registry, clock, unreachableGraceSeconds: 60 }),
    vault: { put: async () => ok('') },
    clock,
    random,
    log: createLogger({ level: 'silent' }),
    metrics: createMetrics('test'),
    marks: store,
    registry,
  };
  const open = (manifests: Readonly<Record<string, unknown>>, extra = {}) =>
    openDpuAttestor(
      dpuAttestorSchema.parse({
        classes: [CLASS],
        targets: [{ id: IROT, class: 'dpu' }],
        manifests: { signerPaths, ...manifests },
        ...extra,
      }),
      base,
    );
  return { file, manifest, open };
}

test('opens with a signed manifest', async (context) => {
  const { manifest, open } = await setUp(context);
  const { attestor } = assertValue(await open({ paths: [manifest('a.json')] }));
  assert.equal(attestor.type, 'dpu');
});

test('does not open with files that cannot be judged by', async (context) => {
  const { file, manifest, open } = await setUp(context);
  const good = manifest('good.json');
  const unsigned = manifest('unsigned.json', IROT, makeKey());
  assertRefused(await open({ paths: [unsigned] }), 'MANIFEST_UNSIGNED');
  assertRefused(await open({ paths: [`${good}.none`] }), 'FILE_UNREADABLE');
  assertRefused(await open({ paths: [good, manifest('b.json')] }), 'MANIFEST_TARGET');
  const key = file('key.pem', 'no key');
  assert.ok(!(await open({ paths: [good], signerPaths: [key] })).ok);
  assert.ok(!(await open({ paths: [good], corimPaths: [file('corim', 'none')] })).ok);
  assert.ok(!(await open({ paths: [good] }, { crls: { paths: [file('crl', 'none')] } })).ok);
});

test('a target of no class, and one that is there twice, are refused by the schema', () => {
  const manifests = { paths: ['/m'], signerPaths: ['/s'] };
  const parse = (targets: readonly unknown[]) =>
    dpuAttestorSchema.safeParse({ classes: [CLASS], targets, manifests }).success;
  assert.ok(parse([{ id: IROT, class: 'dpu' }]));
  assert.ok(!parse([{ id: IROT, class: 'gpu' }]));
  assert.ok(
    !parse([
      { id: IROT, class: 'dpu' },
      { id: IROT, class: 'dpu' },
    ]),
  );
  assert.ok(!parse([]));
});
