import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type CliOutcome, cli } from '../../../test/support/cli.ts';
import { FakeKube, type FakeKubeCall, type KubeFault } from '../../../test/support/fake-kube.ts';
import { makeCertificate, makeRoot } from '../../../test/support/x509.ts';
import { kubectlCommands, kubectlProgram } from '../commands.ts';

const ROOT = makeRoot('example.org');
const FOREIGN = makeCertificate({ ca: true, subject: { commonName: 'foreign' } });
const MAPS = '/api/v1/configmaps';
const CERTIFICATES = '/apis/certificates.k8s.io';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

const published = (namespace: string, data: string, sequence = '7') => ({
  metadata: {
    name: 'spiffe-bundle',
    namespace,
    labels: { 'signet.dev/bundle': 'published' },
    annotations: {
      'signet.dev/trust-domain': 'example.org',
      'signet.dev/bundle-sequence': sequence,
    },
  },
  data: { 'bundle.crt': data },
});

describe('doctor', () => {
  let kube: FakeKube;
  const refused = new Set<string>();
  before(async () => {
    kube = await FakeKube.start();
  });
  beforeEach(() => {
    refused.clear();
    kube.serves.clear();
    kube.serves.set(`${CERTIFICATES}/v1`, ['clustertrustbundles', 'podcertificaterequests']);
    kube.serves.set(`${CERTIFICATES}/v1beta1`, ['podcertificaterequests']);
    kube.fault = serve;
    for (const name of ['shop', 'pay']) kube.put(MAPS, published(name, ROOT.pem));
    for (const plural of ['clusterroles', 'clusterrolebindings']) {
      kube.remove(`${RBAC}/${plural}`, 'r');
    }
  });
  after(() => kube.stop());

  /** What a real API server answers by itself. */
  function serve({ path }: FakeKubeCall): KubeFault | undefined {
    if ([...refused].some((end) => path.endsWith(end))) return { status: 403, text: '{}' };
    if (path === '/version') return { text: '{"gitVersion":"v1.37.0"}' };
    const isReview = path.endsWith('/selfsubjectaccessreviews');
    return isReview ? { text: '{"status":{"allowed":true}}', status: 201 } : undefined;
  }
  const doctor = (...argv: string[]): Promise<CliOutcome> => {
    const env = { KUBECONFIG: kube.kubeconfigPath };
    return cli(kubectlCommands, ['doctor', '-A', ...argv], { env }, kubectlProgram);
  };
  const grant = (group: string, resource: string, verbs: string[], subject: object): void => {
    const rules = [{ apiGroups: [group], resources: [resource], verbs }];
    const roleRef = { kind: 'ClusterRole', name: 'r' };
    kube.put(`${RBAC}/clusterroles`, { metadata: { name: 'r' }, rules });
    const bound = { metadata: { name: 'r' }, roleRef, subjects: [subject] };
    kube.put(`${RBAC}/clusterrolebindings`, bound);
  };

  test('says nothing to do where all is well, and ends with 0', async () => {
    const { code, out, err } = await doctor();
    assert.equal(code, 0, out + err);
    assert.match(out, /^API server +v1\.37\.0 +Ok$/m);
    assert.match(out, /^PodCertificateRequests +served as v1, v1beta1 +Ok$/m);
    assert.match(out, /^copies +2 copies, none differs +Ok$/m);
    assert.match(out, /^published by Signet +2 copies +Ok$/m);
    assert.match(out, /^create pod certificates +0 superusers alone +Ok$/m);
    assert.ok(out.split('\n').every((line) => line.length <= 80 && !line.includes(': ')));
  });

  test('names copies that are stale or hold an authority too many', async () => {
    kube.put(MAPS, published('shop', ROOT.pem, '6'));
    kube.put(MAPS, published('pay', ROOT.pem + FOREIGN.pem, '6'));
    kube.put(MAPS, published('old', ROOT.pem, '7'));
    const { code, out } = await doctor();
    kube.remove(MAPS, 'old/spiffe-bundle');
    assert.equal(code, 1);
    assert.match(out, /^state Extra +1 copy +Failed$/m);
    assert.match(out, /^state Stale +2 copies +Failed$/m);
    assert.match(out, /^state Extra: [^\n]+\n {2}cm\/pay\/spiffe-bundle:bundle\.crt$/m);
  });

  test('whoever may ask for pod certificates beside kubelets is named, and fails it', async () => {
    const requests = ['certificates.k8s.io', 'podcertificaterequests', ['create']] as const;
    const [group, resource, verbs] = requests;
    grant(group, resource, [...verbs], { kind: 'Group', name: 'system:nodes' });
    assert.equal((await doctor()).code, 0);
    grant(group, resource, [...verbs], { kind: 'User', name: 'mallory\u001b[2J' });
    const { code, out } = await doctor();
    assert.equal(code, 1);
    assert.match(out, /^create pod certificates +1 beside 0 superusers +Failed$/m);
    assert.match(out, /^ {2}user mallory\\u001b\[2J$/m);
    kube.serves.clear();
    assert.doesNotMatch((await doctor()).out, /create pod certificates/);
  });

  test('who may write rules or bundles is a hint, and fails it where it is everybody', async () => {
    grant('spire.spiffe.io', 'clusterspiffeids', ['patch'], { kind: 'User', name: 'jane' });
    const hint = await doctor();
    assert.equal(hint.code, 0);
    assert.match(hint.out, /^write ClusterSPIFFEIDs +1 beside 0 superusers +Hint$/m);
    const all = { kind: 'Group', name: 'system:authenticated' };
    grant('', 'configmaps', ['update'], all);
    const { code, out } = await doctor('-o', 'json');
    assert.equal(code, 1);
    const { items } = JSON.parse(out);
    const maps = items.find(({ check }: { check: string }) => check === 'write published maps');
    assert.deepEqual([maps.result, maps.details], ['Failed', ['group system:authenticated']]);
  });

  test('says where roles may not be seen, and what the API server does not serve', async () => {
    refused.add('/rolebindings');
    kube.serves.clear();
    const { code, out } = await doctor();
    assert.equal(code, 0);
    assert.match(out, /^who may write +KUBE_FORBIDDEN +Hint$/m);
    assert.match(out, /^ClusterTrustBundles +not served +Hint$/m);
    assert.match(out, /^ClusterTrustBundles: Kubernetes 1\.37 serves them/m);
  });

  test('an API server that does not answer ends it with 2, and is still told', async () => {
    kube.fault = () => 'reset';
    const { code, out } = await doctor();
    assert.equal(code, 2);
    assert.match(out, /^API server +KUBE_UNREACHABLE +Failed$/m);
  });
});
