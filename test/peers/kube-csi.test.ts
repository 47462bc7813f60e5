import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseMounts } from '../../agent/csi/mountinfo.ts';
import { soon, stopChild } from '../support/processes.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CHILD = join(process.cwd(), 'test/support/csi-child.ts');

const DRIVER = `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: { name: csi.spiffe.io }
spec:
  attachRequired: false
  podInfoOnMount: true
  fsGroupPolicy: None
  volumeLifecycleModes: [Ephemeral]
`;

function pod(name: string, volume: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  nodeName: node-a
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.test/pause:1
    volumeMounts: [{ name: spiffe, mountPath: /spiffe-workload-api, readOnly: true }]
  volumes: [{ name: spiffe, csi: ${volume} }]
`;
}

// The rig's kubelet has the real plugins for volumes and for registration, but believes that mounting
// succeeds: that a mount is there is read from the driver's own namespace.
describe('a real kubelet and the driver', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let kubeletDir: string;
  let driver: ChildProcess;
  let log = '';
  let api: Server;
  const dir = mkdtempSync(join(tmpdir(), 'sgn-csi-'));
  const socketDir = join(dir, 'public');

  before(async () => {
    rig = await startKubeRig();
    await rig.node('node-a');
    // As the kubelet itself names it: targets lie there.
    kubeletDir = realpathSync(join(rig.dir, 'node-node-a'));
    mkdirSync(socketDir);
    api = createServer().listen(join(socketDir, 'api.sock'));
    await rig.kubectl(['apply', '-f', '-'], DRIVER);
    await startDriver();
  });
  after(async () => {
    api?.close();
    if (driver !== undefined) await stopChild(driver);
    await rig?.stop();
    rmSync(dir, { recursive: true });
  });

  /** Starts a driver and waits until the kubelet has taken it. */
  async function startDriver(): Promise<void> {
    const args = [process.execPath, CHILD, kubeletDir, socketDir, 'log'];
    driver = spawn('unshare', ['-m', '--propagation', 'private', ...args], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    log = '';
    driver.stderr?.on('data', (bytes: Buffer) => {
      log += bytes.toString();
    });
    await soon(async () => log.includes('registered with the kubelet'));
  }

  const phaseOf = (name: string) =>
    rig.kubectl(['get', 'pod', name, '-o', 'jsonpath={.status.phase}']);

  async function targetOf(name: string): Promise<string> {
    const uid = await rig.kubectl(['get', 'pod', name, '-o', 'jsonpath={.metadata.uid}']);
    return join(kubeletDir, 'pods', uid, 'volumes/kubernetes.io~csi/spiffe/mount');
  }

  const mountsAt = (target: string) =>
    parseMounts(readFileSync(`/proc/${driver.pid}/mountinfo`, 'utf8')).filter(
      ({ mountPoint }) => mountPoint === target,
    );

  it('register each other without a sidecar; a pod runs with the socket, and ends', async () => {
    await rig.kubectl(
      ['apply', '-f', '-'],
      pod('web', '{ driver: csi.spiffe.io, readOnly: true }'),
    );
    await soon(async () => (await phaseOf('web')) === 'Running');
    const target = await targetOf('web');
    assert.deepEqual(
      mountsAt(target).map(({ readOnly }) => readOnly),
      [true],
    );
    assert.ok(existsSync(`/proc/${driver.pid}/root${target}/api.sock`));
    await rig.kubectl(['delete', 'pod', 'web', '--wait', '--timeout=60s']);
    await soon(async () => !existsSync(target));
    assert.deepEqual(mountsAt(target), []);
  });

  it('keep a pod waiting whose volume can be written to or has attributes', async () => {
    const writable = pod('writable', '{ driver: csi.spiffe.io }');
    // The rig's kubelet writes no events: what it is told is read from the driver's log.
    const told = pod(
      'told',
      '{ driver: csi.spiffe.io, readOnly: true, volumeAttributes: { path: /etc } }',
    );
    for (const [name, manifest, reason] of [
      ['writable', writable, 'lacks readOnly: true'],
      ['told', told, 'attribute that is unknown: path'],
    ] as const) {
      await rig.kubectl(['apply', '-f', '-'], manifest);
      await soon(async () => log.includes(reason));
      assert.equal(await phaseOf(name), 'Pending');
      await rig.kubectl(['delete', 'pod', name, '--wait', '--timeout=60s']);
    }
  });

  it('find each other again after the driver was killed', async () => {
    await stopChild(driver, 'SIGKILL');
    await startDriver();
    await rig.kubectl(
      ['apply', '-f', '-'],
      pod('later', '{ driver: csi.spiffe.io, readOnly: true }'),
    );
    await soon(async () => (await phaseOf('later')) === 'Running');
    assert.equal(mountsAt(await targetOf('later')).length, 1);
    await rig.kubectl(['delete', 'pod', 'later', '--wait', '--timeout=60s']);
  });
});
