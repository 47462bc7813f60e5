import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { MemoryWrapper } from '../../../test/support/sealing.ts';
import { systemRandom } from '../../base/random.ts';
import { fail, ok } from '../../base/result.ts';
import { sealBox } from '../box.ts';
import { openSecret, type SealedSecret, type SecretTools, sealSecret } from './secret.ts';

const PLACE = 'vendor key of edge';
const SECRET = Buffer.from('a provisioning key');

/** A wrapping key that takes no notice of the context, as a Vault that is too old does. */
const blind: SecretTools['wrapper'] = {
  wrap: async (secret) => ok({ wrappingKeyId: '1', ciphertext: Uint8Array.from(secret) }),
  unwrap: async ({ ciphertext }) => ok(Uint8Array.from(ciphertext)),
};

function tools(extra: Partial<SecretTools> = {}): SecretTools {
  return { trustDomain: 'example.org', wrapper: blind, random: systemRandom, ...extra };
}

const sealed = async (of = tools()): Promise<SealedSecret> =>
  assertValue(await sealSecret(SECRET, PLACE, of));

describe('a sealed secret', () => {
  test('opens as what it was, empty and long ones too', async () => {
    const real = tools({ wrapper: new MemoryWrapper() });
    for (const secret of [SECRET, Buffer.alloc(0), Buffer.alloc(100_000, 7)]) {
      const one = assertValue(await sealSecret(secret, PLACE, real));
      assert.deepEqual(Buffer.from(assertValue(await openSecret(one, PLACE, real))), secret);
      assert.ok(secret.length === 0 || !Buffer.from(one.box).includes(secret));
    }
  });

  test('opens in its place where its box was sealed before boxes knew their trust domain', async () => {
    const { wrapped } = await sealed();
    const associatedData = Buffer.from(`signet-sealed-secret-1\n${PLACE}\n`);
    const box = sealBox({ key: wrapped.ciphertext, associatedData }, SECRET, systemRandom);
    const before = { wrapped, box };
    assert.deepEqual(Buffer.from(assertValue(await openSecret(before, PLACE, tools()))), SECRET);
    assertRefused(await openSecret(before, `${PLACE}2`, tools()), 'KEY_SEAL_BROKEN');
  });

  test('is never the same twice', async () => {
    const [one, two] = [await sealed(), await sealed()];
    assert.notDeepEqual(one.box.subarray(0, 12), two.box.subarray(0, 12), 'nonces');
    assert.notDeepEqual(one.wrapped.ciphertext, two.wrapped.ciphertext);
  });

  const elsewhere: readonly (readonly [string, string, string])[] = [
    ['of another place', `${PLACE}2`, 'example.org'],
    ['of a place that begins so', PLACE.slice(0, -1), 'example.org'],
    ['of a place that goes on in another line', `${PLACE}\n`, 'example.org'],
    ['of no place', '', 'example.org'],
    ['of another trust domain', PLACE, 'other.example'],
    ['of a trust domain that begins so', PLACE, 'example.or'],
  ];
  for (const [name, place, trustDomain] of elsewhere) {
    test(`${name} does not open, whether or not the wrapping key notices`, async () => {
      for (const wrapper of [blind, new MemoryWrapper()]) {
        const one = await sealed(tools({ wrapper }));
        const opened = await openSecret(one, place, tools({ wrapper, trustDomain }));
        assertRefused(opened, 'KEY_SEAL_BROKEN');
      }
    });
  }

  test('does not open with any octet of its box changed, with one less, one more, or none', async () => {
    const { wrapped, box } = await sealed();
    const changed = [...box.keys()].map((at) => {
      const copy = Uint8Array.from(box);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    });
    const shorter = [0, 1, 11, 12, 13, 27, 28, box.length - 1].map((end) => box.subarray(0, end));
    const longer = Buffer.concat([box, Buffer.of(0)]);
    for (const hostile of [...changed, ...shorter, box.subarray(1), longer]) {
      const opened = await openSecret({ wrapped, box: hostile }, PLACE, tools());
      assertRefused(opened, 'KEY_SEAL_BROKEN');
    }
  });

  test('does not open with a tag cut short, where there is nothing else to tell by', async () => {
    const empty = assertValue(await sealSecret(Buffer.alloc(0), PLACE, tools()));
    for (let tag = 0; tag < 16; tag++) {
      const box = empty.box.subarray(0, 12 + tag);
      assertRefused(await openSecret({ ...empty, box }, PLACE, tools()), 'KEY_SEAL_BROKEN');
    }
  });

  test('does not open with the data key of another, nor with one that is none', async () => {
    const [one, two] = [await sealed(), await sealed()];
    const keys = [two.wrapped.ciphertext, Buffer.alloc(32), Buffer.alloc(31), Buffer.alloc(0)];
    for (const ciphertext of keys) {
      const mixed = { wrapped: { ...one.wrapped, ciphertext }, box: one.box };
      assertRefused(await openSecret(mixed, PLACE, tools()), 'KEY_SEAL_BROKEN');
    }
  });

  test('is refused as the key manager refuses', async () => {
    const wrapper = new MemoryWrapper();
    const real = tools({ wrapper });
    const one = await sealed(real);
    wrapper.refuse = () => fail('KEY_MANAGER_UNREACHABLE', 'away');
    assertRefused(await sealSecret(SECRET, PLACE, real), 'KEY_MANAGER_UNREACHABLE');
    assertRefused(await openSecret(one, PLACE, real), 'KEY_MANAGER_UNREACHABLE');
  });

  test('leaves its data key nowhere: sealing and opening wipe it, refused or not', async () => {
    const seen: Uint8Array[] = [];
    const wrapper: SecretTools['wrapper'] = {
      async wrap(secret, context) {
        seen.push(secret);
        return blind.wrap(secret, context);
      },
      async unwrap(wrapped, context) {
        const key = await blind.unwrap(wrapped, context);
        if (key.ok) seen.push(key.value);
        return key;
      },
    };
    const one = await sealed(tools({ wrapper }));
    assertValue(await openSecret(one, PLACE, tools({ wrapper })));
    assertRefused(await openSecret(one, 'other', tools({ wrapper })), 'KEY_SEAL_BROKEN');
    assert.equal(seen.length, 3);
    for (const key of seen) assert.ok(key.length === 32 && key.every((octet) => octet === 0));
  });
});
