import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, run, stopChild } from '../support/processes.ts';
import { alone, build, buildDir, has } from './build.ts';

/** A Kafka broker (KRaft, one node) on loopback, with its state in a folder of the test. */
export interface KafkaServer {
  /** host:port. */
  readonly broker: string;
  /** Ends it as a power cut of the process would. */
  kill(): Promise<void>;
  /** Starts it again on what it left. */
  restart(): Promise<void>;
  createTopic(topic: string, partitions: number): Promise<void>;
  /** What Kafka's own consumer reads of a topic from the beginning. */
  consume(topic: string): Promise<readonly KafkaMessage[]>;
}

/** A message as Kafka's consumer prints it. */
export interface KafkaMessage {
  readonly partition: number;
  readonly key: string;
  readonly value: string;
}

/** Fetches broker and tools where they are not there yet; says why when it cannot. */
export function prepareKafka(): Promise<string | undefined> {
  return alone(install);
}

async function install(): Promise<string | undefined> {
  const dir = buildDir('kafka');
  if (existsSync(join(dir, 'ready'))) return undefined;
  for (const program of ['java', 'mvn']) if (!(await has(program))) return `${program} is missing`;
  const copy = [
    '-q',
    '-B',
    'dependency:copy-dependencies',
    `-DoutputDirectory=${join(dir, 'libs')}`,
  ];
  const built = await build([
    ['mvn', copy, 'test/peers/kafka'],
    ['touch', [join(dir, 'ready')], '.'],
  ]);
  return built.missing;
}

const classPath = (): string => join(buildDir('kafka'), 'libs', '*');
const java = (main: string, args: readonly string[]): readonly string[] => [
  '-Xmx256m',
  '-XX:+UseSerialGC',
  '-cp',
  classPath(),
  main,
  ...args,
];

async function tool(main: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run('java', java(main, args));
  if (code !== 0) throw new TypeError(`${main} ended with ${code}: ${stderr.slice(-2000)}`);
  return stdout;
}

/** Starts a broker with its state in a folder. */
export async function startKafka(folder: string): Promise<KafkaServer> {
  const [port, controllerPort] = [await freePort(), await freePort()];
  const broker = `127.0.0.1:${port}`;
  const properties = join(folder, 'server.properties');
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://${broker},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${broker}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(folder, 'logs'),
    'offsets.topic.replication.factor': '1',
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': '0',
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  await writeFile(properties, `${lines.join('\n')}\n`);
  const clusterId = randomBytes(16).toString('base64url');
  await tool('kafka.tools.StorageTool', ['format', '-t', clusterId, '-c', properties]);
  let child = await startBroker(properties, port);
  return {
    broker,
    kill: () => stopChild(child, 'SIGKILL'),
    async restart() {
      child = await startBroker(properties, port);
    },
    async createTopic(topic, partitions) {
      const where = ['--bootstrap-server', broker, '--create', '--topic', topic];
      const main = 'org.apache.kafka.tools.TopicCommand';
      await tool(main, [...where, '--partitions', String(partitions)]);
    },
    async consume(topic) {
      const where = ['--bootstrap-server', broker, '--topic', topic, '--from-beginning'];
      const shown = ['print.key=true', 'print.partition=true'].flatMap((each) => [
        '--formatter-property',
        each,
      ]);
      const main = 'org.apache.kafka.tools.consumer.ConsoleConsumer';
      const text = await tool(main, [...where, '--timeout-ms', '5000', ...shown]);
      return text.trimEnd().split('\n').map(parseMessage);
    },
  };
}

async function startBroker(properties: string, port: number): Promise<ChildProcess> {
  const child = spawn('java', java('kafka.Kafka', [properties]), { stdio: 'ignore' });
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new TypeError(`the broker ended with ${child.exitCode}`);
    await run('sleep', ['0.1']);
  }
  return child;
}

function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => resolve(false)).on('connect', () => resolve(true));
  return promise.finally(() => socket.destroy());
}

/** `Partition:0<tab>key<tab>value`. */
function parseMessage(line: string): KafkaMessage {
  const [partition = '', key = '', value = ''] = line.split('\t');
  return { partition: Number(partition.replace('Partition:', '')), key, value };
}
