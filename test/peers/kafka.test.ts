import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openFollower } from '../../src/audit/follower.ts';
import { openKafkaSink } from '../../src/audit/kafka-sink.ts';
import type { KafkaConfig } from '../../src/audit/settings.ts';
import { unwrap } from '../../src/base/result.ts';
import { followerBounds, readBack } from '../support/audit.ts';
import { MemoryFiles, makeEntries, makeNoteSigner, openTestLedger } from '../support/ledger.ts';
import { freePort } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { type KafkaServer, prepareKafka, startKafka } from './kafka-server.ts';

const missing = await prepareKafka();
const { signal } = new AbortController();
const LINE = { origin: 'o', index: 0, timeMs: 1_800_000_000_000, text: '{"index":0}' };

describe('the Kafka sink', missing === undefined ? {} : skipUnlessCi(missing), () => {
  let folder: string;
  let kafka: KafkaServer;
  const settings = (topic: string, extra: Partial<KafkaConfig> = {}): KafkaConfig => ({
    brokers: [kafka.broker],
    topic,
    tls: false,
    timeout: 3,
    ...extra,
  });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgn-kafka-'));
    kafka = await startKafka(folder);
  });
  after(async () => {
    await kafka?.kill();
    await rm(folder, { recursive: true, force: true });
  });

  test('every record is there in order, in one partition, though the broker was killed in between', async () => {
    await kafka.createTopic('audit', 3);
    const files = new MemoryFiles();
    const ledger = unwrap(await openTestLedger({ files, signer: makeNoteSigner() }));
    const add = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at += 100) {
        unwrap(await ledger.append(makeEntries(ledger.size, 100)));
      }
      unwrap(await ledger.publish());
    };
    await add(3000);
    const sink = unwrap(await openKafkaSink(settings('audit')));
    let killed: Promise<void> | undefined;
    const follower = unwrap(
      await openFollower({
        ...followerBounds(),
        maxRecords: 50,
        files,
        ledger,
        sink: {
          ...sink,
          async deliver(lines, stop) {
            const delivery = sink.deliver(lines, stop);
            // While the request is on its way, so that its fate is unknown.
            if ((lines[0]?.index ?? 0) >= 1000) killed ??= kafka.kill();
            return delivery;
          },
        },
      }),
    );
    follower.start();
    const caughtUp = async (): Promise<void> => {
      while (follower.lagRecords > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    while (follower.counts.failed === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await killed;
    await add(1000);
    await kafka.restart();
    await caughtUp();
    await follower.close();
    const messages = await kafka.consume('audit');
    const partitions = new Set(messages.map(({ partition }) => partition));
    assert.equal(partitions.size, 1);
    let next = 0;
    for (const { key, value } of messages) {
      const { origin, index, record } = readBack(value);
      assert.equal(key, ledger.checkpoint.origin);
      assert.equal(origin, key);
      assert.equal(record?.record, index);
      assert.ok(index <= next, `${index} came before ${next}`);
      if (index === next) next += 1;
    }
    assert.equal(next, 4000);
    assert.ok(follower.counts.failed > 0);
  });

  test('a topic that is not there is AUDIT_SINK_REFUSED, and is used once it is made', async () => {
    const sink = unwrap(await openKafkaSink(settings('later')));
    const refused = await sink.deliver([LINE], signal);
    assert.equal(refused.ok ? 'ok' : refused.error.code, 'AUDIT_SINK_REFUSED');
    await kafka.createTopic('later', 1);
    unwrap(await sink.deliver([LINE], signal));
    await sink.close();
    assert.deepEqual(
      (await kafka.consume('later')).map(({ value }) => value),
      [LINE.text],
    );
  });

  test('a broker that is away, or that speaks no TLS, is AUDIT_SINK_UNAVAILABLE', async () => {
    const away = { brokers: [`127.0.0.1:${await freePort()}`], timeout: 1 };
    for (const extra of [away, { tls: true, timeout: 1 }]) {
      const sink = unwrap(await openKafkaSink(settings('audit', extra)));
      const refused = await sink.deliver([LINE], signal);
      assert.equal(refused.ok ? 'ok' : refused.error.code, 'AUDIT_SINK_UNAVAILABLE');
      await sink.close();
    }
  });
});
