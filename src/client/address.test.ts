import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { findWorkloadAddress, formatWorkloadAddress, parseWorkloadAddress } from './address.ts';

const accepted: readonly (readonly [string, string])[] = [
  ['unix:///p/a.sock', '/p/a.sock'],
  ['unix:/p/a.sock', '/p/a.sock'],
  ['unix:///a%20b', '/a b'],
  [`unix:///${'x'.repeat(106)}`, `/${'x'.repeat(106)}`],
  ['tcp://127.0.0.1:8000', 'tcp://127.0.0.1:8000'],
  ['tcp://[::1]:65535', 'tcp://[::1]:65535'],
];

for (const [text, formatted] of accepted) {
  test(`WEP-10, WEP-11 accept ${text.slice(0, 40)}`, () => {
    assert.equal(formatWorkloadAddress(assertValue(parseWorkloadAddress(text))), formatted);
  });
}

const refused = [
  ['WEP-10 refuses a host in a unix address', 'unix://host/p'],
  ['WEP-10 refuses a relative path', 'unix:p/a.sock'],
  ['WEP-10 refuses an empty path', 'unix://'],
  ['WEP-10 refuses the root as path', 'unix:///'],
  ['WEP-10 refuses a folder', 'unix:///p/'],
  ['WEP-10 refuses a query', 'unix:///p?q'],
  ['WEP-10 refuses a fragment', 'unix:///p#f'],
  ['WEP-10 refuses a NUL', 'unix:///p%00q'],
  ['WEP-10 refuses a malformed escape', 'unix:///p%zz'],
  ['WEP-10 refuses a path of 108 bytes', `unix:///${'x'.repeat(107)}`],
  ['WEP-11 refuses a path in a tcp address', 'tcp://127.0.0.1:8000/foo'],
  ['WEP-11 refuses a trailing slash', 'tcp://127.0.0.1:8000/'],
  ['WEP-11 refuses a host name', 'tcp://localhost:8000'],
  ['WEP-11 refuses a missing port', 'tcp://127.0.0.1'],
  ['WEP-11 refuses an empty port', 'tcp://127.0.0.1:'],
  ['WEP-11 refuses port 0', 'tcp://127.0.0.1:0'],
  ['WEP-11 refuses port 65536', 'tcp://127.0.0.1:65536'],
  ['WEP-11 refuses an address of three numbers', 'tcp://127.0.1:80'],
  ['WEP-11 refuses IPv6 without brackets', 'tcp://::1:80'],
  ['WEP-11 refuses IPv4 in brackets', 'tcp://[127.0.0.1]:80'],
  ['WEP-11 refuses a user', 'tcp://u@127.0.0.1:80'],
  ['WEP-9 refuses other schemes', 'http://127.0.0.1:80'],
  ['WEP-9 refuses a plain path', '/p/a.sock'],
] as const;

for (const [name, text] of refused) {
  test(name, () => assertRefused(parseWorkloadAddress(text), 'WORKLOAD_ADDRESS_INVALID'));
}

test('WEP-9 the address given wins over the environment', () => {
  const env = { SPIFFE_ENDPOINT_SOCKET: 'unix:///env' };
  const given = assertValue(findWorkloadAddress('unix:///given', env));
  assert.equal(formatWorkloadAddress(given), '/given');
  assert.equal(formatWorkloadAddress(assertValue(findWorkloadAddress(undefined, env))), '/env');
});

test('WEP-9 without an address and without the variable there is none', () => {
  assertRefused(findWorkloadAddress(undefined, {}), 'WORKLOAD_ADDRESS_MISSING');
  assertRefused(
    findWorkloadAddress(undefined, { SPIFFE_ENDPOINT_SOCKET: '' }),
    'WORKLOAD_ADDRESS_MISSING',
  );
});
