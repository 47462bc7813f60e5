import { fail, ok, type Result } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import { openSealedKeys } from '../keys/sealed/sealed-keys.ts';
import type { Store } from '../store/store.ts';
import { protectionOf } from './protection.ts';
import type { ServerBase } from './server.ts';

/** Where JWT keys are: in the key manager, or sealed by its wrapping key in the store. */
export async function openJwtKeys(
  base: ServerBase,
  keys: KeyManager,
  store: Store,
): Promise<Result<KeyManager>> {
  const { config, clock, random, log, life, metrics } = base;
  if (protectionOf(config).jwt === 'direct') return ok(keys);
  const { wrapper } = keys;
  if (wrapper === undefined) {
    return fail(
      'KEY_MANAGER_SETTINGS',
      `jwt.protection: keys.manager ${keys.name} has no key to seal with; set it to direct`,
    );
  }
  const sealed = await openSealedKeys({
    trustDomain: config.trustDomain.name,
    wrapper,
    store,
    clock,
    random,
    log,
    rotateAfterMs: config.keys.rotateWrappingKeyAfter * 1000,
  });
  if (!sealed.ok) return sealed;
  life.add('sealed keys', () => sealed.value.close());
  metrics.reading(
    'sealed_keys_faulty',
    '1 while a sealed key of the store cannot be opened.',
    () => (sealed.value.standing().ok ? 0 : 1),
  );
  return sealed;
}
