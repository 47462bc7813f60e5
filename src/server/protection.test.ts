import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfigValue } from '../runtime/config.ts';
import { serverConfigSchema } from './config.ts';
import { protectionOf } from './protection.ts';

const DAY = 86_400;

/** The protection that a configuration asks for, or where it is refused. */
function judge(settings: object) {
  const checked = checkConfigValue({ trustDomain: 'example.org', ...settings }, serverConfigSchema);
  if (!checked.ok) return checked.problems.map(({ path }) => path).join(' ');
  const { x509, jwt, ...ttl } = protectionOf(checked.value);
  return [x509, jwt, ttl.caTtlSeconds, ttl.jwtKeyTtlSeconds, ttl.certainTtlSeconds];
}

const kms = { keys: { manager: 'aws-kms' } };
const delegated = { protection: 'delegated' };
const YEAR = 365 * DAY;

const CASES: readonly (readonly [string, object, unknown])[] = [
  ['keys on disk sign for themselves', {}, ['direct', 'direct', DAY, DAY, DAY / 6]],
  ['keys in memory too', { keys: { manager: 'memory' } }, ['direct', 'direct', DAY, DAY, DAY / 6]],
  ['keys outside are spared', kms, ['delegated', 'sealed', YEAR, DAY, DAY / 2]],
  [
    'keys outside sign themselves where told',
    { ...kms, ca: { protection: 'direct' }, jwt: { protection: 'direct' } },
    ['direct', 'direct', DAY, DAY, DAY / 6],
  ],
  [
    'keys on disk delegate where told',
    { ca: delegated },
    ['delegated', 'direct', YEAR, DAY, DAY / 2],
  ],
  [
    'ca.ttl is also that of JWT keys',
    { ca: { ttl: '12h' } },
    ['direct', 'direct', DAY / 2, DAY / 2, DAY / 12],
  ],
  [
    'but not where it is that of a root',
    { ca: { ...delegated, ttl: '10d' } },
    ['delegated', 'direct', 10 * DAY, DAY, DAY / 2],
  ],
  [
    'each life can be set',
    { ca: { ...delegated, issuing: { ttl: '4h' } }, jwt: { keyTtl: '6h' } },
    ['delegated', 'direct', YEAR, DAY / 4, DAY / 12],
  ],
  ['sealing needs keys outside', { jwt: { protection: 'sealed' } }, 'jwt.protection'],
  [
    'an issuing CA of 1 h bears leaves of 1 h',
    { ca: { ...delegated, issuing: { ttl: '1h' } } },
    ['delegated', 'direct', YEAR, DAY, 1800],
  ],
  ['but not one of 59 min', { ca: { ...delegated, issuing: { ttl: '59m' } } }, 'ca.issuing.ttl'],
  [
    'an issuing CA does not outlive its root',
    { ca: { ...delegated, ttl: '24h', issuing: { ttl: '25h' } } },
    'ca.issuing.ttl',
  ],
];

for (const [name, settings, expected] of CASES) {
  test(name, () => assert.deepEqual(judge(settings), expected));
}
