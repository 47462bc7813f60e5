import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CLUSTER } from '../../../test/support/kube-rules.ts';
import { unwrap } from '../../base/result.ts';
import { parseTemplate } from '../../rules/template/template.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import { findAllowance } from './allowance.ts';
import type { Allowance } from './issuer-object.ts';

const CA = { kind: 'SignetIssuer', namespace: 'shop', name: 'ca' } as const;
const EDGE = { kind: 'SignetClusterIssuer', namespace: '', name: 'edge' } as const;
const GATE = unwrap(parseSpiffeId('spiffe://example.org/tenant/shop/gate'));

function at(namespace = 'shop') {
  return { namespace, standing: { labels: {}, prefixes: ['/tenant/shop'] }, cluster: CLUSTER };
}

function allowance(dnsNames: readonly string[], pathPrefix = '/tenant/shop'): Allowance {
  return {
    namespaceSelector: [],
    pathPrefix: unwrap(parseTemplate(pathPrefix)),
    dnsNames: dnsNames.map((text) => unwrap(parseTemplate(text))),
    ttlSeconds: 0,
  };
}

describe('what an issuer gives', () => {
  it('is rendered once for a namespace, however many names are asked for', () => {
    const plain = allowance(['*.{{ .PodMeta.Namespace }}.svc']);
    let reads = 0;
    const counted: Allowance = {
      ...plain,
      get dnsNames() {
        reads += 1;
        return plain.dnsNames;
      },
    };
    const dnsNames = Array.from({ length: 64 }, (_, index) => `a${index}.shop.svc`);
    for (let round = 0; round < 10; round++) {
      assert.ok(findAllowance(CA, [counted], { spiffeId: GATE, dnsNames }, at()).ok);
    }
    assert.equal(reads, 1);
    // What was rendered for one namespace is nothing to another.
    const wanted = { spiffeId: GATE, dnsNames: ['a.shop.svc'] };
    assert.ok(!findAllowance(EDGE, [counted], wanted, at('bank')).ok);
    assert.ok(findAllowance(EDGE, [counted], wanted, at()).ok);
  });

  it('is nothing where a template takes more than names and paths need', () => {
    const rounds = (count: number) => `{{ range ${count} }}{{ end }}`;
    const wanted = { spiffeId: GATE, dnsNames: ['web.shop.svc'] };
    const gives = (name: string, path: string) =>
      findAllowance(CA, [allowance([name], path)], wanted, at()).ok;
    assert.equal(gives(`${rounds(50)}web.shop.svc`, `${rounds(50)}/tenant/shop`), true);
    assert.equal(gives(`${rounds(1000)}web.shop.svc`, '/tenant/shop'), false);
    assert.equal(gives('web.shop.svc', `${rounds(1000)}/tenant/shop`), false);
  });

  const names: readonly (readonly [asked: string, given: string, covered: boolean])[] = [
    ['web.shop.svc', '*.shop.svc', true],
    ['WEB.shop.SVC', '*.SHOP.svc', true],
    ['web.shop.svc', '*', false],
    ['web.shop.svc', '*.svc', false],
    ['web.shop.svc', '', false],
    ['shop.svc', '*.shop.svc', false],
    ['*.shop.svc', '*.shop.svc', false],
    ['*.shop.svc', '*.shop.svc.', false],
    ['web.shop.svc.', '*.shop.svc', false],
    ['a.web.shop.svc', '*.shop.svc', false],
    ['a.web.shop.svc', '*.web.shop.svc', false],
    ['web.shop.svc.cluster.local', '*.shop.svc.cluster.local', true],
    ['web.shop.svc.other.local', '*.shop.svc.other.local', false],
    ['web.bank.svc', '*.bank.svc', false],
    ['.shop.svc', '*.shop.svc', false],
  ];
  for (const [asked, given, covered] of names) {
    it(`${covered ? 'covers' : 'does not cover'} ${asked} by ${given || 'nothing'} in shop`, () => {
      const wanted = { spiffeId: GATE, dnsNames: [asked] };
      assert.equal(findAllowance(CA, [allowance([given])], wanted, at()).ok, covered);
    });
  }
});
