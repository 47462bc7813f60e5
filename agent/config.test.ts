import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, formatProblem } from '../src/runtime/config.ts';
import { agentConfigSchema } from './config.ts';

const LEAST = 'trustDomain: a\nserver: {address: a.org}\nbootstrap: {insecure: true}\n';

/** What is wrong with a configuration, one problem a line. */
function problems(text: string): string {
  const checked = checkConfig(LEAST + text, agentConfigSchema);
  return checked.ok ? '' : checked.problems.map(formatProblem).join('\n');
}

test('a trust domain, a server and how to trust it are all that is needed', () => {
  assert.equal(problems(''), '');
});

const refused: readonly (readonly [string, string, RegExp])[] = [
  ['a relative data directory', 'dataDir: data', /dataDir: must be an absolute path/],
  [
    'a socket path of 108 bytes',
    `workloadSocket: {path: /${'x'.repeat(107)}}`,
    /^4:18: workloadSocket\.path: socket path has 108 bytes, at most 107 are possible/,
  ],
  [
    'a relative socket path',
    'workloadSocket: {path: api.sock}',
    /workloadSocket\.path: .*absolute/,
  ],
  ['a mode that is not octal', 'workloadSocket: {mode: "0888"}', /workloadSocket\.mode: .*octal/],
  ['a token and a file of one', 'join: {token: a, tokenPath: /a}', /join: give either/],
];
for (const [name, text, message] of refused) {
  test(`refuses ${name}, with its place`, () => assert.match(problems(text), message));
}

test('the first bundle is taken from whoever answers only where that is written', () => {
  const least = 'trustDomain: a\nserver: {address: a.org}\n';
  const asked = (bootstrap: string) =>
    checkConfig(`${least}bootstrap: ${bootstrap}\n`, agentConfigSchema);
  const byFile = asked('{bundlePath: /bundle}');
  assert.ok(byFile.ok && !byFile.value.bootstrap.insecure);
  for (const neither of ['{}', '{insecure: false}', '{bundlePath: /b, insecure: true}']) {
    assert.ok(!asked(neither).ok, neither);
  }
});

test('takes a socket path of 107 bytes', () => {
  assert.equal(problems(`workloadSocket: {path: /${'x'.repeat(106)}}`), '');
});
