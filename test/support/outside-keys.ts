import { ok, type Result } from '../../src/base/result.ts';
import type { KeyManager, SigningKey } from '../../src/keys/key-manager.ts';
import { createMemoryKeyManager } from '../../src/keys/memory-key-manager.ts';
import { createOutsideKey } from '../../src/keys/outside/outside-key.ts';

/** What a device does with one call to sign. */
export type Device = (
  sign: SigningKey['sign'],
  ...args: Parameters<SigningKey['sign']>
) => Promise<Result<Uint8Array>>;

/** Keys that never leave their manager, as those of a KMS; `device` may misbehave. */
export function outsideKeys(device: { act: Device }): KeyManager {
  const inner = createMemoryKeyManager();
  const hide = (key: SigningKey): SigningKey =>
    createOutsideKey({
      slot: key.slot,
      type: key.type,
      publicKeySpki: key.publicKeySpki,
      ecdsaForm: 'der',
      signDigest: ({ message, options }) =>
        device.act(key.sign.bind(key), message, { ...options, encoding: 'der' }),
    });
  const hidden = new Map<string, SigningKey>();
  return {
    ...inner,
    async generate(slot, type) {
      const made = await inner.generate(slot, type);
      if (made.ok) hidden.set(slot, hide(made.value));
      return made.ok ? ok(hidden.get(slot)!) : made;
    },
    get: (slot) => hidden.get(slot),
    list: () => [...hidden.values()],
  };
}
