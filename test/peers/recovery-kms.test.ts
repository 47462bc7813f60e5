import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeKeyCommand, KMSClient, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { ManualClock } from '../../src/base/clock.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { commands } from '../../src/main/commands.ts';
import { backUp, restore } from '../support/backup.ts';
import { cli } from '../support/cli.ts';
import { type KmsFaultProxy, startKmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { makeCsr } from '../support/x509.ts';
import { type KmsServer, prepareKms, startKms } from './kms-server.ts';

// The steps of docs/recovery.md that need a KMS. The wrapping key is in sealed-kms.test.ts.

const missing = await prepareKms();
const HOUR_MS = 3_600_000;

describe(
  'recovery with keys in AWS KMS',
  missing === undefined ? {} : skipUnlessCi(missing),
  () => {
    let kms: KmsServer;
    let proxy: KmsFaultProxy;
    let admin: KMSClient;

    before(async () => {
      process.env.AWS_ACCESS_KEY_ID = 'AKIAEXAMPLE';
      process.env.AWS_SECRET_ACCESS_KEY = 'example';
      kms = await startKms();
      proxy = await startKmsFaultProxy(kms.port);
      admin = new KMSClient({ region: 'eu-west-1', endpoint: `http://127.0.0.1:${kms.port}` });
    });
    after(async () => {
      admin?.destroy();
      await proxy?.close();
      await kms?.stop();
    });

    const settings = (namespace: string) => ({
      keys: {
        manager: 'aws-kms',
        namespace,
        awsKms: { region: 'eu-west-1', endpoint: proxy.url },
        calls: { timeout: '5s', deadline: '20s' },
      },
    });

    async function mint(at: TestServer): Promise<number> {
      const csr = Buffer.from(makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`] }));
      const { svid } = await ask(at.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
      return svid?.certChain.length ?? 0;
    }

    async function authority(at: TestServer, ...argv: string[]) {
      const socket = ['--server-socket', at.config.adminSocket.path];
      const command = ['localauthority', 'x509', ...argv, ...socket, '-o', 'json'];
      const { code, out, err } = await cli(commands, command);
      assert.equal(code, 0, err);
      return JSON.parse(out);
    }

    test('KMS key lost: another root takes over before the restart that the lost one would refuse', async () => {
      const at = await TestServer.start(settings('root-lost'));
      const agent = await at.attest();
      const KeyId = 'alias/root-lost/example_org/x509-CA-A';
      const { KeyMetadata } = await admin.send(new DescribeKeyCommand({ KeyId }));
      const lost = KeyMetadata?.KeyId;
      await admin.send(new ScheduleKeyDeletionCommand({ KeyId: lost, PendingWindowInDays: 7 }));
      assert.equal(await mint(at), 2, 'the issuing CA of this server goes on');

      const { active } = await authority(at, 'show');
      const { preparedAuthority: next } = await authority(at, 'prepare');
      await authority(at, 'activate', '--authority-id', next.authorityId, '--force');
      assert.equal(await mint(at), 2);
      const { old } = await authority(at, 'show');
      assert.equal(old?.authorityId, active.authorityId);
      await authority(at, 'taint', '--authority-id', active.authorityId);
      await authority(at, 'revoke', '--authority-id', active.authorityId);
      await at.restart();
      assert.equal(await mint(at), 2);
      const client = await at.tcp(await at.attest());
      await ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined });
      assert.ok(agent.chain.length > 0);
      await at.stop();
    });

    test('B2 KMS unreachable for a day: SVIDs are signed for as long as the issuing CA lives', async () => {
      const clock = new ManualClock(Date.now());
      const at = await TestServer.start(settings('day-without'), { clock });
      const passes = async (hours: number) => {
        clock.advance(hours * HOUR_MS);
        return mint(at).catch(({ metadata }) => metadata?.get('signet-error-code')[0]);
      };
      assert.equal(await passes(0), 2);
      assert.equal(await passes(11), 2);
      proxy.decide = () => 'reset';
      try {
        assert.equal(await passes(5), 2, 'past half of its life, when a new one was wanted');
        assert.equal(await passes(7), 2, 'an hour before its end');
        assert.notEqual(await passes(2), 2, 'it has ended');
      } finally {
        proxy.decide = () => undefined;
      }
      for (
        let tries = 0, answer = await passes(0);
        answer !== 2;
        tries++, answer = await passes(0.1)
      ) {
        assert.ok(tries < 50, String(answer));
        // The answers of KMS take real time.
        await sleep(100);
      }
      await at.stop();
    });

    test('disk lost: roots are in KMS, sealed keys in the backup, so nothing changes for agents', async () => {
      const at = await TestServer.start(settings('disk-lost'));
      const agent = await at.attest();
      const bundle = await at.bundlePem();
      const { file, keys } = await backUp(at, 'nightly.backup');
      assert.equal(keys, 'none');
      await at.halt();
      rmSync(at.config.dataDir, { recursive: true });
      const done = await restore(file, at.config.dataDir, '--acknowledge');
      assert.equal(done.code, 0, done.err);
      await at.restart();
      assert.equal(await at.bundlePem(), bundle);
      const client = await at.tcp(agent);
      await ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined });
      await at.stop();
    });
  },
);
