import { readFile } from 'node:fs/promises';
import { ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import type { KafkaConfig } from './settings.ts';
import type { AuditLine, AuditSink } from './sink.ts';

type TextProducer = Producer<string, string, string, string>;

/** Errors of the brokers that no new attempt mends by itself. */
const REFUSALS =
  /unknown topic|TOPIC_AUTHORIZATION|CLUSTER_AUTHORIZATION|SASL|MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE|INVALID_TOPIC|UNKNOWN_TOPIC|INVALID_RECORD|POLICY_VIOLATION|UNSUPPORTED/i;

/**
 * Records as messages of a topic, acknowledged by all in-sync replicas. Their key is the origin of the
 * ledger, so one ledger is in one partition and in order. One delivery is under way at a time, by a
 * producer that is made anew after a failure: nothing of the failed one is repeated behind our back
 * later than its connection lives. Fails with AUDIT_SETTINGS where TLS files cannot be read.
 */
export async function openKafkaSink(config: KafkaConfig): Promise<Result<AuditSink>> {
  const tls = await tlsOptions(config);
  if (!tls.ok) return tls;
  let producer: TextProducer | undefined;
  const letGo = async (): Promise<void> => {
    const open = producer;
    producer = undefined;
    await open?.close(true).catch(() => {});
  };
  return ok({
    async deliver(lines, signal) {
      producer ??= makeProducer(config, tls.value);
      const stop = (): void => void letGo();
      signal.addEventListener('abort', stop, { once: true });
      try {
        await send(producer, config, lines);
        return ok(undefined);
      } catch (cause) {
        await letGo();
        return refusalOf(cause);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    },
    reopen: async () => {},
    close: letGo,
  });
}

async function send(
  producer: TextProducer,
  { topic }: KafkaConfig,
  lines: readonly AuditLine[],
): Promise<void> {
  await producer.send({
    acks: ProduceAcks.ALL,
    // Without the record's own time: a broker refuses what is an hour ahead of its clock.
    messages: lines.map(({ origin, text }) => ({
      topic,
      key: origin,
      value: text,
    })),
  });
}

function makeProducer(config: KafkaConfig, tls: TlsOptions | undefined): TextProducer {
  const { brokers, timeout, sasl } = config;
  const timeoutMs = timeout * 1000;
  return new Producer({
    clientId: 'signet-audit',
    bootstrapBrokers: [...brokers],
    serializers: stringSerializers,
    autocreateTopics: false,
    // Our own pace decides on new attempts, with the cursor in view.
    retries: 0,
    timeout: timeoutMs,
    connectTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    ...(tls === undefined ? {} : { tls }),
    ...(sasl === undefined
      ? {}
      : {
          sasl: {
            mechanism: sasl.mechanism,
            username: sasl.username,
            password: async () => (await readFile(sasl.passwordPath, 'utf8')).replace(/\r?\n$/, ''),
          },
        }),
  });
}

interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

async function tlsOptions(config: KafkaConfig): Promise<Result<TlsOptions | undefined>> {
  if (!config.tls) return ok(undefined);
  const options: { ca?: string; cert?: string; key?: string } = {};
  for (const part of ['ca', 'cert', 'key'] as const) {
    const path = config[`${part}Path`];
    if (path === undefined) continue;
    const read = await readFileIfPresent(path, 1024 * 1024);
    if (!read.ok || read.value === undefined) {
      return fail('AUDIT_SETTINGS', `kafka.${part}Path: cannot read ${path}`);
    }
    options[part] = Buffer.from(read.value).toString('utf8');
  }
  return ok(options);
}

function refusalOf(cause: unknown): Result<never> {
  const words = wordsOf(cause, 0);
  const code = REFUSALS.test(words) ? 'AUDIT_SINK_REFUSED' : 'AUDIT_SINK_UNAVAILABLE';
  return fail(code, `Kafka: ${words.slice(0, 500)}`, { cause });
}

/** The library nests errors of brokers and of connections; all of them say something. */
function wordsOf(cause: unknown, depth: number): string {
  if (!(cause instanceof Error) || depth > 4) return '';
  const api = 'apiId' in cause && typeof cause.apiId === 'string' ? ` ${cause.apiId}` : '';
  const inner = cause instanceof AggregateError ? cause.errors : [];
  const further = [...inner, cause.cause].map((each) => wordsOf(each, depth + 1));
  return [`${cause.message}${api}`, ...further].filter((each) => each !== '').join('; ');
}
