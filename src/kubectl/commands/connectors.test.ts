import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type CliOutcome, cli } from '../../../test/support/cli.ts';
import { adminRig } from '../../../test/support/connector-admin.ts';
import { FakeKube } from '../../../test/support/fake-kube.ts';
import { START_SECONDS } from '../../../test/support/state.ts';
import { kubectlCommands, kubectlProgram } from '../commands.ts';
import { groupState } from '../connector-rows.ts';

const GROUPS = '/apis/signet.dev/v1alpha1/connectorgroups';
const SEGMENTS = '/apis/signet.dev/v1alpha1/connectorsegments';
const NOW_MS = START_SECONDS * 1000;
const ACCEPTED = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' };

const inMinutes = (minutes: number): string => new Date(NOW_MS + minutes * 60_000).toISOString();

const group = (name: string, status: object, spec: object = {}) => ({
  metadata: { namespace: 'net', name },
  spec: { minInstances: 1, ...spec },
  status: { conditions: [ACCEPTED], segments: 1, connectors: { active: 2 }, ...status },
});

const segment = (name: string, status: object) => ({
  metadata: { namespace: 'shop', name },
  spec: {},
  status: { conditions: [ACCEPTED], groups: ['edge'], healthyConnectors: 2, ...status },
});

describe('kubectl signet connectors, by the objects of a cluster', () => {
  let kube: FakeKube;
  before(async () => {
    kube = await FakeKube.start();
  });
  after(() => kube.stop());
  const connectors = (...argv: string[]): Promise<CliOutcome> =>
    cli(
      kubectlCommands,
      ['connectors', '-A', ...argv],
      { env: { KUBECONFIG: kube.kubeconfigPath }, nowMs: NOW_MS },
      kubectlProgram,
    );

  test('tells of groups that are well, and ends with 0', async () => {
    kube.put(GROUPS, group('edge', { oldestCertificateExpiresAt: inMinutes(31) }));
    kube.put(SEGMENTS, segment('db', {}));
    const { code, out, err } = await connectors();
    assert.equal(code, 0, err);
    assert.equal(
      out,
      [
        'GROUP     CONNECTORS  CERT  SEGMENTS  THIN  STATE',
        'net/edge  2 active    31m   1         0     Ok',
        '',
      ].join('\n'),
    );
    const names = await connectors('-o', 'name');
    assert.equal(names.out, 'connectorgroup/net/edge\nconnectorsegment/shop/db\n');
  });

  test('tells what is not as it should be, and ends with 1', async () => {
    kube.put(
      GROUPS,
      group('edge', {
        connectors: { active: 1, lost: 1 },
        thinSegments: 1,
        oldestCertificateExpiresAt: inMinutes(9),
        lastError: 'segments 7: no such host',
      }),
    );
    const refused = {
      type: 'Accepted',
      status: 'False',
      reason: 'NotAllowed',
      message: 'no \u001b[2J',
    };
    kube.put(GROUPS, group('other', { conditions: [refused], connectors: {} }));
    const conflict = { type: 'Conflict', status: 'True', reason: 'Overlap', message: 'shop/db' };
    kube.put(SEGMENTS, segment('nowhere', { groups: [] }));
    kube.put(SEGMENTS, segment('thin', { healthyConnectors: 1 }));
    kube.put(SEGMENTS, segment('web', { conditions: [ACCEPTED, conflict] }));
    const { code, out, err } = await connectors();
    assert.equal(code, 1);
    assert.equal(
      out,
      [
        'GROUP      CONNECTORS        CERT  SEGMENTS  THIN  STATE',
        'net/edge   1 active, 1 lost  9m    1         1     Lost',
        'net/other  none              -     1         0     Refused',
        '',
        'SEGMENT       SERVED BY  HEALTHY  STATE',
        'shop/nowhere  -          2        NoGroup',
        'shop/thin     edge       1        Thin',
        'shop/web      edge       2        Conflict: Overlap: shop/db',
        '',
      ].join('\n'),
    );
    assert.match(err, /^net\/other: NotAllowed: no \\u001b\[2J$/m);
    assert.match(err, /code: TRUST_FINDINGS/);
    assert.match(err, /5 of 6 groups, segments and connectors not as they should be/);
    const wide = await connectors('-o', 'wide', '--no-headers');
    assert.match(wide.out, /^net\/edge .* 0 +0 +segments 7: no such host +Lost$/m);
    assert.match(wide.out, /^shop\/db .* Ok$/m);
    const { groups } = JSON.parse((await connectors('-o', 'json')).out);
    const [edge] = groups;
    assert.deepEqual([edge.name, edge.state, edge.certificateEnd], ['edge', 'Lost', inMinutes(9)]);
    assert.match((await connectors('-o', 'yaml')).out, /^kind: "ConnectorList"$/m);
  });

  test('a cluster without the kinds has no groups; one that refuses is told of', async () => {
    const bare = await FakeKube.start();
    const env = { KUBECONFIG: bare.kubeconfigPath };
    const { code, out } = await cli(kubectlCommands, ['connectors'], { env }, kubectlProgram);
    assert.equal(code, 0);
    assert.equal(out, 'no connector groups\n');
    await bare.stop();
    const gone = await cli(kubectlCommands, ['connectors'], { env }, kubectlProgram);
    assert.equal(gone.code, 2);
    assert.match(gone.err, /code: KUBE_/);
  });
});

test('kubectl signet connectors, by the server, tells of connectors too', async (context) => {
  const { signet, socket, enrol, sessions, clock } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  for (const id of ['c1', 'c2']) await enrol(id, 'db');
  sessions.say('c1');
  sessions.say('c2', { health: 'degraded', reason: 'disk full' });
  const connectors = (...argv: string[]): Promise<CliOutcome> =>
    cli(
      kubectlCommands,
      ['connectors', ...argv],
      { env: { SIGNET_SERVER_SOCKET: socket, KUBECONFIG: '/nowhere' }, nowMs: clock.nowMs() },
      kubectlProgram,
    );
  const { code, out } = await connectors();
  assert.equal(code, 1);
  assert.equal(
    out,
    [
      'GROUP  CONNECTORS            CERT  SEGMENTS  THIN  STATE',
      'db     1 active, 1 degraded  -     0         0     Degraded',
      '',
      'CONNECTOR  GROUP  HEARD   CERT  STATE',
      'c2         db     0s ago  1h    Degraded: disk full',
      '',
    ].join('\n'),
  );
  sessions.say('c2');
  assert.equal((await connectors()).code, 0);
  const soon = await connectors('--within', '2h', '-o', 'json');
  assert.equal(soon.code, 1);
  const said = JSON.parse(soon.out).connectors.map((one: { state: string }) => one.state);
  assert.deepEqual(said, ['Expiring', 'Expiring']);
  assert.equal((await connectors('--within', '367d')).code, 2);
});

test('the worst that is known of a group is its state', () => {
  const fine = {
    ...{ context: '', namespace: '', name: 'edge', minInstances: 2, segments: 1, refusal: '' },
    ...{ thinSegments: 0, activeFlows: 0, upToDate: 2, lastError: '' },
    connectors: { active: 2 },
    certificateEndMs: 1_000_000,
  };
  const cases = [
    [{}, 'Ok'],
    [{ certificateEndMs: undefined }, 'Ok'],
    [{ thinSegments: 1 }, 'Thin'],
    [{ connectors: { active: 2, degraded: 1 }, thinSegments: 1 }, 'Degraded'],
    [{ certificateEndMs: 600_001 }, 'Ok'],
    [{ certificateEndMs: 600_000 }, 'Ok'],
    [{ certificateEndMs: 599_999 }, 'Expiring'],
    [{ connectors: { active: 1, enrolled: 5 }, certificateEndMs: 0 }, 'TooFew'],
    [{ connectors: { active: 1, lost: 1 } }, 'Lost'],
    [{ connectors: { active: 1, lost: 1, expired: 1 } }, 'Expired'],
    [{ connectors: { expired: 1 }, refusal: 'NotAllowed' }, 'Refused'],
    [{ connectors: { active: 2, stopped: 9, revoked: 9 } }, 'Ok'],
  ] as const;
  for (const [extra, state] of cases) {
    assert.equal(groupState({ ...fine, ...extra }, 0, 600_000), state, JSON.stringify(extra));
  }
});
