import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkSegmentPermitted,
  connectorOriginOf,
  connectorOwnerOf,
  isSegmentPermitted,
} from './permission.ts';

const origin = connectorOriginOf({ cluster: 'rack', namespace: 'shop', name: 'db' });
const group = (segmentNamespaces: readonly string[], segmentHosts: readonly string[] = []) => ({
  name: 'edge',
  segmentNamespaces,
  segmentHosts,
});
const codeOf = (
  permitting: ReturnType<typeof group>,
  hosts: readonly string[] = ['db.shop.test'],
  from = origin,
): string => {
  const checked = checkSegmentPermitted(permitting, { hosts, origin: from });
  return checked.ok ? 'ok' : checked.error.code;
};
const REFUSED = 'CONNECTOR_SEGMENT_NOT_PERMITTED';

describe('who may define segments of a group', () => {
  it('an operator always may', () => {
    assert.equal(codeOf(group([], ['a.test']), ['b.test'], ''), 'ok');
  });

  it('an object may whose namespace is named, by itself or with its cluster', () => {
    assert.equal(codeOf(group(['shop'])), 'ok');
    assert.equal(codeOf(group(['rack/shop'])), 'ok');
  });

  for (const named of [[], ['sho'], ['shop2'], ['lab/shop'], ['rack'], ['rack/shop/db'], ['*']]) {
    it(`an object may not where ${JSON.stringify(named)} are named`, () => {
      assert.equal(codeOf(group(named)), REFUSED);
    });
  }

  it('its hosts have to lie within the hosts of the group, each of them', () => {
    const limited = group(['shop'], ['*.shop.test', '10.1.0.0/16']);
    assert.equal(codeOf(limited, ['a.shop.test', '*.b.shop.test', '10.1.2.0/24']), 'ok');
    assert.equal(codeOf(limited, ['a.shop.test', 'shop.test']), REFUSED);
    assert.equal(codeOf(limited, ['10.2.0.1']), REFUSED);
    assert.equal(codeOf(limited, ['*.test']), REFUSED);
  });

  const others = [
    ...['kubernetes/rack/shop', 'other/rack/shop/db', 'kubernetes/a/shop/x/y', ' '],
    ...['xkubernetes/rack/shop/db', 'kubernetes//shop/db', 'kubernetes/rack/shop/'],
  ];
  for (const strange of others) {
    it(`nobody else may: ${strange}`, () => {
      assert.equal(codeOf(group(['shop', 'a/shop', 'rack/shop']), ['a.test'], strange), REFUSED);
    });
  }

  it('whoever serves segments asks the same', () => {
    const hosts = ['db.shop.test'];
    for (const [permitting, from] of [
      [group(['shop']), origin],
      [group([]), origin],
      [group(['shop'], ['a.test']), origin],
      [group([]), ''],
    ] as const) {
      const isPermitted = codeOf(permitting, hosts, from) === 'ok';
      assert.equal(isSegmentPermitted(permitting, { hosts, origin: from }), isPermitted);
    }
  });

  it('an origin tells the object it was made of', () => {
    assert.deepEqual(connectorOwnerOf(origin), { cluster: 'rack', namespace: 'shop', name: 'db' });
    assert.equal(connectorOwnerOf(''), undefined);
  });
});
