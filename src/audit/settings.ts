import { z } from 'zod';
import { countSetting, durationSetting } from '../runtime/units.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

const caPath = absolutePath
  .optional()
  .describe("Certificates (PEM) for the other side's own; the system's unless set.");

const fileSchema = z
  .strictObject({
    path: absolutePath.describe('Where lines are appended; may be renamed at any time.'),
  })
  .optional()
  .describe('Needed where type is file.');

const kafkaSchema = z
  .strictObject({
    brokers: z
      .array(z.string().regex(/^[^\s:/]+:\d{1,5}$|^\[[0-9a-f:]+\]:\d{1,5}$/, 'must be host:port'))
      .min(1)
      .max(100)
      .describe('Brokers to begin with, host:port.'),
    topic: z
      .string()
      .regex(/^[a-zA-Z0-9._-]{1,249}$/, 'must be the name of a topic')
      .describe('Topic; it is not made where it is missing.'),
    tls: z
      .boolean()
      .default(true)
      .describe('Whether connections are TLS; false is for trials on one machine.'),
    caPath,
    certPath: absolutePath.optional().describe('Client certificate (PEM), with keyPath.'),
    keyPath: absolutePath.optional().describe('Its private key (PEM).'),
    sasl: z
      .strictObject({
        mechanism: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).describe('SASL mechanism.'),
        username: z.string().min(1).max(256).describe('Name.'),
        passwordPath: absolutePath.describe('File with the password, read at each connection.'),
      })
      .optional()
      .describe('Password for brokers that want one.'),
    timeout: durationSetting({ min: '100ms', max: '5m' })
      .prefault('10s')
      .describe('Longest wait for the brokers.'),
  })
  .refine(({ certPath, keyPath }) => (certPath === undefined) === (keyPath === undefined), {
    path: ['keyPath'],
    message: 'certPath and keyPath belong together',
  })
  .optional()
  .describe('Needed where type is kafka.');

const lokiSchema = z
  .strictObject({
    url: z
      .string()
      .max(1024)
      .regex(
        /^https?:\/\/[^\s/@?#]+\/?$/,
        'must be a URL without a path, such as https://host:3100',
      )
      .describe('Loki, such as https://loki.example.org:3100.'),
    tenant: z.string().min(1).max(150).optional().describe('X-Scope-OrgID.'),
    labels: z
      .record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,62}$/), z.string().min(1).max(256))
      .prefault({ job: 'signet-audit' })
      .describe('Labels of the stream; the same for all records.'),
    username: z.string().min(1).max(256).optional().describe('Basic authentication.'),
    passwordPath: absolutePath.optional().describe('File with its password.'),
    tokenPath: absolutePath.optional().describe('File with a bearer token, read at each push.'),
    caPath,
    timeout: durationSetting({ min: '100ms', max: '5m' })
      .prefault('10s')
      .describe('Longest wait for an answer.'),
  })
  .refine((loki) => (loki.username === undefined) === (loki.passwordPath === undefined), {
    path: ['passwordPath'],
    message: 'username and passwordPath belong together',
  })
  .optional()
  .describe('Needed where type is loki.');

const sinkSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9 and -')
      .describe('Names the cursor in dataDir/audit; another name gets every record again.'),
    type: z.enum(['file', 'stdout', 'kafka', 'loki']).describe('What takes the records.'),
    file: fileSchema,
    kafka: kafkaSchema,
    loki: lokiSchema,
    maxRecords: countSetting(500, 10_000).describe('Most records in one delivery.'),
    alarmAfter: durationSetting({ min: '1s', max: '365d' })
      .prefault('15m')
      .describe('Lag from which audit_late is 1 and the log says so.'),
    holdFor: durationSetting({ max: '3650d' })
      .prefault('30d')
      .describe(
        'How much longer than ledger.retention bodies are kept that this sink has not had.',
      ),
  })
  .superRefine((sink, context) => {
    if (sink.type === 'stdout' || sink[sink.type] !== undefined) return;
    const message = `is required where type is ${sink.type}`;
    context.addIssue({ code: 'custom', path: [sink.type], message });
  });

/** Schema of the `audit` section. */
export const auditSchema = z
  .strictObject({
    sinks: z
      .array(sinkSchema)
      .max(16)
      .prefault([])
      .describe('Where every record of the ledger is copied to; they follow it and never hold it.'),
  })
  .superRefine(({ sinks }, context) => {
    const names = sinks.map(({ name }) => name);
    for (const [at, name] of names.entries()) {
      if (names.indexOf(name) === at) continue;
      const message = 'is the name of another sink too';
      context.addIssue({ code: 'custom', path: ['sinks', at, 'name'], message });
    }
  })
  .prefault({});

/** The `audit` section. */
export type AuditConfig = z.output<typeof auditSchema>;

/** A sink of the `audit` section. */
export type SinkConfig = AuditConfig['sinks'][number];

/** How to reach Kafka. */
export type KafkaConfig = NonNullable<SinkConfig['kafka']>;

/** How to reach Loki. */
export type LokiConfig = NonNullable<SinkConfig['loki']>;
