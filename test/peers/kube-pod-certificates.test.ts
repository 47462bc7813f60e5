import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { unwrap } from '../../src/base/result.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { objectsAt, textAt } from '../../src/kube/objects.ts';
import { TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';
import {
  answered,
  certifiedPod,
  claimOf,
  type FoundRequest,
  prepare,
  read,
  requestObject,
  running,
  verified,
} from './pod-requests.ts';

describe('pod certificates on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;
  let claim: Record<string, string>;

  before(async () => {
    rig = await startKubeRig({ apiArgs: '--runtime-config=certificates.k8s.io/v1beta1=true' });
    await prepare(rig);
    await rig.node('node-a');
    const cluster = {
      name: 'rack',
      kubeconfigPath: await rig.user('signet'),
      podCertificates: { signerDomain: 'signet.test', leaseNamespace: 'signet', grace: '3s' },
    };
    server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  /** A request about the pod `web`, but for what is said otherwise. */
  function forged(name: string, spec: Record<string, unknown>, version = 'v1'): object {
    return requestObject(name, { ...claim, ...spec }, version);
  }

  /** Makes a request by hand, as anybody can who may create them. */
  async function forge(...args: Parameters<typeof forged>): Promise<void> {
    await rig.kubectl(['create', '-f', '-'], JSON.stringify(forged(...args)));
  }

  it('are what a pod with a podCertificate volume starts with', async () => {
    await rig.kubectl(['apply', '-f', '-'], certifiedPod('web', 'keyType: ECDSAP256'));
    const { metadata } = await running(rig, 'web');
    const file = join(
      rig.dir,
      `node-node-a/pods/${metadata.uid}/volumes/kubernetes.io~projected/id/bundle.pem`,
    );
    while (!existsSync(file)) await pause(100);
    const text = readFileSync(file, 'utf8');
    assert.match(text, /BEGIN PRIVATE KEY/);
    const leaf = await verified(server, text.slice(text.indexOf('-----BEGIN CERTIFICATE')));
    assert.equal(leaf.subjectAltName, 'URI:spiffe://example.org/ns/shop/sa/default');
    claim = await claimOf(rig, 'web');
    for (;;) {
      const { items } = await read<{ items: readonly { reason: string }[] }>(rig, 'events');
      if (items.some(({ reason }) => reason === 'PodCertificateIssued')) break;
      await pause(100);
    }
  });

  it('are denied for keys that nothing is issued for, and for unknown annotations', async () => {
    await rig.kubectl(['apply', '-f', '-'], certifiedPod('ed', 'keyType: ED25519'));
    const [ed] = (await answered(rig, 'ed')).status.conditions ?? [];
    assert.deepEqual([ed?.type, ed?.reason], ['Denied', 'UnsupportedKeyType']);
    const annotated = 'keyType: ECDSAP256, userAnnotations: { "other.test/x": "1" }';
    await rig.kubectl(['apply', '-f', '-'], certifiedPod('noted', annotated));
    const [noted] = (await answered(rig, 'noted')).status.conditions ?? [];
    assert.deepEqual([noted?.type, noted?.reason], ['Denied', 'InvalidUnverifiedUserAnnotations']);
  });

  it('come once there is a rule for the pod, within the grace', async () => {
    await rig.kubectl(['apply', '-f', '-'], certifiedPod('late', 'keyType: ECDSAP256', '{}'));
    for (;;) {
      const { items } = await read<{ items: readonly FoundRequest[] }>(
        rig,
        'podcertificaterequests',
      );
      if (items.some(({ spec }) => spec.podName === 'late')) break;
      await pause(50);
    }
    await rig.kubectl(['label', 'pod', '-n', 'shop', 'late', 'id=yes']);
    const [condition] = (await answered(rig, 'late')).status.conditions ?? [];
    assert.equal(condition?.type, 'Issued');
  });

  it('are denied where no rule comes', async () => {
    await rig.kubectl(['apply', '-f', '-'], certifiedPod('nobody', 'keyType: ECDSAP256', '{}'));
    const [condition] = (await answered(rig, 'nobody')).status.conditions ?? [];
    assert.deepEqual([condition?.type, condition?.reason], ['Denied', 'PodNoIdentity']);
    assert.match(condition?.message ?? '', /signet rule explain/);
  });

  it('are denied to who makes requests about pods that are not so', async () => {
    await rig.kubectl(['create', 'serviceaccount', '-n', 'shop', 'other']);
    await forge('other-account', { serviceAccountName: 'other' });
    await forge('other-node', { nodeName: 'node-b' });
    await forge('other-node-uid', { nodeUID: 'x' });
    await forge('other-pod-uid', { podUID: 'x' });
    await forge('other-account-uid', { serviceAccountUID: 'x' });
    await forge('no-pod', { podName: 'none' });
    const names = ['other-account', 'other-node', 'other-node-uid', 'other-pod-uid'];
    for (const name of [...names, 'other-account-uid', 'no-pod']) {
      const { status } = await answered(rig, name);
      const [condition] = status.conditions ?? [];
      const reason = ['other-account', 'other-node'].includes(name) ? 'PodMismatch' : 'PodUnknown';
      assert.deepEqual([name, condition?.type, condition?.reason], [name, 'Denied', reason]);
      assert.equal(status.certificateChain, undefined);
    }
  });

  it('are answered by the hundreds a second', async (context) => {
    const api = unwrap(
      await openKubeApi({ kubeconfigPath: rig.kubeconfig }, { clock: systemClock }),
    );
    const path = '/apis/certificates.k8s.io/v1/namespaces/shop/podcertificaterequests';
    const count = 1_000;
    const beganMs = performance.now();
    const made = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        api.request({
          verb: 'create',
          path,
          timeoutMs: 60_000,
          body: forged(`burst-${index}`, {}),
        }),
      ),
    );
    const createdMs = performance.now();
    assert.ok(made.every(({ ok }) => ok));
    for (;;) {
      const list = unwrap(await api.request({ verb: 'list', path, timeoutMs: 60_000 }));
      const done = objectsAt(list, 'items').filter(
        (item) =>
          textAt(item, 'metadata', 'name')?.startsWith('burst-') &&
          textAt(item, 'status', 'certificateChain') !== undefined,
      );
      if (done.length === count) break;
      await pause(50);
    }
    const tookMs = Math.round(performance.now() - beganMs);
    context.diagnostic(
      `${count} made in ${Math.round(createdMs - beganMs)} ms, all answered in ${tookMs} ms`,
    );
    api.close();
  });

  it('are signed for kubelets older than 1.36 too, by their proof of the key', async () => {
    const nodeInfo = { kubeletVersion: 'v1.35.2' };
    const old = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-old' } };
    await rig.kubectl(['create', '-f', '-'], JSON.stringify(old));
    const patch = JSON.stringify({ status: { nodeInfo } });
    const target = ['node', 'node-old', '--subresource=status', '--type=merge'];
    await rig.kubectl(['patch', ...target, '-p', patch]);
    for (const type of ['ec', 'rsa'] as const) {
      const { privateKey, publicKey } =
        type === 'ec'
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : generateKeyPairSync('rsa', { modulusLength: 3072 });
      const message = Buffer.from(claim.podUID ?? '');
      const key = type === 'ec' ? privateKey : { key: privateKey, padding: 6, saltLength: 32 };
      await forge(
        `old-${type}`,
        {
          stubPKCS10Request: undefined,
          pkixPublicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
          proofOfPossession: sign('sha256', message, key).toString('base64'),
        },
        'v1beta1',
      );
      const { status } = await answered(rig, `old-${type}`);
      assert.deepEqual(
        status.conditions?.map(({ type }) => type),
        ['Issued'],
      );
      const leaf = await verified(server, status.certificateChain ?? '');
      assert.ok(leaf.publicKey.equals(publicKey));
    }
  });
});
