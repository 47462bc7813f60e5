import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { type ArgvTable, rewriteArgv } from './argv.ts';

const table: ArgvTable = {
  flags: [
    { name: 'spiffe-id', spire: 'spiffeID', value: 'id', help: '' },
    { name: 'selector', value: 'type:value', repeat: true, help: '' },
    { name: 'x509-svid-ttl', spire: 'x509SVIDTTL', value: 'duration', help: '' },
    { name: 'admin', help: '' },
    { name: 'store-svid', spire: 'storeSVID', help: '' },
    { name: 'output', short: 'o', value: 'form', help: '' },
  ],
  refused: { instance: 'use --server-socket' },
};

const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["SPIRE's single dash", ['-spiffeID', 'spiffe://a/b'], ['--spiffe-id=spiffe://a/b']],
  ["SPIRE's spelling with two dashes", ['--spiffeID', 'x'], ['--spiffe-id=x']],
  ['our spelling', ['--spiffe-id', 'x'], ['--spiffe-id=x']],
  ['our spelling with one dash', ['-spiffe-id', 'x'], ['--spiffe-id=x']],
  ['a value after an equals sign', ['-spiffeID=x=y'], ['--spiffe-id=x=y']],
  ['an empty value', ['-spiffeID='], ['--spiffe-id=']],
  [
    'a repeated flag',
    ['-selector', 'a:b', '-selector', 'c:d'],
    ['--selector=a:b', '--selector=c:d'],
  ],
  ['a value with a leading dash', ['-spiffeID', '-admin'], ['--spiffe-id=-admin']],
  ['digits in a name', ['-x509SVIDTTL', '60'], ['--x509-svid-ttl=60']],
  ['a switch', ['-admin'], ['--admin']],
  ['a switch set to true', ['-storeSVID=true'], ['--store-svid']],
  ['a switch set to false', ['-storeSVID=false'], []],
  ['a letter', ['-o', 'json'], ['--output=json']],
  ['words', ['jwt', '-admin', 'x509'], ['jwt', '--admin', 'x509']],
  ['what follows --', ['--', '-spiffeID', 'x'], ['--', '-spiffeID', 'x']],
  ['a dash alone', ['-spiffeID', '-', '-'], ['--spiffe-id=-', '-']],
  ['a flag that is not known, for the parser to refuse', ['-foo'], ['-foo']],
];

for (const [name, argv, expected] of cases) {
  test(`rewrites ${name}`, () => {
    assert.deepEqual(assertValue(rewriteArgv(argv, table)), expected);
  });
}

test('refuses a flag without its value', () => {
  assertRefused(rewriteArgv(['-spiffeID'], table), 'CLI_USAGE');
});

test('refuses a switch with another value than true and false', () => {
  assertRefused(rewriteArgv(['-admin=1'], table), 'CLI_USAGE');
});

test("refuses SPIRE's flags that have no counterpart, saying what to use", () => {
  const refused = rewriteArgv(['-instance', 'x'], table);
  assertRefused(refused, 'CLI_UNSUPPORTED_FLAG');
  assert.match(refused.ok ? '' : refused.error.message, /--server-socket/);
});

test('both spellings of a flag give the same, whatever the value', () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const spire = rewriteArgv(['-spiffeID', value], table);
      assert.deepEqual(assertValue(spire), assertValue(rewriteArgv(['--spiffe-id', value], table)));
      assert.deepEqual(assertValue(spire), [`--spiffe-id=${value}`]);
    }),
  );
});

test('rewriting what was rewritten changes nothing', () => {
  const word = fc.oneof(
    fc.constantFrom('-spiffeID', '-admin', '--selector', '-o', 'x'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      const once = rewriteArgv(argv, table);
      if (once.ok) assert.deepEqual(assertValue(rewriteArgv(once.value, table)), once.value);
    }),
  );
});

test('a value may stand right after a letter where the program takes that', () => {
  const attached = { ...table, attachedValues: true };
  assert.deepEqual(assertValue(rewriteArgv(['-ojson'], attached)), ['--output=json']);
  assert.deepEqual(assertValue(rewriteArgv(['-output', 'json'], attached)), ['--output=json']);
  assert.deepEqual(assertValue(rewriteArgv(['-o=json'], attached)), ['--output=json']);
  assert.deepEqual(assertValue(rewriteArgv(['-admin'], attached)), ['--admin']);
  assert.deepEqual(assertValue(rewriteArgv(['-ojson'], table)), ['-ojson']);
});
