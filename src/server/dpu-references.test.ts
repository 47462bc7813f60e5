import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { makeAnyCrl, plainExtensions } from '../../test/support/crl.ts';
import {
  IROT,
  manifestBytes,
  signManifest,
  writtenManifest,
  writtenTarget,
} from '../../test/support/manifest.ts';
import { soon } from '../../test/support/processes.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { openState } from '../../test/support/state.ts';
import { makeCertificate, makeKey } from '../../test/support/x509.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { dpuAttestorSchema } from './dpu-attestor-settings.ts';
import { DpuReferences, type ReferenceChange } from './dpu-references.ts';

const signer = makeKey();
const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });

async function setUp(context: TestContext, recheck = '10s', withCrl = false) {
  const { clock, store } = await openState(context);
  const folder = mkdtempSync(join(tmpdir(), 'sgn-references-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'manifest.json');
  /** In one step, as publishers should: a name never stands for half a file. */
  const publish = (sequence: number, changes = {}, key = signer): void => {
    const manifest = manifestBytes(writtenManifest({ sequence, ...changes }));
    writeFileSync(`${path}.new`, signManifest(manifest, key));
    renameSync(`${path}.new`, path);
  };
  const signerPath = join(folder, 'signer.pem');
  writeFileSync(signerPath, publisher);
  const lines: Readonly<Record<string, unknown>>[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) });
  const hex = 'ab'.repeat(32);
  const crlPath = join(folder, 'ca.crl');
  const settings = dpuAttestorSchema.parse({
    ...(withCrl && { crls: { paths: [crlPath] } }),
    classes: [{ name: 'dpu', roots: [hex], classCas: [hex] }],
    targets: [{ id: IROT, class: 'dpu' }],
    manifests: { paths: [path], signerPaths: [signerPath] },
    recheck,
  });
  const open = () => {
    const metrics = createMetrics('test');
    const opened = DpuReferences.open({ settings, marks: store, clock, log, metrics });
    return opened.then((result) => ({ result, metrics }));
  };
  const opened = async () => {
    const { result, metrics } = await open();
    const references = assertValue(result);
    context.after(() => references.close());
    const changes: ReferenceChange[] = [];
    references.onChange((change) => void changes.push(change));
    const sequence = () => references.manifestFor(IROT)?.sequence;
    return { references, metrics, changes, sequence };
  };
  const codes = () => lines.flatMap(({ code }) => (code === undefined ? [] : [code]));
  return { clock, publish, path, crlPath, open, opened, codes };
}

test('a newer revision is in force once its file is noticed, and listeners are told', async (context) => {
  const { clock, publish, opened } = await setUp(context);
  publish(7);
  const { sequence, changes } = await opened();
  publish(8);
  clock.advance(9_999);
  assert.equal(sequence(), 7);
  clock.advance(1);
  await soon(async () => sequence() === 8);
  assert.deepEqual(changes, [{ targets: new Set([IROT]), crls: false }]);
});

test('a manifest that has expired is told of in the log, and stays in force', async (context) => {
  const { clock, publish, opened, codes } = await setUp(context);
  const atMs = clock.nowMs();
  const text = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  publish(7, { issuedAt: text(atMs - 60_000), expiresAt: text(atMs) });
  const { sequence } = await opened();
  assert.equal(sequence(), 7);
  assert.deepEqual(codes(), ['MANIFEST_EXPIRED']);
});

test('a set that does not verify changes nothing, is told once, and counted', async (context) => {
  const { clock, publish, opened, codes } = await setUp(context);
  publish(7);
  const { references, sequence, changes, metrics } = await opened();
  publish(8, {}, makeKey());
  assertRefused(await references.reload(), 'MANIFEST_UNSIGNED');
  assert.equal(sequence(), 7);
  assert.deepEqual(codes(), ['MANIFEST_UNSIGNED']);
  clock.advance(20_000);
  const text = await metrics.registry.metrics();
  assert.match(text, /^test_dpu_reference_failures_total 1$/m);
  assert.match(text, /^test_dpu_reference_age_seconds 20$/m);
  publish(8);
  assertValue(await references.reload());
  assert.equal(sequence(), 8);
  assert.equal(changes.length, 1);
});

test('an older signed revision is refused while the server runs', async (context) => {
  const { publish, opened } = await setUp(context);
  publish(7);
  const { references, sequence } = await opened();
  publish(6);
  assertRefused(await references.reload(), 'MANIFEST_OLDER');
  publish(7, { issuedAt: '2030-01-02T00:00:00Z' });
  assertRefused(await references.reload(), 'MANIFEST_OLDER');
  assert.equal(sequence(), 7);
});

test('an older signed revision is refused at a start, and by another server', async (context) => {
  const { publish, open, opened } = await setUp(context);
  publish(8);
  const { references } = await opened();
  references.close();
  publish(7);
  const { result } = await open();
  assertRefused(result, 'MANIFEST_OLDER');
  assert.match(result.ok ? '' : result.error.action, /newest revision/);
  publish(8);
  assertValue((await open()).result);
});

test('a file signed anew with the same content changes nothing for anybody', async (context) => {
  const { publish, opened } = await setUp(context);
  publish(7);
  const { references, changes } = await opened();
  publish(7);
  assertValue(await references.reload());
  assert.deepEqual(changes, []);
});

test('without an interval files are read at SIGHUP only', async (context) => {
  const { clock, publish, opened } = await setUp(context, '0s');
  publish(7);
  const { references, sequence } = await opened();
  publish(8);
  clock.advance(86_400_000);
  assert.equal(sequence(), 7);
  assertValue(await references.reload());
  assert.equal(sequence(), 8);
});

test('a CRL that says less than the one in force is refused with the whole set', async (context) => {
  const { publish, crlPath, opened } = await setUp(context, '0s', true);
  const [ca, other] = [makeCertificate({ ca: true }), makeCertificate({ ca: true })];
  const crl = (number: number, signer = ca): void =>
    writeFileSync(crlPath, makeAnyCrl(signer, { extensions: plainExtensions(signer, number) }));
  publish(7);
  crl(5);
  const { references, sequence, changes } = await opened();
  const inForce = () => references.revocation.crls.map(({ number }) => number);
  publish(8);
  for (const replaced of [() => crl(4), () => crl(6, other)]) {
    replaced();
    assertRefused(await references.reload(), 'DEVICE_CRL_OLDER');
    assert.deepEqual([inForce(), sequence(), changes.length], [[5n], 7, 0]);
  }
  for (const number of [5, 6]) {
    crl(number);
    assertValue(await references.reload());
    assert.deepEqual([inForce(), sequence()], [[BigInt(number)], 8]);
  }
});

test('a component that no manifest names any more is told of', async (context) => {
  const { publish, opened } = await setUp(context);
  publish(7);
  const { references, changes } = await opened();
  publish(8, { targets: [writtenTarget({ id: 'Another' })] });
  assertValue(await references.reload());
  assert.equal(references.manifestFor(IROT), undefined);
  assert.deepEqual(changes[0]?.targets, new Set([IROT, 'Another']));
});
