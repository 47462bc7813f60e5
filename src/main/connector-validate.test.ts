import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cli } from '../../test/support/cli.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { commands } from './commands.ts';

const BASE = `
trustDomain: example.org
group: edge
server: { address: server.example.org }
bootstrap: { insecure: true }
enrol: { method: kubernetes-token, tokenPath: /var/run/token }
dataDir: /var/lib/signet/connector
`;

function validate(context: TestContext, more: string, ...argv: readonly string[]) {
  const path = join(testFolder(context), 'connector.yaml');
  writeFileSync(path, BASE + more);
  return cli(commands, ['connector', 'validate', '--config', path, ...argv]);
}

const ZPA = `
zpa:
  logPath: /var/log/zpa
  patterns: { flows: ['open: {active}'] }
`;

test('validate shows what is read from a line of the log, by patterns and without', async (context) => {
  for (const [line, fact] of [
    ['open: 7', { kind: 'flows', active: 7 }],
    ['Time skew: + 2s', { kind: 'skew', seconds: 2 }],
  ] as const) {
    const { code, out, err } = await validate(context, ZPA, '--zpa-line', line);
    assert.equal(code, 0, err);
    assert.deepEqual(JSON.parse(out.split('\n')[1] ?? ''), fact);
  }
});

test('validate refuses a line that says nothing, a line without zpa, and a pattern that will not do', async (context) => {
  const silent = await validate(context, ZPA, '--zpa-line', 'open: many');
  assert.equal(silent.code, 2);
  assert.match(silent.err, /says nothing that is understood/);
  const none = await validate(context, '', '--zpa-line', 'open: 7');
  assert.match(none.err, /needs zpa in the configuration/);
  const bad = ZPA.replace('open: {active}', '{active} open');
  const { code, err } = await validate(context, bad);
  assert.notEqual(code, 0);
  assert.match(err, /zpa\.patterns\.flows.*does not begin with text/s);
});
