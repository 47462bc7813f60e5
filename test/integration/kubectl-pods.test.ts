import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { kubectlCommands, kubectlProgram } from '../../src/kubectl/commands.ts';
import { cli } from '../support/cli.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { Field } from '../support/field.ts';
import { soon } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { testFolder } from '../support/workload-api.ts';
import { makeRoot } from '../support/x509.ts';

/** In place of kubectl: what is to run in a container runs here. */
const HERE = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
`;

describe('kubectl signet looks into pods by kubectl exec', () => {
  test('at files that they mount, and what their Workload API says', async (context) => {
    const field = new Field(context);
    await field.startServer();
    const token = await field.token();
    await field.createEntry(token, '/web');
    const agent = assertValue(await field.agent({ join: { token } }));
    const kube = await FakeKube.start();
    context.after(() => kube.stop());
    const dir = testFolder(context);
    const [kubectl, file] = [join(dir, 'kubectl'), join(dir, 'bundle.pem')];
    writeFileSync(kubectl, HERE);
    chmodSync(kubectl, 0o755);
    const root = makeRoot('example.org');
    writeFileSync(file, root.pem);
    kube.put('/api/v1/pods', {
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        containers: [{ name: 'c', volumeMounts: [{ name: 'v', mountPath: dir }] }],
        volumes: [
          { name: 'v', projected: { sources: [{ clusterTrustBundle: { path: 'bundle.pem' } }] } },
        ],
      },
    });
    const PATH = `${resolve('bin')}:${process.env.PATH}`;
    const env = { KUBECONFIG: kube.kubeconfigPath, SIGNET_KUBECTL: kubectl };
    process.env.PATH = PATH;
    const signet = (...argv: readonly string[]) =>
      cli(kubectlCommands, argv, { env }, kubectlProgram);

    const same = await signet('diff', 'pod/shop/web', file);
    assert.equal(same.code, 0, same.err);
    const gone = await signet('diff', `pod/shop/web:${join(dir, 'absent.pem')}`, file);
    assert.deepEqual([gone.code, gone.out], [2, '']);
    assert.match(gone.err, /code: TRUST_POD/);

    const socket = `pod/shop/web:unix://${agent.workloadSocket}`;
    await soon(async () => (await signet('diff', socket, file)).code === 1);
    const { out } = await signet('diff', socket, file, '-o', 'json');
    // The server's authority is in the pod's bundle, the file's is not, and JWT keys fit no PEM.
    assert.match(out, /"kind": "BundleDiff"/);
    assert.ok(!out.includes('PRIVATE'));
    assert.equal((await signet('diff', `${socket}#example.org`, file)).code, 1);
    const other = await signet('diff', `${socket}#other.test`, file);
    assert.match(other.err, /code: TRUST_NOT_FOUND/);
  });
});
