import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '../../kube/objects.ts';
import { hostsOfService, serviceAddressesFrom } from './service-hosts.ts';

describe('hosts of a service', () => {
  const rows: readonly [string, KubeObject, boolean, readonly string[]][] = [
    [
      'addresses of both families',
      { clusterIPs: ['10.0.0.1', 'fd00::1'] },
      false,
      ['10.0.0.1', 'fd00::1'],
    ],
    ['one address, as old clusters say it', { clusterIP: '10.0.0.1' }, false, ['10.0.0.1']],
    ['none of a headless one', { clusterIP: 'None', clusterIPs: ['None'] }, false, []],
    ['none where none was given yet', { clusterIP: '', clusterIPs: [''] }, false, []],
    ['none of what says nothing', {}, false, []],
    ['an ExternalName leads elsewhere', { type: 'ExternalName', externalName: 'a.test' }, true, []],
    ['another type does not', { type: 'LoadBalancer' }, false, []],
  ];
  for (const [name, spec, isExternal, clusterIps] of rows) {
    test(`are read: ${name}`, () => {
      assert.deepEqual(serviceAddressesFrom({ spec }), { isExternal, clusterIps });
    });
  }

  test('are full names alone: shorter ones mean another outside of the namespace', () => {
    const place = { namespace: 'shop', name: 'db' };
    const addresses = { isExternal: false, clusterIps: ['10.0.0.1'] };
    const full = ['db.shop.svc', 'db.shop.svc.cluster.local', '10.0.0.1'];
    assert.deepEqual(hostsOfService(place, addresses, 'cluster.local'), full);
    assert.deepEqual(hostsOfService(place, addresses, ''), ['db.shop.svc', '10.0.0.1']);
  });
});
