import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Result, unwrap } from '../../src/base/result.ts';
import type { KeyManager } from '../../src/keys/key-manager.ts';
import type { KeyWrapper, WrapContext, WrappedSecret } from '../../src/keys/wrapper.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** What a secret of the suite is bound to. */
export const CONTEXT: WrapContext = {
  trustDomain: 'example.org',
  slot: 'JWT-Signer-A',
  keyId: 'aa',
};

/** A secret as sealed keys have them wrapped. */
export const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');

/** One backend under the suite. */
export interface WrapperBackend {
  readonly name: string;
  /** Opens the keys of an installation, new or as a restart would; `namespace` tells them apart. */
  open(namespace: string): Promise<Result<KeyManager>>;
  /**
   * Of a server of tests that, unlike the real one, looks at the middle of a ciphertext and not at its
   * key: what it cannot refuse is not asked of it.
   */
  readonly lax?: boolean;
}

/** The one suite that the wrapping keys of every key manager pass. */
export function testKeyWrapper(
  backend: WrapperBackend,
  options: { skip?: string | false } = {},
): void {
  const withWrapper = async (
    namespace: string,
    work: (wrapper: KeyWrapper, keys: KeyManager) => Promise<void>,
  ): Promise<void> => {
    const keys = unwrap(await backend.open(namespace));
    assert.ok(keys.wrapper);
    await work(keys.wrapper, keys);
    await keys.close();
  };
  const unwraps = async (wrapper: KeyWrapper, wrapped: WrappedSecret) =>
    assert.deepEqual(Buffer.from(unwrap(await wrapper.unwrap(wrapped, CONTEXT))), SECRET);

  describe(`wrapping by ${backend.name}`, options, () => {
    test('gives back what it wrapped, after a restart too, by the same key', async () => {
      let wrapped: WrappedSecret | undefined;
      await withWrapper('wrap-again', async (wrapper) => {
        assert.equal(unwrap(await wrapper.current()), undefined, 'made when it is needed');
        wrapped = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        assert.ok(!Buffer.from(wrapped.ciphertext).includes(SECRET));
        assert.match(wrapped.wrappingKeyId, /^[\x21-\x7e]+$/);
      });
      await withWrapper('wrap-again', async (wrapper, keys) => {
        await unwraps(wrapper, wrapped!);
        const again = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        assert.equal(again.wrappingKeyId, wrapped?.wrappingKeyId);
        assert.notDeepEqual(again.ciphertext, wrapped?.ciphertext);
        assert.deepEqual(keys.list(), [], 'it is no signing key');
        assert.equal(code(await keys.refresh()), 'ok');
      });
    });

    for (const [what, other] of [
      ['trust domain', { ...CONTEXT, trustDomain: 'other.example' }],
      ['slot', { ...CONTEXT, slot: 'JWT-Signer-B' }],
      ['key', { ...CONTEXT, keyId: 'ab' }],
    ] as const) {
      test(`refuses to unwrap for another ${what}`, () =>
        withWrapper('wrap-context', async (wrapper) => {
          const wrapped = unwrap(await wrapper.wrap(SECRET, CONTEXT));
          assert.equal(code(await wrapper.unwrap(wrapped, other)), 'KEY_SEAL_BROKEN');
        }));
    }

    test('refuses text that was changed at its start, in the middle, at its end, or cut', () =>
      withWrapper('wrap-changed', async (wrapper) => {
        const wrapped = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        const { length } = wrapped.ciphertext;
        for (const at of backend.lax ? [length >> 1] : [0, length >> 1, length - 1]) {
          const ciphertext = Uint8Array.from(wrapped.ciphertext);
          ciphertext[at]! ^= 1;
          const changed = await wrapper.unwrap({ ...wrapped, ciphertext }, CONTEXT);
          assert.equal(code(changed), 'KEY_SEAL_BROKEN', `at ${at} of ${length}`);
        }
        for (const kept of backend.lax ? [1, 40] : [1, 40, length - 4]) {
          const ciphertext = wrapped.ciphertext.slice(0, kept);
          const cut = await wrapper.unwrap({ ...wrapped, ciphertext }, CONTEXT);
          assert.equal(code(cut), 'KEY_SEAL_BROKEN', `${kept} bytes kept`);
        }
      }));

    test('a key that was replaced still unwraps, another wraps from then on', () =>
      withWrapper('wrap-rotate', async (wrapper) => {
        const before = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        const made = unwrap(await wrapper.current());
        unwrap(await wrapper.rotate());
        const after = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        assert.notEqual(after.wrappingKeyId, before.wrappingKeyId);
        const current = unwrap(await wrapper.current());
        assert.equal(current?.id, after.wrappingKeyId);
        assert.ok(current!.createdMs >= made!.createdMs);
        await unwraps(wrapper, before);
        await unwraps(wrapper, after);
      }));

    if (backend.lax === true) return;

    test('what one key wrapped is not unwrapped as that of another', () =>
      withWrapper('wrap-named', async (wrapper) => {
        const before = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        unwrap(await wrapper.rotate());
        const { wrappingKeyId } = unwrap(await wrapper.wrap(SECRET, CONTEXT));
        const unwrapped = await wrapper.unwrap({ ...before, wrappingKeyId }, CONTEXT);
        assert.equal(code(unwrapped), 'KEY_SEAL_BROKEN');
      }));

    test('the wrapping key of another installation does not unwrap', () =>
      withWrapper('wrap-ours', (ours) =>
        withWrapper('wrap-theirs', async (theirs) => {
          unwrap(await ours.wrap(SECRET, CONTEXT));
          const wrapped = unwrap(await theirs.wrap(SECRET, CONTEXT));
          const { wrappingKeyId } = unwrap(await ours.wrap(SECRET, CONTEXT));
          const unwrapped = await ours.unwrap({ ...wrapped, wrappingKeyId }, CONTEXT);
          assert.equal(code(unwrapped), 'KEY_SEAL_BROKEN');
        }),
      ));
  });
}
