import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkTree, violationsOf } from './boundaries.ts';

test('no file imports what its folder may not import', () => {
  const { files, violations } = checkTree(process.cwd());
  assert.ok(files > 50, `only ${files} files were seen`);
  assert.deepEqual(violations, []);
});

test('a planted violation is seen in every form of import', () => {
  const forms = [
    "import { openStore } from '../store/store.ts';",
    "import type { Store } from '../store/store.ts';",
    "export { openStore } from '../store/store.ts';",
    "const store = await import('../store/store.ts');",
    "import '../store/store.ts';",
  ];
  for (const source of forms) {
    assert.deepEqual(violationsOf('src/spiffe/planted.ts', source), [
      { file: 'src/spiffe/planted.ts', imports: 'src/store/store.ts' },
    ]);
  }
});

test('a file outside every folder of the table is a violation', () => {
  assert.equal(violationsOf('src/elsewhere/planted.ts', '').length, 1);
});

test('the agent may import the payload of an attestor and not its server half', () => {
  const payload = "import { x } from '../../src/attestation/join_token/payload.ts';";
  const server = "import { x } from '../../src/attestation/join_token/server.ts';";
  assert.deepEqual(violationsOf('agent/attestation/planted.ts', payload), []);
  assert.equal(violationsOf('agent/attestation/planted.ts', server).length, 1);
});
