import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unwrap } from '../base/result.ts';
import {
  childPath,
  isBelow,
  lastSegment,
  parseResourcePath,
  resourcePath,
} from './resource-path.ts';

const ORIGIN = 'https://10.1.2.3';

const PATHS: readonly (readonly [text: string, path: string])[] = [
  ['/redfish/v1', '/redfish/v1'],
  ['/redfish/v1/', '/redfish/v1'],
  ['/redfish/v1/Systems/Bluefield', '/redfish/v1/Systems/Bluefield'],
  [`${ORIGIN}/redfish/v1/TaskService/Tasks/0`, '/redfish/v1/TaskService/Tasks/0'],
  [
    '/redfish/v1/ComponentIntegrity/X/Actions/ComponentIntegrity.SPDMGetSignedMeasurements/data',
    '/redfish/v1/ComponentIntegrity/X/Actions/ComponentIntegrity.SPDMGetSignedMeasurements/data',
  ],
  [`/redfish/v1/${'a'.repeat(500)}`, `/redfish/v1/${'a'.repeat(500)}`],
];

for (const [text, path] of PATHS) {
  test(`the link ${text.slice(0, 60)} is a path of the BMC`, () => {
    assert.equal(unwrap(parseResourcePath(text, ORIGIN)), path);
  });
}

const NO_PATHS = [
  '',
  '/',
  'redfish/v1/Systems',
  '/redfish',
  '/redfish/v2/Systems',
  '/Redfish/v1/Systems',
  '//evil.example/redfish/v1',
  'http://10.1.2.3/redfish/v1',
  'https://evil.example/redfish/v1',
  'https://10.1.2.3.evil.example/redfish/v1',
  'https://10.1.2.3:8443/redfish/v1',
  'https://user@10.1.2.3/redfish/v1',
  '/redfish/v1/../../etc',
  '/redfish/v1/./Systems',
  '/redfish/v1//Systems',
  '/redfish/v1/.hidden',
  '/redfish/v1/%2e%2e/x',
  '/redfish/v1/Systems?x=1',
  '/redfish/v1/Systems#x',
  '/redfish/v1/Systems\\x',
  '/redfish/v1/Systems x',
  '/redfish/v1/Systems\r\nX-Evil: 1',
  '/redfish/v1/Systems\0',
  '/redfish/v1/Système',
  `/redfish/v1/${'a'.repeat(501)}`,
];

for (const text of NO_PATHS) {
  test(`the link ${JSON.stringify(text.slice(0, 60))} is refused`, () => {
    const parsed = parseResourcePath(text, ORIGIN);
    assert.equal(parsed.ok ? parsed.value : parsed.error.code, 'REDFISH_PATH');
  });
}

test('a name that climbs makes no child', () => {
  const parent = resourcePath('/redfish/v1/Chassis');
  assert.equal(unwrap(childPath(parent, 'A', 'B')), '/redfish/v1/Chassis/A/B');
  assert.equal(childPath(parent, '..').ok, false);
  assert.equal(childPath(parent, '').ok, false);
});

test('below is below a whole segment, or the path itself', () => {
  const parent = resourcePath('/redfish/v1/ComponentIntegrity/A');
  assert.ok(isBelow(resourcePath('/redfish/v1/ComponentIntegrity/A/data'), parent));
  assert.ok(isBelow(parent, parent));
  assert.ok(!isBelow(resourcePath('/redfish/v1/ComponentIntegrity/AB'), parent));
  assert.equal(lastSegment(parent), 'A');
});

test('a path of this program that is none is its mistake', () => {
  assert.throws(() => resourcePath('/elsewhere'), TypeError);
});
