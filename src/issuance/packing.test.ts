import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fail, ok, unwrap } from '../base/result.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { LeafOrder } from './leaf.ts';
import { packOrders, packOutcomes, unpackOrders, unpackOutcomes } from './packing.ts';

const bytes = (max: number) => fc.uint8Array({ maxLength: max });
const order: fc.Arbitrary<LeafOrder> = fc.record({
  source: fc.record({ kind: fc.constantFrom('csr' as const, 'spki' as const), der: bytes(3000) }),
  id: fc
    .stringMatching(/^(\/[a-zA-Z0-9_-]{1,20}){1,5}$/)
    .map((path) => unwrap(parseSpiffeId(`spiffe://example.org${path}`))),
  dnsNames: fc.array(fc.stringMatching(/^[a-z0-9.-]{1,60}$/), { maxLength: 20 }),
  serial: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  notBeforeSeconds: fc.integer({ min: 0, max: 2 ** 40 }),
  notAfterSeconds: fc.integer({ min: 0, max: 2 ** 40 }),
});
const plain = (orders: readonly LeafOrder[]) =>
  orders.map(({ source, serial, id, ...rest }) => ({
    ...rest,
    id: id.uri,
    kind: source.kind,
    der: Buffer.from(source.der).toString('hex'),
    serial: Buffer.from(serial).toString('hex'),
  }));

describe('messages of signing threads', () => {
  test('orders come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(order, { maxLength: 20 }), (orders) => {
        assert.deepEqual(plain(unpackOrders(packOrders(orders))), plain(orders));
      }),
    );
  });

  test('outcomes come out as they went in, refusals with code and message', () => {
    const outcome = fc.oneof(
      bytes(500).map((value) => ok<Uint8Array>(value)),
      fc.string({ unit: 'grapheme' }).map((text) => fail('SIGNATURE_INVALID', text)),
    );
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 20 }), (outcomes) => {
        const back = unpackOutcomes(packOutcomes(outcomes));
        assert.equal(back.length, outcomes.length);
        back.forEach((result, index) => {
          const sent = outcomes[index]!;
          if (result.ok && sent.ok) {
            assert.deepEqual(Buffer.from(result.value), Buffer.from(sent.value));
          } else if (!result.ok && !sent.ok) {
            assert.equal(result.error.code, sent.error.code);
            assert.equal(result.error.message, sent.error.message.toWellFormed());
          } else {
            assert.fail('a refusal became a value, or a value a refusal');
          }
        });
      }),
    );
  });

  test('an order that is cut off is refused by the thread, not guessed', () => {
    const whole = packOrders([fc.sample(order, { numRuns: 1, seed: 4 })[0]!]);
    for (let length = 1; length < whole.byteLength; length += 7) {
      assert.throws(() => unpackOrders(whole.slice(0, length)));
    }
  });
});
