import assert from 'node:assert/strict';
import { createPublicKey, verify, X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  KMSClient,
  type KMSClientConfig,
  ListKeysCommand,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { openKmsKeyManager } from '../../src/keys/aws-kms/kms-key-manager.ts';
import type { KeyManager } from '../../src/keys/key-manager.ts';
import type { WrapContext } from '../../src/keys/wrapper.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { type KmsFaultProxy, startKmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { makeCsr } from '../support/x509.ts';
import { type KmsServer, prepareKms, startKms } from './kms-server.ts';

const missing = await prepareKms();
const suite = missing === undefined ? {} : skipUnlessCi(missing);

const credentials: NonNullable<KMSClientConfig['credentials']> = {
  accessKeyId: 'AKIAEXAMPLE',
  secretAccessKey: 'example',
};
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

let server: KmsServer;
let proxy: KmsFaultProxy;
let admin: KMSClient;

before(async () => {
  if (missing !== undefined) return;
  server = await startKms();
  proxy = await startKmsFaultProxy(server.port);
  const endpoint = `http://127.0.0.1:${server.port}`;
  admin = new KMSClient({ endpoint, credentials, region: 'eu-west-1' });
  // What the SDK finds in a server's surroundings.
  process.env.AWS_ACCESS_KEY_ID = 'AKIAEXAMPLE';
  process.env.AWS_SECRET_ACCESS_KEY = 'example';
});
after(async () => {
  admin?.destroy();
  await proxy?.close();
  await server?.stop();
});

/** The keys of an installation of its own: what one test does is nothing to the next. */
function open(namespace: string, deadlineMs = 20_000): Promise<Result<KeyManager>> {
  return openKmsKeyManager({
    owner: { namespace, trustDomain: 'example.org' },
    region: 'eu-west-1',
    endpoint: proxy.url,
    credentials,
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

const context: WrapContext = { trustDomain: 'example.org', slot: 'JWT-Signer-A', keyId: 'aa' };
const secret = Buffer.from('0123456789abcdef0123456789abcdef');

describe('wrapping by AWS KMS', suite, () => {
  test('gives back what it wrapped, after a restart too, and makes one key', async () => {
    const first = await wrapperOf('wrap-again');
    const wrapped = unwrap(await first.wrapper.wrap(secret, context));
    assert.ok(!Buffer.from(wrapped.ciphertext).includes(secret));
    await first.close();
    const second = await wrapperOf('wrap-again');
    assert.deepEqual(Buffer.from(unwrap(await second.wrapper.unwrap(wrapped, context))), secret);
    const again = unwrap(await second.wrapper.wrap(secret, context));
    assert.equal(again.wrappingKeyId, wrapped.wrappingKeyId);
    assert.equal((await wrappingKeys('wrap-again')).length, 1);
    assert.deepEqual(second.keys.list(), [], 'it is no signing key');
    await second.close();
  });

  for (const [what, other] of [
    ['trust domain', { ...context, trustDomain: 'other.example' }],
    ['slot', { ...context, slot: 'JWT-Signer-B' }],
    ['key', { ...context, keyId: 'ab' }],
  ] as const) {
    test(`refuses to unwrap for another ${what}`, async () => {
      const { wrapper, close } = await wrapperOf('wrap-context');
      const wrapped = unwrap(await wrapper.wrap(secret, context));
      assert.equal(code(await wrapper.unwrap(wrapped, other)), 'KEY_SEAL_BROKEN');
      await close();
    });
  }

  test('refuses text that was changed', async () => {
    const { wrapper, close } = await wrapperOf('wrap-changed');
    const wrapped = unwrap(await wrapper.wrap(secret, context));
    const ciphertext = Uint8Array.from(wrapped.ciphertext);
    ciphertext[ciphertext.length >> 1]! ^= 1;
    assert.equal(
      code(await wrapper.unwrap({ ...wrapped, ciphertext }, context)),
      'KEY_SEAL_BROKEN',
    );
    await close();
  });

  test('a key that was replaced still unwraps, another wraps from then on', async () => {
    const { wrapper, close } = await wrapperOf('wrap-rotate');
    const before = unwrap(await wrapper.wrap(secret, context));
    unwrap(await wrapper.rotate());
    const after = unwrap(await wrapper.wrap(secret, context));
    assert.notEqual(after.wrappingKeyId, before.wrappingKeyId);
    assert.equal(unwrap(await wrapper.current())?.id, after.wrappingKeyId);
    for (const wrapped of [before, after]) {
      assert.deepEqual(Buffer.from(unwrap(await wrapper.unwrap(wrapped, context))), secret);
    }
    await close();
  });

  test('a wrapping key that is disabled is told apart from one that is moved', async () => {
    const { wrapper, close } = await wrapperOf('wrap-disabled');
    const wrapped = unwrap(await wrapper.wrap(secret, context));
    await admin.send(new DisableKeyCommand({ KeyId: wrapped.wrappingKeyId }));
    assert.equal(code(await wrapper.unwrap(wrapped, context)), 'KEY_DISABLED');
    assert.equal(code(await wrapper.wrap(secret, context)), 'KEY_DISABLED');
    await close();
    const made = await admin.send(new CreateKeyCommand({ KeySpec: 'SYMMETRIC_DEFAULT' }));
    const alias = 'alias/wrap-moved/example_org/Wrapping';
    const TargetKeyId = made.KeyMetadata?.KeyId;
    await admin.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId }));
    const moved = await wrapperOf('wrap-moved');
    assert.equal(code(await moved.wrapper.wrap(secret, context)), 'KEY_ALIAS_MOVED');
    await moved.close();
  });

  test('A1 broken off after each call, the next start takes up the key that was left', async () => {
    for (let calls = 1; calls <= 12; calls++) {
      const namespace = `wrap-crash-${calls}`;
      for (let crash = 0; crash < 3; crash++) {
        const { wrapper, close } = await wrapperOf(namespace, 300);
        let left = calls;
        proxy.decide = () => (left-- > 0 ? undefined : 'reset');
        await wrapper.wrap(secret, context);
        proxy.decide = () => undefined;
        await close();
      }
      const { wrapper, close } = await wrapperOf(namespace);
      const wrapped = unwrap(await wrapper.wrap(secret, context));
      assert.deepEqual(await wrappingKeys(namespace), [wrapped.wrappingKeyId], `after ${calls}`);
      await close();
    }
  });

  test('two servers that start at once wrap by one key', async () => {
    const [one, two] = [await wrapperOf('wrap-race'), await wrapperOf('wrap-race')];
    const both = await Promise.all([
      one.wrapper.wrap(secret, context),
      two.wrapper.wrap(secret, context),
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

async function mint(at: TestServer): Promise<readonly X509Certificate[]> {
  const csr = Buffer.from(makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`] }));
  const { svid } = await ask(at.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
  return (svid?.certChain ?? []).map((der) => new X509Certificate(der));
}

async function mintJwt(at: TestServer): Promise<string> {
  const id = { trustDomain: TRUST_DOMAIN, path: '/minted' };
  const request = { id, audience: ['db'], ttl: 0 };
  return (await ask(at.admin(), SVIDService.mintJwtsvid, request)).svid?.token ?? '';
}

async function verifies(at: TestServer, token: string): Promise<boolean> {
  const bundle = await ask(at.admin(), BundleService.getBundle, { outputMask: undefined });
  const [head = '', body = '', signature = ''] = token.split('.');
  const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString());
  const key = bundle.jwtAuthorities.find(({ keyId }) => keyId === kid);
  assert.ok(key);
  const publicKey = createPublicKey({ key: key.publicKey, format: 'der', type: 'spki' });
  const bits = Buffer.from(signature, 'base64url');
  const input = Buffer.from(`${head}.${body}`);
  return verify('sha256', input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, bits);
}

describe('a server with its keys in AWS KMS', suite, () => {
  test('asks it for one signature and one wrapping, and for nothing while it issues', async () => {
    const signs = proxy.seen.get('Sign') ?? 0;
    const wraps = proxy.seen.get('Encrypt') ?? 0;
    const at = await TestServer.start(kmsSettings('server-calls'));
    // The root signs itself and the issuing CA.
    assert.equal((proxy.seen.get('Sign') ?? 0) - signs, 2);
    assert.equal((proxy.seen.get('Encrypt') ?? 0) - wraps, 1);
    const before = [...proxy.seen.values()].reduce((sum, each) => sum + each, 0);
    for (let svid = 0; svid < 5; svid++) {
      const [leaf, issuing] = await mint(at);
      assert.ok(leaf?.verify(issuing!.publicKey));
      assert.ok(await verifies(at, await mintJwt(at)));
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
    assert.ok(await verifies(at, token));
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
        assert.ok(await verifies(at, await mintJwt(at)));
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
