import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isWithin, parseMounts, placeOf, shows } from './mountinfo.ts';

const TABLE = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=1g
31 30 0:26 /inner /run/signet rw - tmpfs tmpfs rw
40 22 0:25 /signet/public /pods/a\\040b/mount ro,nosuid,nodev,noexec master:3 propagate_from:1 - tmpfs tmpfs rw
41 22 0:25 /signet/public//deleted /pods/c/mount ro - tmpfs tmpfs rw

junk
`;

test('a table of mounts is read with blanks, optional fields and folders that are gone', () => {
  const mounts = parseMounts(TABLE);
  assert.equal(mounts.length, 5);
  assert.deepEqual(mounts[3], {
    device: '0:25',
    root: '/signet/public',
    mountPoint: '/pods/a b/mount',
    readOnly: true,
  });
  assert.equal(mounts[1]?.readOnly, false, 'options of the file system are not those of the mount');
});

test('a folder has the place of the deepest mount that holds it, the last of those at one path', () => {
  const mounts = parseMounts(TABLE);
  assert.deepEqual(placeOf(mounts, '/run/other/x'), { device: '0:25', root: '/other/x' });
  assert.deepEqual(placeOf(mounts, '/run'), { device: '0:25', root: '/' });
  assert.deepEqual(placeOf(mounts, '/run/signet/public'), {
    device: '0:26',
    root: '/inner/public',
  });
  assert.deepEqual(placeOf(mounts, '/runner'), { device: '8:1', root: '/runner' });
  const over = parseMounts(`${TABLE}50 30 0:30 / /run rw - tmpfs tmpfs rw\n`);
  assert.deepEqual(placeOf(over, '/run/other'), { device: '0:30', root: '/other' });
  assert.equal(placeOf([], '/run'), undefined);
});

test('a mount shows a folder when file system, folder and read-only all fit', () => {
  const mount = { device: '0:25', root: '/a', mountPoint: '/m', readOnly: true };
  const place = { device: '0:25', root: '/a' };
  assert.ok(shows(mount, place));
  for (const wrong of [{ device: '0:26' }, { root: '/a//deleted' }, { readOnly: false }]) {
    assert.ok(!shows({ ...mount, ...wrong }, place), JSON.stringify(wrong));
  }
});

test('a path is within a folder by whole names', () => {
  for (const [path, folder, answer] of [
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/ab', '/a', false],
    ['/a', '/', true],
    ['/', '/a', false],
  ] as const) {
    assert.equal(isWithin(path, folder), answer, `${path} in ${folder}`);
  }
});
