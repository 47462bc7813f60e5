import assert from 'node:assert/strict';
import { test } from 'node:test';
import { socketPathSetting } from './socket-setting.ts';
import { MAX_SOCKET_PATH_BYTES } from './unix-path.ts';

const ofBytes = (bytes: number): string => '/'.padEnd(bytes, 'x');
const cases: readonly (readonly [name: string, path: string, accepted: boolean])[] = [
  ['106 bytes', ofBytes(MAX_SOCKET_PATH_BYTES - 1), true],
  ['107 bytes', ofBytes(MAX_SOCKET_PATH_BYTES), true],
  ['108 bytes', ofBytes(MAX_SOCKET_PATH_BYTES + 1), false],
  ['107 characters of 108 bytes', `${ofBytes(MAX_SOCKET_PATH_BYTES - 1)}ä`, false],
  ['a relative path', 'api.sock', false],
  ['a folder', '/run/signet/', false],
  ['a detour', '/run/../run/api.sock', false],
  ['a NUL', '/run/api\0.sock', false],
  ['nothing', '', false],
];
for (const [name, path, accepted] of cases) {
  test(`the setting of a socket ${accepted ? 'takes' : 'refuses'} ${name}`, () => {
    assert.equal(socketPathSetting.safeParse(path).success, accepted);
  });
}
