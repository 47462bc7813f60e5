import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  type KMSClient,
  ListKeysCommand,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { openKmsKeyManager } from '../../src/keys/aws-kms/kms-key-manager.ts';
import type { KeyManager } from '../../src/keys/key-manager.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { CONTEXT, SECRET, testKeyWrapper } from '../support/key-wrapper-suite.ts';
import type { KmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { mint, mintJwt, verifiesJwt } from '../support/minting.ts';
import { ask, TestServer } from '../support/server.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { KMS_CREDENTIALS, type KmsRig, prepareKms, startKmsRig } from './kms-server.ts';

const missing = await prepareKms();
const suite = missing === undefined ? {} : skipUnlessCi(missing);

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

let rig: KmsRig;
let proxy: KmsFaultProxy;
let admin: KMSClient;

before(async () => {
  if (missing !== undefined) return;
  rig = await startKmsRig();
  ({ proxy, admin } = rig);
  // What the SDK finds in a server's surroundings.
  process.env.AWS_ACCESS_KEY_ID = 'AKIAEXAMPLE';
  process.env.AWS_SECRET_ACCESS_KEY = 'example';
});
after(() => rig?.stop());

/** The keys of an installation of its own: what one test does is nothing to the next. */
function open(namespace: string, deadlineMs = 20_000): Promise<Result<KeyManager>> {
  return openKmsKeyManager({
    owner: { namespace, trustDomain: 'example.org' },
    region: 'eu-west-1',
    endpoint: proxy.url,
    credentials: KMS_CREDENTIALS,
    pace: { perSecond: 5000, burst: 5000, inFlight: 64, timeoutMs: 5000, deadlineMs },
    refreshMs: 3_600_000,
    sweepAfterMs: 0,
    clock: systemClock,
    random: systemRandom,
    log: createLogger({ level: 'silent' }),
    metrics: createMetrics('test'),
  });
}

async function wrapperOf(namespace: string, deadlineMs?: number) {
  const keys = unwrap(await open(namespace, deadlineMs));
  assert.ok(keys.wrapper);
  return { wrapper: keys.wrapper, keys, close: () => keys.close() };
}

/** Ids of the wrapping keys of an installation. */
async function wrappingKeys(namespace: string): Promise<readonly string[]> {
  const { Keys: all = [] } = await admin.send(new ListKeysCommand({ Limit: 1000 }));
  const found: string[] = [];
  for (const { KeyId } of all) {
    const { Tags: tags = [] } = await admin.send(new ListResourceTagsCommand({ KeyId }));
    const has = (key: string, value: string) =>
      tags.some(({ TagKey, TagValue }) => TagKey === key && TagValue === value);
    if (has('signet-namespace', namespace) && has('signet-slot', 'Wrapping')) found.push(KeyId!);
  }
  return found;
}

testKeyWrapper(
  {
    name: 'AWS KMS, the suite',
    open: (namespace) => open(namespace),
    // It opens by whatever key it is told.
    lax: true,
  },
  suite,
);

describe('wrapping by AWS KMS', suite, () => {
  test('makes one key, and finds it after a restart', async () => {
    for (let start = 0; start < 2; start++) {
      const { wrapper, close } = await wrapperOf('wrap-once');
      unwrap(await wrapper.wrap(SECRET, CONTEXT));
      await close();
    }
    assert.equal((await wrappingKeys('wrap-once')).length, 1);
  });

  test('a wrapping key that is disabled is told apart from one that is moved', async () => {
    const { wrapper, close } = await wrapperOf('wrap-disabled');
    const wrapped = unwrap(await wrapper.wrap(SECRET, CONTEXT));
    await admin.send(new DisableKeyCommand({ KeyId: wrapped.wrappingKeyId }));
    assert.equal(code(await wrapper.unwrap(wrapped, CONTEXT)), 'KEY_DISABLED');
    assert.equal(code(await wrapper.wrap(SECRET, CONTEXT)), 'KEY_DISABLED');
    await close();
    const made = await admin.send(new CreateKeyCommand({ KeySpec: 'SYMMETRIC_DEFAULT' }));
    const alias = 'alias/wrap-moved/example_org/Wrapping';
    const TargetKeyId = made.KeyMetadata?.KeyId;
    await admin.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId }));
    const moved = await wrapperOf('wrap-moved');
    assert.equal(code(await moved.wrapper.wrap(SECRET, CONTEXT)), 'KEY_ALIAS_MOVED');
    await moved.close();
  });

  test('A1 broken off after each call, the next start takes up the key that was left', async () => {
    for (let calls = 1; calls <= 12; calls++) {
      const namespace = `wrap-crash-${calls}`;
      for (let crash = 0; crash < 3; crash++) {
        const { wrapper, close } = await wrapperOf(namespace, 300);
        let left = calls;
        proxy.decide = () => (left-- > 0 ? undefined : 'reset');
        await wrapper.wrap(SECRET, CONTEXT);
        proxy.decide = () => undefined;
        await close();
      }
      const { wrapper, close } = await wrapperOf(namespace);
      const wrapped = unwrap(await wrapper.wrap(SECRET, CONTEXT));
      assert.deepEqual(await wrappingKeys(namespace), [wrapped.wrappingKeyId], `after ${calls}`);
      await close();
    }
  });

  test('two servers that start at once wrap by one key', async () => {
    const [one, two] = [await wrapperOf('wrap-race'), await wrapperOf('wrap-race')];
    const both = await Promise.all([
      one.wrapper.wrap(SECRET, CONTEXT),
      two.wrapper.wrap(SECRET, CONTEXT),
    ]);
    const ids = new Set(both.map((each) => unwrap(each).wrappingKeyId));
    assert.equal(ids.size, 1);
    await one.close();
    await two.close();
  });
});

/** Settings of a server whose keys are in KMS, with everything by default. */
function kmsSettings(namespace: string) {
  const awsKms = { region: 'eu-west-1', endpoint: proxy.url };
  const calls = { timeout: '500ms', deadline: '1s' };
  return { keys: { manager: 'aws-kms', namespace, awsKms, calls } };
}

describe('a server with its keys in AWS KMS', suite, () => {
  test('asks it for two signatures and two wrappings, and for nothing while it issues', async () => {
    const signs = proxy.seen.get('Sign') ?? 0;
    const wraps = proxy.seen.get('Encrypt') ?? 0;
    const at = await TestServer.start(kmsSettings('server-calls'));
    // The root signs itself and the issuing CA.
    assert.equal((proxy.seen.get('Sign') ?? 0) - signs, 2);
    // The keys of ledger and tokens.
    assert.equal((proxy.seen.get('Encrypt') ?? 0) - wraps, 2);
    const before = [...proxy.seen.values()].reduce((sum, each) => sum + each, 0);
    for (let svid = 0; svid < 5; svid++) {
      const [leaf, issuing] = await mint(at);
      assert.ok(leaf?.verify(issuing!.publicKey));
      assert.ok(await verifiesJwt(at, await mintJwt(at)));
    }
    const after = [...proxy.seen.values()].reduce((sum, each) => sum + each, 0);
    assert.equal(after, before);
    await at.stop();
  });

  test('finds root and sealed keys after a restart, and makes neither again', async () => {
    const at = await TestServer.start(kmsSettings('server-restart'));
    const token = await mintJwt(at);
    const [, issuing] = await mint(at);
    const created = proxy.seen.get('CreateKey');
    await at.restart();
    assert.equal(proxy.seen.get('CreateKey'), created);
    assert.ok(await verifiesJwt(at, token));
    const [, next] = await mint(at);
    assert.equal(next?.issuer, issuing?.issuer);
    const bundle = await ask(at.admin(), BundleService.getBundle, { outputMask: undefined });
    assert.equal(bundle.x509Authorities.length, 1);
    assert.equal(bundle.jwtAuthorities.length, 1);
    await at.stop();
  });

  test('B1 goes on issuing while KMS is away, and does not start without it', async () => {
    const at = await TestServer.start(kmsSettings('server-outage'));
    proxy.decide = () => 'reset';
    try {
      for (let svid = 0; svid < 10; svid++) {
        assert.equal((await mint(at)).length, 2);
        assert.ok(await verifiesJwt(at, await mintJwt(at)));
      }
      assert.equal(at.running.health.report('ready').ok, true);
      await assert.rejects(() => at.restart(), /KEY_MANAGER_UNREACHABLE/);
    } finally {
      proxy.decide = () => undefined;
    }
    await at.restart();
    assert.equal((await mint(at)).length, 2);
    await at.stop();
  });

  test('a wrapping key that is gone refuses the start by name', async () => {
    const at = await TestServer.start(kmsSettings('server-lost'));
    await at.halt();
    const KeyId = 'alias/server-lost/example_org/Wrapping';
    const { KeyMetadata } = await admin.send(new DescribeKeyCommand({ KeyId }));
    await admin.send(new DisableKeyCommand({ KeyId: KeyMetadata?.KeyId }));
    await assert.rejects(() => at.restart(), /KEY_DISABLED/);
    await at.stop();
  });
});
