import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PKCS11 } from 'pkcs11js';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { KEY_TYPES } from '../../src/keys/key-manager.ts';
import {
  openPkcs11KeyManager,
  type Pkcs11Options,
} from '../../src/keys/pkcs11/pkcs11-key-manager.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { type KeyFault, testKeyManager } from '../support/key-manager-suite.ts';
import { CONTEXT, SECRET, testKeyWrapper } from '../support/key-wrapper-suite.ts';
import { mint, mintJwt, verifiesJwt } from '../support/minting.ts';
import { TestServer } from '../support/server.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { makeToken, prepareSoftHsm, type SoftToken } from './softhsm.ts';

const missing = await prepareSoftHsm();
const suite = missing === undefined ? {} : skipUnlessCi(missing);
// Only now: before, it may not be compiled.
const pkcs11js = missing === undefined ? (await import('pkcs11js')).default : undefined;

const [CKA_CLASS, CKA_LABEL, CKA_SIGN, CKO_PRIVATE_KEY] = [0x0, 0x3, 0x108, 3];

let token: SoftToken;
/** The test's own hand on the token, as an operator's tool would be. */
let library: PKCS11;
let session: Buffer;

before(async () => {
  if (missing !== undefined) return;
  token = await makeToken();
});
after(() => {
  if (token !== undefined) rmSync(dirname(token.tokens), { recursive: true, force: true });
});

function openHand(): void {
  if (library !== undefined) return;
  library = new pkcs11js!.PKCS11();
  library.load(token.module);
  const slot = library
    .C_GetSlotList(true)
    .find((each) => library.C_GetTokenInfo(each).label.trimEnd() === token.label);
  session = library.C_OpenSession(slot!, 0x6);
}

function privateKeys(slot: string): readonly Buffer[] {
  openHand();
  library.C_FindObjectsInit(session, [
    { type: CKA_CLASS, value: CKO_PRIVATE_KEY },
    { type: CKA_LABEL, value: `signet:example.org:${slot}` },
  ]);
  const found = library.C_FindObjects(session, 100);
  library.C_FindObjectsFinal(session);
  return found;
}

function options(extra: Partial<Pkcs11Options> = {}): Pkcs11Options {
  return {
    place: { module: token.module, tokenLabel: token.label, pin: token.pin },
    threads: 2,
    owner: { namespace: 'signet', trustDomain: 'example.org' },
    pace: { perSecond: 5000, burst: 5000, inFlight: 64, timeoutMs: 20_000, deadlineMs: 60_000 },
    refreshMs: 3_600_000,
    sweepAfterMs: 0,
    clock: systemClock,
    random: systemRandom,
    log: createLogger({ level: 'silent' }),
    metrics: createMetrics('test'),
    ...extra,
  };
}

const set = (slot: string, type: number, value: boolean | string): void => {
  for (const key of privateKeys(slot)) {
    library.C_SetAttributeValue(session, key, [{ type, value }]);
  }
};

const FAULTS: readonly KeyFault[] = [
  {
    name: 'a key disabled',
    code: 'KEY_DISABLED',
    begin: async (slot) => {
      set(slot, CKA_SIGN, false);
      return async () => set(slot, CKA_SIGN, true);
    },
  },
  {
    name: 'a key deleted',
    code: 'KEY_DELETED',
    begin: async (slot) => {
      for (const key of privateKeys(slot)) library.C_DestroyObject(session, key);
      return undefined;
    },
  },
  {
    name: 'a name moved to another key',
    shows: 'refresh',
    code: 'KEY_ALIAS_MOVED',
    begin: async (slot) => {
      set(slot, CKA_LABEL, 'moved');
      const moved = () => {
        library.C_FindObjectsInit(session, [
          { type: CKA_CLASS, value: CKO_PRIVATE_KEY },
          { type: CKA_LABEL, value: 'moved' },
        ]);
        const found = library.C_FindObjects(session, 10);
        library.C_FindObjectsFinal(session);
        return found;
      };
      return async () => {
        const value = `signet:example.org:${slot}`;
        for (const key of moved()) {
          library.C_SetAttributeValue(session, key, [{ type: CKA_LABEL, value }]);
        }
      };
    },
  },
  {
    name: 'permission lost',
    code: 'KEY_PERMISSION',
    begin: async () => {
      openHand();
      library.C_Logout(session);
      return async () => library.C_Login(session, 1, token.pin);
    },
  },
];

testKeyManager(
  {
    name: 'pkcs11',
    capabilities: { persistent: true, inProcess: false, anyHash: true, keyTypes: KEY_TYPES },
    open: () => openPkcs11KeyManager(options()),
    faults: FAULTS,
    lacks: {
      throttled: 'an HSM has no quota',
      slow: 'SoftHSM cannot be made slow; paced-calls.test.ts tries the time limit',
      down: 'SoftHSM is a library in this process; pkcs11-faults.test.ts tries its numbers',
      "another key's signature": 'handles are not used again; outside-key.test.ts tries it',
    },
  },
  suite,
);

/** Keys of an installation of its own. */
const openOf = (namespace: string) =>
  openPkcs11KeyManager(options({ owner: { namespace, trustDomain: 'example.org' } }));

testKeyWrapper({ name: 'a PKCS#11 token', open: openOf }, suite);

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

describe('wrapping by a PKCS#11 token', suite, () => {
  test('asks for no key of the token that is not ours, whatever the store names', async () => {
    const ours = unwrap(await openOf('wrap-mine'));
    const theirs = unwrap(await openOf('wrap-alien'));
    const wrapped = unwrap(await theirs.wrapper!.wrap(SECRET, CONTEXT));
    assert.equal(code(await ours.wrapper!.unwrap(wrapped, CONTEXT)), 'KEY_DELETED');
    const unnamed = { ...wrapped, wrappingKeyId: '../../x' };
    assert.equal(code(await ours.wrapper!.unwrap(unnamed, CONTEXT)), 'KEY_SEAL_BROKEN');
    await ours.close();
    await theirs.close();
  });

  test('its key never leaves the token', async () => {
    const keys = unwrap(await openOf('wrap-stays'));
    unwrap(await keys.wrapper!.wrap(SECRET, CONTEXT));
    openHand();
    const [CKO_SECRET_KEY, CKA_VALUE] = [4, 0x11];
    library.C_FindObjectsInit(session, [
      { type: CKA_CLASS, value: CKO_SECRET_KEY },
      { type: CKA_LABEL, value: 'wrap-stays:example.org:Wrapping' },
    ]);
    const [key, ...others] = library.C_FindObjects(session, 10);
    library.C_FindObjectsFinal(session);
    assert.equal(others.length, 0);
    assert.throws(() => library.C_GetAttributeValue(session, key!, [{ type: CKA_VALUE }]));
    await keys.close();
  });
});

describe('keys in a PKCS#11 token', suite, () => {
  const at = (place: Partial<Pkcs11Options['place']>) =>
    openPkcs11KeyManager(options({ place: { ...options().place, ...place } }));

  test('are refused with what is wrong: no library, no such token', async () => {
    assert.equal(code(await at({ module: '/nonexistent.so' })), 'KEY_MANAGER_MODULE');
    assert.equal(code(await at({ tokenLabel: 'other' })), 'KEY_MANAGER_MODULE');
  });

  test('never leave the token', async () => {
    const manager = unwrap(await openPkcs11KeyManager(options()));
    unwrap(await manager.generate('slot-stays', 'ec-p256'));
    const [CKA_VALUE, CKA_EXTRACTABLE] = [0x11, 0x162];
    const [key] = privateKeys('slot-stays');
    const [extractable] = library.C_GetAttributeValue(session, key!, [{ type: CKA_EXTRACTABLE }]);
    assert.deepEqual([...Buffer.from(extractable!.value)], [0]);
    assert.throws(() => library.C_GetAttributeValue(session, key!, [{ type: CKA_VALUE }]));
    await manager.close();
  });

  test('carry a server, which finds them again after a restart', async () => {
    process.env.SIGNET_PKCS11_PIN = token.pin;
    const { module, label: tokenLabel } = token;
    const server = await TestServer.start({
      keys: { manager: 'pkcs11', pkcs11: { module, tokenLabel } },
    });
    const bundle = await server.bundlePem();
    await server.attest();
    const svid = await mintJwt(server);
    await server.restart();
    assert.equal(await server.bundlePem(), bundle);
    assert.equal(privateKeys('x509-CA-A').length, 1);
    assert.equal(privateKeys('JWT-Signer-A').length, 0, 'JWT keys are sealed');
    assert.ok(await verifiesJwt(server, svid));
    assert.equal((await mint(server)).length, 2, 'an issuing CA signs');
    await server.stop();
    delete process.env.SIGNET_PKCS11_PIN;
  });
});
