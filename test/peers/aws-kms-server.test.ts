import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  DisableKeyCommand,
  KMSClient,
  ListAliasesCommand,
  ListKeysCommand,
} from '@aws-sdk/client-kms';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { startServer } from '../../src/server/server.ts';
import { type KmsFaultProxy, startKmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { ask, assertStatus, TestServer, TRUST_DOMAIN, testConfig } from '../support/server.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { makeCsr } from '../support/x509.ts';
import { type KmsServer, prepareKms, startKms } from './kms-server.ts';

const missing = await prepareKms();

/** What the SDK's chain finds first: credentials of the environment. */
const ENVIRONMENT = { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE', AWS_SECRET_ACCESS_KEY: 'example' };

describe(
  'a server with keys in AWS KMS',
  missing === undefined ? {} : skipUnlessCi(missing),
  () => {
    const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });
    let kms: KmsServer;
    let proxy: KmsFaultProxy;
    let admin: KMSClient;
    let server: TestServer;

    const settings = () => ({
      keys: {
        manager: 'aws-kms',
        awsKms: { region: 'eu-west-1', endpoint: proxy.url },
        calls: { perSecond: 5000, burst: 5000, timeout: '5s', deadline: '8s' },
      },
      // Every SVID is a call, so that each of its faults is seen here.
      ca: { protection: 'direct' },
      jwt: { protection: 'direct' },
    });

    before(async () => {
      Object.assign(process.env, ENVIRONMENT);
      kms = await startKms();
      proxy = await startKmsFaultProxy(kms.port);
      admin = new KMSClient({ region: 'eu-west-1', endpoint: `http://127.0.0.1:${kms.port}` });
      server = await TestServer.start(settings());
    });
    after(async () => {
      await server?.stop();
      admin?.destroy();
      await proxy?.close();
      await kms?.stop();
      for (const name of Object.keys(ENVIRONMENT)) delete process.env[name];
    });

    async function keyCount(): Promise<number> {
      return (await admin.send(new ListKeysCommand({ Limit: 1000 }))).Keys?.length ?? 0;
    }

    async function issue(count: number) {
      const agent = await server.attest();
      const parentId = td(agent.path);
      const { id } = await server.register({ spiffeId: td('/web'), parentId });
      const client = await server.tcp(agent);
      const params = Array.from({ length: count }, () => ({
        entryId: id,
        csr: Buffer.from(makeCsr()),
      }));
      proxy.seen.clear();
      const { results } = await ask(client, SVIDService.batchNewX509Svid, { params });
      const request = { entryId: id, audience: ['test'] };
      return { results, client, request };
    }

    test('signs X.509-SVIDs and JWT-SVIDs, each by one call', async () => {
      const { results, client, request } = await issue(50);
      const root = new X509Certificate(await server.bundlePem());
      for (const { status, svid } of results) {
        assert.equal(status?.code, 0, status?.message ?? 'no status');
        assert.ok(new X509Certificate(svid?.certChain[0] ?? Buffer.of()).verify(root.publicKey));
      }
      assert.equal(proxy.seen.get('Sign'), 50);
      const { svid } = await ask(client, SVIDService.newJwtsvid, request);
      assert.match(svid?.token ?? '', /^[\w-]+\.[\w-]+\.[\w-]+$/);
      assert.equal(proxy.seen.get('Sign'), 51);
    });

    test('finds its keys again after a restart and makes none', async () => {
      const [bundle, keys] = [await server.bundlePem(), await keyCount()];
      await server.restart();
      assert.equal(await server.bundlePem(), bundle);
      assert.equal(await keyCount(), keys);
      assert.equal((await issue(1)).results[0]?.status?.code, 0);
    });

    test('refuses each SVID that KMS does not sign, and goes on when it does', async () => {
      const { client, request } = await issue(1);
      proxy.decide = (operation) =>
        operation === 'Sign' ? { refuse: 'AccessDeniedException' } : undefined;
      await assertStatus(ask(client, SVIDService.newJwtsvid, request), 'KEY_PERMISSION');
      proxy.decide = () => undefined;
      assert.ok((await ask(client, SVIDService.newJwtsvid, request)).svid);
    });

    test('does not start on a key that is disabled, and makes no other', async () => {
      const { Aliases = [] } = await admin.send(new ListAliasesCommand({}));
      const alias = Aliases.find(({ AliasName }) => AliasName?.endsWith('/x509-CA-A'));
      await admin.send(new DisableKeyCommand({ KeyId: alias?.TargetKeyId ?? '' }));
      const keys = await keyCount();
      await server.running.stop('test');
      const started = await startServer(testConfig(server.dir, settings()));
      assert.equal(started.ok ? 'started' : started.error.code, 'KEY_DISABLED');
      assert.equal(await keyCount(), keys);
    });
  },
);
