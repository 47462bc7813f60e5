import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { openCheckpoint } from '../../src/ledger/checkpoint.ts';
import { readHead, readVerifier } from '../../src/ledger/reader.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { type RunningServer, startServer } from '../../src/server/server.ts';
import { parseCrl } from '../../src/x509/crl.ts';
import { type FakeVault, startFakeVault } from '../support/fake-vault.ts';
import { testConfig } from '../support/server.ts';

let vault: FakeVault;
before(async () => {
  vault = await startFakeVault();
  process.env.VAULT_TOKEN ??= 'root';
});
after(() => vault.close());

const namespaces = new Set<string>();

/** A data directory, and servers that run in it one after another. */
function world(context: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  const namespace = `seal-${namespaces.size}`;
  namespaces.add(namespace);
  const keys = {
    manager: 'vault-transit',
    namespace,
    vaultTransit: { address: vault.address, auth: { method: 'token' } },
  };
  const dataDir = join(dir, 'data');
  const start = async (settings: object = {}): Promise<RunningServer> => {
    const log = createLogger({ level: 'silent' });
    return unwrap(await startServer(testConfig(dir, { keys, ...settings }), { log }));
  };
  const refusal = async (settings: object = {}): Promise<string> => {
    const log = createLogger({ level: 'silent' });
    const started = await startServer(testConfig(dir, { keys, ...settings }), { log });
    if (started.ok) await started.value.stop('test');
    return started.ok ? 'ok' : started.error.code;
  };
  return { dataDir, start, refusal, path: (name: string) => join(dataDir, name) };
}

/** The ledger's last checkpoint, verified by the key that the directory names. */
async function headOf(dataDir: string) {
  const files = new FileTree(dataDir);
  const verifier = unwrap(await readVerifier(files));
  const head = unwrap(await readHead(files, verifier));
  await files.close();
  return { verifier, head };
}

test('no private key lies on the disk in the clear, the ledger starts again by its sealed one', async (context) => {
  const { dataDir, start, path } = world(context);
  await (await start()).stop('test');
  const before = await headOf(dataDir);
  assert.ok(before.head.size > 0);
  for (const name of readdirSync(dataDir, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const text = readFileSync(join(name.parentPath, name.name), 'latin1');
    assert.ok(!text.includes('PRIVATE KEY'), name.name);
  }
  assert.ok(existsSync(path('ledger-key.sealed')));
  await (await start()).stop('test');
  const after = await headOf(dataDir);
  assert.equal(after.verifier.name, before.verifier.name);
  assert.ok(after.head.size > before.head.size);
});

test('a key in the clear is sealed as it is: checkpoints of before still verify', async (context) => {
  const { dataDir, start, refusal, path } = world(context);
  await (await start({ ledger: { protection: 'file' } })).stop('test');
  const clear = readFileSync(path('ledger-key'));
  const before = await headOf(dataDir);
  await (await start()).stop('test');
  assert.ok(!existsSync(path('ledger-key')));
  const after = await headOf(dataDir);
  assert.equal(after.head.origin, before.head.origin);
  assert.ok(after.head.size > before.head.size);
  unwrap(openCheckpoint(before.head.bytes, after.verifier));
  unwrap(openCheckpoint(after.head.bytes, before.verifier));
  // As a crash between sealing it and removing its file leaves it.
  writeFileSync(path('ledger-key'), clear, { mode: 0o600 });
  await (await start()).stop('test');
  assert.ok(!existsSync(path('ledger-key')));
  assert.equal(await refusal({ ledger: { protection: 'file' } }), 'LEDGER_HEAD_MISSING');
  assert.ok(!existsSync(path('ledger-key')), 'no other key is made in its place');
});

test('a sealed key that was changed, is gone or is beside another refuses the start', async (context) => {
  const { start, refusal, path } = world(context);
  await (await start()).stop('test');
  const sealed = readFileSync(path('ledger-key.sealed'), 'utf8');
  const lines = sealed.split('\n');
  const last = lines.length - 2;
  const other = lines[last]!.startsWith('A') ? 'B' : 'A';
  const changed = lines.with(last, other + lines[last]!.slice(1)).join('\n');
  writeFileSync(path('ledger-key.sealed'), changed);
  assert.equal(await refusal(), 'KEY_SEAL_BROKEN');
  rmSync(path('ledger-key.sealed'));
  assert.equal(await refusal(), 'LEDGER_HEAD_MISSING');
  writeFileSync(path('ledger-key.sealed'), sealed);
  const stranger = world(context);
  await (await stranger.start({ ledger: { protection: 'file' } })).stop('test');
  const key = readFileSync(stranger.path('ledger-key'));
  writeFileSync(path('ledger-key'), key, { mode: 0o600 });
  assert.equal(await refusal(), 'LEDGER_HEAD_MISSING');
  assert.ok(existsSync(path('ledger-key')), 'nothing is thrown away');
});

test('the signer of the CRL has the same key after a restart', async (context) => {
  const { start } = world(context);
  const settings = { crl: { enabled: true }, telemetry: { port: 0 } };
  const signer = async (): Promise<Uint8Array> => {
    const server = await start(settings);
    const answer = await fetch(`http://127.0.0.1:${server.telemetryPort}/crl`);
    const crl = unwrap(parseCrl(new Uint8Array(await answer.arrayBuffer())));
    await server.stop('test');
    return crl.authorityKeyId;
  };
  assert.deepEqual(await signer(), await signer());
});
