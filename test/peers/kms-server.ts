import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { type KmsFaultProxy, startKmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { freePort, run, stopChild } from '../support/processes.ts';
import { alone, build, buildDir, has } from './build.ts';

/** A KMS server of somebody else's (ministack), on a port of this machine. */
export interface KmsServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Installs the server where it is not installed yet; says why when it cannot. */
export function prepareKms(): Promise<string | undefined> {
  return alone(install);
}

async function install(): Promise<string | undefined> {
  const dir = buildDir('kms');
  if (existsSync(join(dir, 'ready'))) return undefined;
  if (!(await has('python3'))) return 'python3 is not installed';
  const built = await build([
    ['python3', ['-m', 'venv', dir], '.'],
    [join(dir, 'bin/pip'), ['install', '-q', '-r', 'test/peers/kms/requirements.txt'], '.'],
    ['touch', [join(dir, 'ready')], '.'],
  ]);
  return built.missing;
}

/** Starts it; what it holds ends with it. */
export async function startKms(): Promise<KmsServer> {
  const port = await freePort();
  const child = spawn(join(buildDir('kms'), 'bin/ministack'), [], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      SERVICES: 'kms',
      // Else it binds every interface, and opens ports for services that nobody asked for.
      BIND_HOST: '127.0.0.1',
      GATEWAY_PORT: String(port),
      IOT_MTLS_ENABLED: '0',
      SFTP_ENABLED: '0',
    },
  });
  await answers(port, child);
  return { port, stop: () => stopChild(child, 'SIGKILL') };
}

/** What the server takes for an account. */
export const KMS_CREDENTIALS: NonNullable<KMSClientConfig['credentials']> = {
  accessKeyId: 'AKIAEXAMPLE',
  secretAccessKey: 'example',
};

/** A KMS server behind a fault proxy, with an operator's hand on it. */
export interface KmsRig {
  readonly proxy: KmsFaultProxy;
  /** Past the proxy. */
  readonly admin: KMSClient;
  stop(): Promise<void>;
}

/** Starts all of it. */
export async function startKmsRig(): Promise<KmsRig> {
  const server = await startKms();
  const proxy = await startKmsFaultProxy(server.port);
  const endpoint = `http://127.0.0.1:${server.port}`;
  const admin = new KMSClient({ endpoint, credentials: KMS_CREDENTIALS, region: 'eu-west-1' });
  return {
    proxy,
    admin,
    async stop() {
      admin.destroy();
      await proxy.close();
      await server.stop();
    },
  };
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  const url = `http://127.0.0.1:${port}/`;
  for (;;) {
    if (child.exitCode !== null) throw new TypeError(`the KMS server ended with ${child.exitCode}`);
    const answered = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answered) return;
    await run('sleep', ['0.05']);
  }
}
