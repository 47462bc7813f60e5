import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  type KMSClient,
  ListKeysCommand,
  ScheduleKeyDeletionCommand,
  type Tag,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { type KmsOptions, openKmsKeyManager } from '../../src/keys/aws-kms/kms-key-manager.ts';
import { KEY_TYPES, type KeyManager, type SigningKey } from '../../src/keys/key-manager.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { type KeyFault, testKeyManager } from '../support/key-manager-suite.ts';
import type { KmsFault, KmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { KMS_CREDENTIALS, type KmsRig, prepareKms, startKmsRig } from './kms-server.ts';

const missing = await prepareKms();
const suite = missing === undefined ? {} : skipUnlessCi(missing);

let rig: KmsRig;
let proxy: KmsFaultProxy;
let admin: KMSClient;

before(async () => {
  if (missing !== undefined) return;
  rig = await startKmsRig();
  ({ proxy, admin } = rig);
});
after(() => rig?.stop());

/** What the manager is opened with; time limits are short, so that "never" does not take long. */
function options(extra: Partial<KmsOptions> = {}): KmsOptions {
  return {
    owner: { namespace: 'signet', trustDomain: 'example.org' },
    region: 'eu-west-1',
    endpoint: proxy.url,
    credentials: KMS_CREDENTIALS,
    pace: { perSecond: 5000, burst: 5000, inFlight: 64, timeoutMs: 5000, deadlineMs: 20_000 },
    refreshMs: 3_600_000,
    sweepAfterMs: 0,
    clock: systemClock,
    random: systemRandom,
    log: createLogger({ level: 'silent' }),
    metrics: createMetrics('test'),
    ...extra,
  };
}

const HASTY = { perSecond: 5000, burst: 5000, inFlight: 64, timeoutMs: 1400, deadlineMs: 1500 };

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const aliasOf = (slot: string) => `alias/signet/example_org/${slot}`;
const sign = (key: SigningKey) =>
  key.sign(Buffer.from('to be signed'), { hash: 'sha256', encoding: 'der' });

async function keyIdOf(slot: string): Promise<string> {
  const { KeyMetadata } = await admin.send(new DescribeKeyCommand({ KeyId: aliasOf(slot) }));
  return KeyMetadata?.KeyId ?? '';
}

async function stateOf(keyId: string): Promise<string | undefined> {
  return (await admin.send(new DescribeKeyCommand({ KeyId: keyId }))).KeyMetadata?.KeyState;
}

async function strangersKey(tags: readonly Tag[] = []): Promise<string> {
  const { KeyMetadata } = await admin.send(
    new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY', Tags: [...tags] }),
  );
  return KeyMetadata?.KeyId ?? '';
}

/** A fault that the proxy makes of every call of one kind. */
function atProxy(operation: string, fault: KmsFault): KeyFault['begin'] {
  return async () => {
    proxy.decide = (seen) => (seen === operation ? fault : undefined);
    return async () => {
      proxy.decide = () => undefined;
    };
  };
}

const disabled: KeyFault['begin'] = async (slot) => {
  const KeyId = await keyIdOf(slot);
  await admin.send(new DisableKeyCommand({ KeyId }));
  return async () => void (await admin.send(new EnableKeyCommand({ KeyId })));
};

const deleted: KeyFault['begin'] = async (slot) => {
  const KeyId = await keyIdOf(slot);
  await admin.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  return async () => {
    await admin.send(new CancelKeyDeletionCommand({ KeyId }));
    await admin.send(new EnableKeyCommand({ KeyId }));
  };
};

const aliasMoved: KeyFault['begin'] = async (slot) => {
  const AliasName = aliasOf(slot);
  const own = await keyIdOf(slot);
  await admin.send(new UpdateAliasCommand({ AliasName, TargetKeyId: await strangersKey() }));
  return async () =>
    void (await admin.send(new UpdateAliasCommand({ AliasName, TargetKeyId: own })));
};

const anotherKeys: KeyFault['begin'] = async (slot, key) =>
  atProxy('Sign', { asKey: await strangersKey() })(slot, key);

const refused = (name: string, status?: number) =>
  atProxy('Sign', status === undefined ? { refuse: name } : { refuse: name, status });

const FAULTS: readonly KeyFault[] = [
  { name: 'throttled', code: 'KEY_MANAGER_THROTTLED', begin: refused('ThrottlingException') },
  { name: 'slow', code: 'KEY_MANAGER_TIMEOUT', begin: atProxy('Sign', 'silence') },
  { name: 'down', code: 'KEY_MANAGER_UNREACHABLE', begin: atProxy('Sign', 'reset') },
  {
    name: 'down',
    shows: 'open',
    code: 'KEY_MANAGER_UNREACHABLE',
    begin: atProxy('ListAliases', 'reset'),
  },
  { name: 'a fault', code: 'KEY_MANAGER_FAULT', begin: refused('KMSInternalException', 500) },
  {
    name: 'something behind it slow',
    code: 'KEY_MANAGER_DEPENDENCY',
    begin: refused('DependencyTimeoutException', 503),
  },
  { name: 'a key unavailable', code: 'KEY_UNAVAILABLE', begin: refused('KeyUnavailableException') },
  { name: "another key's signature", code: 'KEY_SIGNATURE_WRONG', begin: anotherKeys },
  { name: 'a key disabled', code: 'KEY_DISABLED', begin: disabled },
  { name: 'a key disabled', shows: 'refresh', code: 'KEY_DISABLED', begin: disabled },
  { name: 'a key disabled', shows: 'open', code: 'KEY_DISABLED', begin: disabled },
  { name: 'a key deleted', code: 'KEY_DELETED', begin: deleted },
  { name: 'a key deleted', shows: 'refresh', code: 'KEY_DELETED', begin: deleted },
  { name: 'permission lost', code: 'KEY_PERMISSION', begin: refused('AccessDeniedException') },
  {
    name: 'credentials expired',
    code: 'KEY_MANAGER_CREDENTIALS',
    begin: refused('ExpiredTokenException'),
  },
  {
    name: 'too many keys',
    shows: 'generate',
    code: 'KEY_MANAGER_LIMIT',
    begin: atProxy('CreateKey', { refuse: 'LimitExceededException' }),
  },
  {
    name: 'a name moved to another key',
    shows: 'refresh',
    code: 'KEY_ALIAS_MOVED',
    begin: aliasMoved,
  },
  {
    name: 'a name moved to another key',
    shows: 'open',
    code: 'KEY_ALIAS_MOVED',
    begin: aliasMoved,
  },
];

testKeyManager(
  {
    name: 'aws-kms',
    capabilities: { persistent: true, inProcess: false, anyHash: false, keyTypes: KEY_TYPES },
    open: (pace) => openKmsKeyManager(options(pace === 'hasty' ? { pace: HASTY } : {})),
    faults: FAULTS,
  },
  suite,
);

describe('keys in AWS KMS', suite, () => {
  const opened: KeyManager[] = [];
  const open = async (extra: Partial<KmsOptions> = {}): Promise<KeyManager> => {
    const manager = unwrap(await openKmsKeyManager(options(extra)));
    opened.push(manager);
    return manager;
  };
  after(() => Promise.all(opened.map((manager) => manager.close())));

  async function countKeys(): Promise<number> {
    return (await admin.send(new ListKeysCommand({ Limit: 1000 }))).Keys?.length ?? 0;
  }

  test('are named and tagged by trust domain and slot, and a restart makes none', async () => {
    const owner = { namespace: 'signet', trustDomain: 'a_b.example.org' };
    const made = unwrap(await (await open({ owner })).generate('x509-CA-A', 'ec-p256'));
    const before = await countKeys();
    const again = await open({ owner });
    assert.deepEqual(again.get('x509-CA-A')?.publicKeySpki, made.publicKeySpki);
    assert.equal(await countKeys(), before);
    const alias = 'alias/signet/a/b_example_org/x509-CA-A';
    const { KeyMetadata } = await admin.send(new DescribeKeyCommand({ KeyId: alias }));
    assert.match(KeyMetadata?.Description ?? '', /a_b\.example\.org, slot x509-CA-A/);
    // Neither trust domain sees a key of the other, though one name begins the other's.
    assert.deepEqual((await open({ owner: { namespace: 'signet', trustDomain: 'a' } })).list(), []);
  });

  test('are tried again after a refusal that passes, once a token each', async () => {
    const key = unwrap(await (await open()).generate('slot-passing', 'ec-p256'));
    proxy.seen.clear();
    proxy.decide = (operation) =>
      operation === 'Sign' && (proxy.seen.get('Sign') ?? 0) < 3
        ? { refuse: 'ThrottlingException' }
        : undefined;
    assert.equal(code(await sign(key)), 'ok');
    assert.equal(proxy.seen.get('Sign'), 3);
    proxy.seen.clear();
    proxy.decide = () => ({ refuse: 'AccessDeniedException' });
    assert.equal(code(await sign(key)), 'KEY_PERMISSION');
    assert.equal(proxy.seen.get('Sign'), 1);
    proxy.decide = () => undefined;
  });

  test('are not made twice where it is not known whether one was made', async () => {
    const manager = await open({ pace: HASTY });
    proxy.seen.clear();
    proxy.decide = (operation) => (operation === 'CreateKey' ? 'reset' : undefined);
    assert.equal(code(await manager.generate('slot-once', 'ec-p256')), 'KEY_MANAGER_UNREACHABLE');
    proxy.decide = () => undefined;
    assert.equal(proxy.seen.get('CreateKey'), 1);
  });

  test('leave no orphan where the alias is refused', async () => {
    const manager = await open({ pace: HASTY });
    const before = new Set(await enabledKeys());
    proxy.decide = (operation) =>
      operation === 'CreateAlias' ? { refuse: 'AccessDeniedException' } : undefined;
    assert.equal(code(await manager.generate('slot-unnamed', 'ec-p256')), 'KEY_PERMISSION');
    proxy.decide = () => undefined;
    assert.equal(manager.get('slot-unnamed'), undefined);
    assert.deepEqual(new Set(await enabledKeys()), before);
  });

  test('that another server replaced are found at the next look', async () => {
    const [first, second] = [await open(), await open()];
    const old = unwrap(await first.generate('slot-shared', 'ec-p256'));
    assert.equal(code(await second.refresh()), 'ok');
    assert.deepEqual(second.get('slot-shared')?.publicKeySpki, old.publicKeySpki);
    const fresh = unwrap(await second.generate('slot-shared', 'ec-p256'));
    assert.equal(code(await first.refresh()), 'ok');
    assert.deepEqual(first.get('slot-shared')?.publicKeySpki, fresh.publicKeySpki);
    // A key that was given out stays the key that it is.
    assert.equal(code(await sign(old)), 'ok');
  });

  test('whose alias is gone are missed', async () => {
    const manager = await open();
    const key = unwrap(await manager.generate('slot-gone', 'ec-p256'));
    const TargetKeyId = await keyIdOf('slot-gone');
    await admin.send(new DeleteAliasCommand({ AliasName: aliasOf('slot-gone') }));
    assert.equal(code(await manager.refresh()), 'KEY_ALIAS_MOVED');
    assert.equal(manager.get('slot-gone'), key);
    await admin.send(new CreateAliasCommand({ AliasName: aliasOf('slot-gone'), TargetKeyId }));
    assert.equal(code(await manager.refresh()), 'ok');
  });

  test('do not take over an alias that stands for a stranger', async () => {
    const manager = await open();
    const stranger = await strangersKey();
    const AliasName = aliasOf('slot-stranger');
    await admin.send(new CreateAliasCommand({ AliasName, TargetKeyId: stranger }));
    assert.equal(code(await manager.generate('slot-stranger', 'ec-p256')), 'KEY_ALIAS_MOVED');
    assert.equal(await keyIdOf('slot-stranger'), stranger);
    await admin.send(new DeleteAliasCommand({ AliasName }));
  });

  test('without a slot are swept after their age, and no others', async () => {
    const owner = { namespace: 'sweep', trustDomain: 'example.org' };
    const dayMs = 24 * 3_600_000;
    const clock = new ManualClock(Date.now());
    const manager = await open({ owner, clock, sweepAfterMs: 10 * dayMs });
    const idNow = async (slot: string) => {
      const KeyId = `alias/sweep/example_org/${slot}`;
      return (await admin.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyId ?? '';
    };
    const make = async (slot: string) => {
      unwrap(await manager.generate(slot, 'ec-p256'));
      return idNow(slot);
    };
    const replacedEarly = await make('slot-a');
    const replacedLate = await make('slot-b');
    await make('slot-a');
    const orphan = await strangersKey([
      { TagKey: 'signet-namespace', TagValue: 'sweep' },
      { TagKey: 'signet-trust-domain', TagValue: 'example.org' },
      { TagKey: 'signet-slot', TagValue: 'slot-c' },
    ]);
    const others = await strangersKey([
      { TagKey: 'signet-namespace', TagValue: 'sweep' },
      { TagKey: 'signet-trust-domain', TagValue: 'example.com' },
      { TagKey: 'signet-slot', TagValue: 'slot-c' },
    ]);
    clock.setWallClock(clock.nowMs() + 9 * dayMs);
    await make('slot-b');
    clock.advance(1.2 * dayMs);
    await manager.close();
    assert.equal(await stateOf(replacedEarly), 'PendingDeletion');
    assert.equal(await stateOf(orphan), 'PendingDeletion');
    for (const kept of [replacedLate, others, await idNow('slot-a'), await idNow('slot-b')]) {
      assert.equal(await stateOf(kept), 'Enabled');
    }
  });

  test('need a region', async () => {
    const before = { ...process.env };
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION']) delete process.env[name];
    process.env.AWS_CONFIG_FILE = '/dev/null';
    const refusal = await openKmsKeyManager(options({ region: undefined }));
    process.env = before;
    assert.equal(code(refusal), 'KEY_MANAGER_SETTINGS');
  });

  async function enabledKeys(): Promise<readonly string[]> {
    const { Keys = [] } = await admin.send(new ListKeysCommand({ Limit: 1000 }));
    const ids = Keys.map(({ KeyId }) => KeyId ?? '');
    const states = await Promise.all(ids.map(stateOf));
    return ids.filter((_, index) => states[index] === 'Enabled');
  }
});
