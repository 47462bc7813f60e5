import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubeChange } from '../kube/object-cache.ts';
import type { KubeObject } from '../kube/objects.ts';
import { createServiceNames, type KubeService, serviceFrom } from './service-names.ts';

function service(name: string, selector: object | undefined, more: object = {}): KubeObject {
  return { metadata: { name, namespace: 'shop', uid: name }, spec: { selector, ...more } };
}

/** Names by services that are put and deleted. */
function rig(clusterDomain = 'cluster.local') {
  let tell: (change: KubeChange<KubeService>) => void = () => {};
  const state = { synced: true };
  const names = createServiceNames(
    {
      get synced() {
        return state.synced;
      },
      onChange(listener) {
        tell = listener;
        return () => {};
      },
    },
    clusterDomain,
  );
  const put = (namespace: string, name: string, selector: readonly [string, string][]): void =>
    tell({
      kind: 'put',
      key: `${namespace}/${name}`,
      uid: name,
      value: { namespace, name, selector },
      before: undefined,
    });
  const remove = (namespace: string, name: string): void => {
    const before = { namespace, name, selector: [] };
    tell({ kind: 'delete', key: `${namespace}/${name}`, uid: name, before });
  };
  return { names, put, remove, state };
}

const POD = { namespace: 'shop', labels: { app: 'web', tier: 'front' } };

describe('names of a pod by its services', () => {
  it('are the full ones of each service of its namespace whose labels it has', () => {
    const { names, put } = rig();
    put('shop', 'web', [['app', 'web']]);
    put('shop', 'front', [
      ['tier', 'front'],
      ['app', 'web'],
    ]);
    put('shop', 'other', [
      ['app', 'web'],
      ['tier', 'back'],
    ]);
    put('bank', 'web', [['app', 'web']]);
    assert.deepEqual(names.namesOf(POD), [
      'front.shop.svc',
      'front.shop.svc.cluster.local',
      'web.shop.svc',
      'web.shop.svc.cluster.local',
    ]);
    assert.deepEqual(names.namesOf({ namespace: 'bank', labels: {} }), []);
    assert.deepEqual(names.namesOf({ namespace: 'none', labels: POD.labels }), []);
  });

  it('follow what becomes of services', () => {
    const { names, put, remove } = rig('');
    put('shop', 'web', [['app', 'web']]);
    assert.deepEqual(names.namesOf(POD), ['web.shop.svc']);
    put('shop', 'web', [['app', 'api']]);
    assert.deepEqual(names.namesOf(POD), []);
    put('shop', 'web', [['app', 'web']]);
    remove('shop', 'web');
    assert.deepEqual(names.namesOf(POD), []);
  });

  it('come from services only that select pods', () => {
    assert.deepEqual(serviceFrom(service('web', { app: 'web' }))?.selector, [['app', 'web']]);
    assert.equal(serviceFrom(service('web', undefined)), undefined);
    assert.equal(serviceFrom(service('web', {})), undefined, 'it would be every pod');
    const external = { type: 'ExternalName', externalName: 'a.test' };
    assert.equal(serviceFrom(service('web', { app: 'web' }, external)), undefined);
  });
});
