import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CsiNode, callOf } from '../../test/support/csi.ts';
import { soon, stopChild } from '../../test/support/processes.ts';

const namespaceOf = (pid: number | undefined) => readlinkSync(`/proc/${pid}/ns/mnt`);

const rooted = { skip: process.geteuid?.() === 0 ? false : 'only root can mount' };

describe('a driver with real mounts', rooted, () => {
  let node: CsiNode;
  before(async () => {
    node = await CsiNode.start();
  });
  after(() => node?.stop());

  test('a pod reaches the socket through its volume, and can change nothing', async (context) => {
    const target = node.target('plain');
    assert.deepEqual(await node.publish(target), {});
    const server = createServer((socket) => socket.end('hello')).listen(
      join(node.socketDir, 'api.sock'),
    );
    await once(server, 'listening');
    context.after(() => server.close());
    const socket = connect(node.seen(join(target, 'api.sock')));
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    assert.equal(bytes.toString(), 'hello');
    assert.throws(() => writeFileSync(node.seen(join(target, 'other')), ''), { code: 'EROFS' });
    await node.inside('grep', '-qE', 'plain/mount ro,nosuid,nodev,noexec', '/proc/self/mountinfo');
    assert.deepEqual(await node.unpublish(target), {});
    assert.deepEqual(node.mountsAt(target), []);
    assert.ok(!existsSync(target));
  });

  test('asked a hundred times, at once too, there is one mount; what is gone is gone', async () => {
    const target = node.target('again');
    const asked = await Promise.all(Array.from({ length: 100 }, () => node.publish(target)));
    assert.ok(asked.every((answer) => typeof answer === 'object'));
    assert.equal(node.mountsAt(target).length, 1);
    for (let times = 0; times < 2; times++) assert.deepEqual(await node.unpublish(target), {});
    rmSync(dirname(target), { recursive: true });
    assert.deepEqual(await node.unpublish(target), {}, 'nor is its folder demanded');
  });

  test('a mount outlives the driver, and the next one takes it over', async () => {
    const target = node.target('outlives');
    await node.publish(target);
    await node.stopDriver('SIGKILL');
    assert.equal(node.mountsAt(target).length, 1);
    await node.startDriver();
    assert.deepEqual(await node.publish(target), {});
    assert.equal(node.mountsAt(target).length, 1);
    assert.deepEqual(await node.unpublish(target), {});
    assert.deepEqual(node.mountsAt(target), []);
  });

  test('a mount is read-only in every namespace that it reaches', async (context) => {
    const target = node.target('reaches');
    const other = node.otherNamespace();
    context.after(() => stopChild(other, 'SIGKILL'));
    const there = () => node.mounts(other.pid).filter(({ mountPoint }) => mountPoint === target);
    const namespaces = [process.pid, node.holderPid].map(namespaceOf);
    await soon(async () => !namespaces.includes(namespaceOf(other.pid)));
    await node.publish(target);
    assert.deepEqual(
      there().map(({ readOnly }) => readOnly),
      [true],
    );
    await node.unpublish(target);
    assert.deepEqual(there(), []);
  });

  test('a folder that was made anew, and mounts upon mounts, become one good mount', async () => {
    const target = node.target('stale');
    await node.publish(target);
    const [old] = node.mountsAt(target);
    rmSync(node.socketDir, { recursive: true });
    mkdirSync(node.socketDir);
    assert.deepEqual(await node.publish(target), {});
    const [renewed, ...more] = node.mountsAt(target);
    assert.deepEqual(more, []);
    assert.equal(renewed?.root, old?.root);
    writeFileSync(join(node.socketDir, 'mark'), '');
    assert.ok(existsSync(node.seen(join(target, 'mark'))));
    for (let times = 0; times < 3; times++) {
      await node.inside('mount', '--bind', node.socketDir, target);
    }
    assert.equal(node.mountsAt(target).length, 4);
    assert.deepEqual(await node.publish(target), {});
    assert.equal(node.mountsAt(target).length, 1);
    await node.inside('mount', '--bind', node.dir, target);
    assert.deepEqual(await node.unpublish(target), {});
    assert.deepEqual(node.mountsAt(target), []);
  });

  test('a volume that could be written to is mounted anew', async () => {
    const target = node.target('writable');
    mkdirSync(target);
    await node.inside('mount', '--bind', node.socketDir, target);
    assert.deepEqual(await node.publish(target), {});
    assert.deepEqual(
      node.mountsAt(target).map(({ readOnly }) => readOnly),
      [true],
    );
    await node.unpublish(target);
  });

  test('no link is followed, on the way or at its end', async () => {
    const outside = join(node.dir, 'outside');
    mkdirSync(join(outside, 'mount'), { recursive: true });
    const onTheWay = node.target('on-the-way');
    rmSync(dirname(onTheWay), { recursive: true });
    symlinkSync(outside, dirname(onTheWay));
    const atTheEnd = node.target('at-the-end');
    symlinkSync(outside, atTheEnd);
    const inside = node.target('inside');
    rmSync(dirname(inside), { recursive: true });
    symlinkSync('on-the-way', dirname(inside));
    for (const target of [onTheWay, atTheEnd, inside]) {
      assert.equal(await node.publish(target), 'InvalidArgument', target);
      assert.equal(await node.unpublish(target), 'InvalidArgument', target);
    }
    assert.deepEqual(node.mountsAt(join(outside, 'mount')), []);
    assert.deepEqual(node.mountsAt(outside), []);
    assert.ok(existsSync(join(outside, 'mount')));
    assert.ok(lstatSync(atTheEnd).isSymbolicLink());
  });

  test('what was not made here is not removed', async () => {
    const target = node.target('kept');
    mkdirSync(target);
    writeFileSync(join(target, 'precious'), 'data');
    assert.equal(await node.unpublish(target), 'InvalidArgument');
    assert.ok(existsSync(join(target, 'precious')));
    const file = node.target('file');
    writeFileSync(file, 'data');
    assert.equal(await node.publish(file), 'InvalidArgument');
    assert.equal(await node.unpublish(file), 'InvalidArgument');
    assert.ok(existsSync(file));
  });

  test('without the folder of the agent a pod waits, and nothing is left', async () => {
    const target = node.target('waits');
    const ready = () => node.identity((client) => callOf(client.probe.bind(client), {}));
    assert.deepEqual(await ready(), { ready: true });
    rmSync(node.socketDir, { recursive: true });
    assert.equal(await node.publish(target), 'Unavailable');
    assert.ok(!existsSync(target));
    assert.deepEqual(await ready(), { ready: false });
    mkdirSync(node.socketDir);
    assert.deepEqual(await node.publish(target), {});
    rmSync(node.socketDir, { recursive: true });
    assert.deepEqual(await node.unpublish(target), {}, 'a pod can end without it');
    mkdirSync(node.socketDir);
  });

  test('the kubelet learns the name, the version and where the driver listens', async () => {
    const identity = await node.identity((one) => callOf(one.getPluginInfo.bind(one), {}));
    const plugin = await node.registrar((one) => callOf(one.getInfo.bind(one), {}));
    const info = await node.node((one) => callOf(one.nodeGetInfo.bind(one), {}));
    assert.deepEqual(identity, { name: 'csi.spiffe.io', vendorVersion: '1.2.3' });
    assert.deepEqual(info, { nodeId: 'node-a' });
    assert.deepEqual(plugin, {
      type: 'CSIPlugin',
      name: 'csi.spiffe.io',
      endpoint: node.endpoint,
      supportedVersions: ['1.0.0'],
    });
    for (const path of [node.endpoint, node.registration]) {
      assert.equal(lstatSync(path).mode & 0o777, 0o600, 'nobody but root may mount');
    }
  });
});
