import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cidrContains, formatCidr, parseAddress, parseCidr } from './address.ts';
import { formatHostPattern, isHostWithin, parseHostPattern } from './host.ts';

const v6 = fc.ipV6();
const v4 = fc.ipV4();

describe('addresses', () => {
  it('every address has one text, which reads as the same', () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), (text) => {
        const cidr = parseCidr(text);
        assert.ok(cidr !== undefined);
        const again = formatCidr(cidr);
        assert.deepEqual(parseCidr(again), cidr);
        assert.equal(formatCidr({ ...cidr }), again);
      }),
    );
  });

  it('what lies in a block is what the block list of the platform says', () => {
    const sample = fc.tuple(v6, fc.integer({ min: 96, max: 128 }), fc.bigInt(0n, 0xffffffffn));
    fc.assert(
      fc.property(sample, ([text, prefix, low]) => {
        const address = parseAddress(text);
        if (address?.family !== 6) return;
        const below = BigInt(128 - prefix);
        const block = { family: 6, bits: (address.bits >> below) << below, prefix } as const;
        const near = { family: 6, bits: ((address.bits >> 32n) << 32n) | low } as const;
        const list = new BlockList();
        list.addSubnet(formatCidr({ ...block, prefix: 128 }), prefix, 'ipv6');
        const expected = list.check(formatCidr({ ...near, prefix: 128 }), 'ipv6');
        assert.equal(cidrContains(block, near), expected);
      }),
    );
  });

  it('an IPv4 address in IPv6 form is the IPv4 address', () => {
    assert.deepEqual(parseAddress('::ffff:10.0.0.1'), parseAddress('10.0.0.1'));
    assert.equal(parseCidr('::ffff:10.0.0.0/104'), undefined);
  });

  for (const text of [
    ...['10.0.0.1/8', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/8/8'],
    ...['::/129', '::1/127', 'fe80::1%lo', '[::1]', '10.0.0', '256.0.0.1', '010.0.0.1', ''],
  ]) {
    it(`${JSON.stringify(text)} is no block`, () => assert.equal(parseCidr(text), undefined));
  }
});

describe('hosts of segments', () => {
  const label63 = 'a'.repeat(63);
  const name253 = `${[label63, label63, label63].join('.')}.${'b'.repeat(61)}`;
  const good = [
    ['DB.Example.ORG.', 'db.example.org'],
    ['*.Example.org', '*.example.org'],
    ['localhost', 'localhost'],
    ['_pg._tcp.example.org', '_pg._tcp.example.org'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.0.0.1/32', '10.0.0.1'],
    ['2001:DB8:0::/32', '2001:db8::/32'],
    ['2001:db8:0:0:0:0:0:1/128', '2001:db8::1'],
    [name253, name253],
  ] as const;
  for (const [text, canonical] of good) {
    it(`${text.slice(0, 40)} is written ${canonical.slice(0, 40)}`, () => {
      const pattern = parseHostPattern(text);
      assert.ok(pattern !== undefined);
      assert.equal(formatHostPattern(pattern), canonical);
    });
  }

  for (const text of [
    ...['', '.', '*', '*.', '*.org', '**.example.org', 'a.*.example.org', '*example.org'],
    ...['a..b', '-a.example.org', 'a-.example.org', `${label63}a.org`, `a${name253}`],
    ...['exämple.org', 'a b.org', 'a.org\0', '1.2.3', 'host.1', '0x7f', 'host.0x1f', 'http://a'],
  ]) {
    it(`${JSON.stringify(text.slice(0, 40))} is no host`, () =>
      assert.equal(parseHostPattern(text), undefined));
  }

  it('a host lies within what everything that it fits lies within', () => {
    assert.ok(isHostWithin('a.b.x.test', ['*.x.test']));
    assert.ok(isHostWithin('*.b.x.test', ['*.x.test']));
    assert.ok(isHostWithin('*.x.test', ['*.x.test']));
    assert.ok(isHostWithin('10.1.0.0/16', ['192.0.2.0/24', '10.0.0.0/8']));
    assert.ok(!isHostWithin('*.x.test', ['*.b.x.test']));
    assert.ok(!isHostWithin('x.test', ['*.x.test']));
    assert.ok(!isHostWithin('ax.test', ['*.x.test']));
    assert.ok(!isHostWithin('*.x.test', ['a.x.test']));
    assert.ok(!isHostWithin('10.0.0.0/8', ['10.1.0.0/16']));
    assert.ok(!isHostWithin('10.0.0.1', ['::/0']));
    assert.ok(!isHostWithin('a.x.test', []));
    assert.ok(!isHostWithin('nonsense..', ['*.x.test']));
  });
});
