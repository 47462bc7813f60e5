import { join } from 'node:path';
import { ok, type Result } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import { createMovedKeys, type MovedKeys } from '../keys/moved-keys.ts';
import { openKeyManager } from '../keys/open.ts';
import { openSealedKeys, type SealedKeys } from '../keys/sealed/sealed-keys.ts';
import type { KeyWrapper } from '../keys/wrapper.ts';
import type { Store } from '../store/store.ts';
import { protectionOf } from './protection.ts';
import type { ServerBase } from './server.ts';

/** The keys of a running server. */
export interface ServerKeys {
  /** Of X.509 authorities. */
  readonly x509: KeyManager;
  /** Of JWT authorities: in the key manager, or sealed by its wrapping key in the store, or moving. */
  readonly jwt: KeyManager | MovedKeys;
  /** Sealed keys that all servers share; undefined where the key manager seals none. */
  readonly sealed: SealedKeys | undefined;
  /** What seals; undefined likewise. */
  readonly wrapper: KeyWrapper | undefined;
}

/** Opens the key manager, and the sealed keys of the store where it can. */
export async function openServerKeys(
  base: ServerBase,
  { store, directory }: { readonly store: Store; readonly directory: string },
): Promise<Result<ServerKeys>> {
  const keys = await openKeys(base, directory);
  if (!keys.ok) return keys;
  const x509 = keys.value;
  const { wrapper } = x509;
  if (wrapper === undefined) return ok({ x509, jwt: x509, sealed: undefined, wrapper });
  const opened = await openSealed(base, wrapper, store);
  if (!opened.ok) return opened;
  const sealed = opened.value;
  const isSealed = protectionOf(base.config).jwt === 'sealed';
  const [current, former] = isSealed ? [sealed, x509] : [x509, sealed];
  return ok({ x509, jwt: createMovedKeys({ current, former, log: base.log }), sealed, wrapper });
}

async function openKeys(base: ServerBase, directory: string): Promise<Result<KeyManager>> {
  const { config, life, clock, random, log, metrics } = base;
  const keys = await openKeyManager(config.keys, {
    trustDomain: config.trustDomain.name,
    directory: join(directory, 'keys'),
    clock,
    random,
    log,
    metrics,
  });
  if (!keys.ok) return keys;
  life.add('keys', () => keys.value.close());
  metrics.reading(
    'key_manager_faulty',
    '1 while a key is disabled, deleted or moved, or cannot be looked at.',
    () => (keys.value.standing().ok ? 0 : 1),
  );
  return keys;
}

async function openSealed(
  { config, clock, random, log, life, metrics }: ServerBase,
  wrapper: KeyWrapper,
  store: Store,
): Promise<Result<SealedKeys>> {
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
