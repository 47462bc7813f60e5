import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { agentRecord, id } from '../../test/support/state.ts';
import { ASSURANCE_BINDINGS, type AssuranceBinding } from './assurance.ts';
import { formatStanding, NO_ZONES, type NodeStanding, standingOf, unmetDemand } from './zones.ts';

const node = (extra: Partial<NodeStanding> = {}): NodeStanding => ({
  method: 'dpu',
  binding: 'dual',
  zone: 1,
  release: undefined,
  ...extra,
});
const rule = (path: string, extra: object = {}) => ({ path, mint: false, ...extra });
const lacks = (path: string, standing: NodeStanding, ...rules: ReturnType<typeof rule>[]) =>
  unmetDemand(id(path), standing, { rules, nodes: [] }) !== undefined;

describe('a zone rule', () => {
  it('holds at its path and below, on whole segments', () => {
    const demand = rule('/a/b', { zones: [0] });
    for (const [path, held] of [
      ['/a/b', true],
      ['/a/b/c', true],
      ['/a/bc', false],
      ['/a', false],
      ['/x/a/b', false],
    ] as const) {
      assert.equal(lacks(path, node(), demand), held, path);
    }
    assert.ok(lacks('/x', node(), rule('/', { zones: [0] })));
  });

  it('has to be met with every other one that fits', () => {
    const rules = [rule('/', { assurance: 'key' }), rule('/a', { zones: [1] })];
    assert.ok(!lacks('/a', node(), ...rules));
    assert.ok(lacks('/a', node({ zone: 2 }), ...rules));
    assert.ok(lacks('/a', node({ binding: 'bearer' }), ...rules));
    assert.ok(lacks('/b', node({ binding: 'bearer' }), ...rules));
  });

  it('is not met by what is not known', () => {
    assert.ok(lacks('/a', node({ zone: undefined }), rule('/a', { zones: [0, 1, 2] })));
    assert.ok(lacks('/a', node({ binding: undefined }), rule('/a', { assurance: 'bearer' })));
    assert.ok(lacks('/a', node({ method: 'join_token' }), rule('/a', { methods: ['dpu'] })));
    assert.ok(!lacks('/a', node({ zone: undefined, binding: undefined }), rule('/a')));
  });

  it('orders bindings as they are listed', () => {
    const bindings = fc.constantFrom<AssuranceBinding>(...ASSURANCE_BINDINGS);
    fc.assert(
      fc.property(bindings, bindings, (has, wants) => {
        const short = ASSURANCE_BINDINGS.indexOf(has) < ASSURANCE_BINDINGS.indexOf(wants);
        assert.equal(lacks('/a', node({ binding: has }), rule('/a', { assurance: wants })), short);
      }),
    );
  });
});

describe('how a node stands', () => {
  const assurance = {
    method: 'dpu',
    binding: 'dual',
    zone: 0,
    release: 'r1',
    atSeconds: 1,
  } as const;
  const agent = agentRecord('k8s_psat/east/1', { attestationType: 'dpu', assurance });

  it('is by its DPU today, not by what was so when it attested', () => {
    assert.equal(standingOf(agent, { zone: 2, state: 'trusted' }, NO_ZONES).zone, 2);
    assert.equal(
      standingOf(agent, { zone: undefined, state: 'trusted' }, NO_ZONES).zone,
      undefined,
    );
    assert.equal(standingOf(agent, undefined, NO_ZONES).zone, 0);
    const nodes = [{ path: '/spire/agent/k8s_psat/east', zone: 1 }];
    assert.equal(standingOf(agent, undefined, { rules: [], nodes }).zone, 1);
    assert.equal(standingOf(agent, { zone: 2, state: 'trusted' }, { rules: [], nodes }).zone, 2);
  });

  it('is worth no more than a key while the DPU is degraded, and no more than it was', () => {
    assert.equal(standingOf(agent, { zone: 0, state: 'degraded' }, NO_ZONES).binding, 'key');
    const bearer = { ...agent, assurance: { ...assurance, binding: 'bearer' as const } };
    assert.equal(standingOf(bearer, { zone: 0, state: 'degraded' }, NO_ZONES).binding, 'bearer');
    const unknown = agentRecord('x');
    assert.equal(standingOf(unknown, { zone: 0, state: 'degraded' }, NO_ZONES).binding, undefined);
  });

  it('is one line for the ledger', () => {
    const standing = standingOf(agent, { zone: 0, state: 'trusted' }, NO_ZONES);
    assert.equal(formatStanding(standing), 'method=dpu binding=dual zone=0 release=r1');
    const plain = { method: 'join_token', binding: undefined, zone: undefined, release: '' };
    assert.equal(formatStanding(plain), 'method=join_token');
  });
});
