import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceError } from '@grpc/grpc-js';
import { type Mount, parseMounts } from '../../agent/csi/mountinfo.ts';
import { GRPC_STATUS, type GrpcStatusName } from '../../src/base/errors/define.ts';
import {
  IdentityClient,
  NodeClient,
  type NodePublishVolumeRequest,
} from '../../src/gen/csi/csi.ts';
import { RegistrationClient } from '../../src/gen/kubelet/registration.ts';
import { openUnixChannel } from '../../src/rpc/channel.ts';
import { run, soon, stopChild, waitForSocket } from './processes.ts';

/** A volume as a kubelet asks for it. */
export function volume(changes: Partial<NodePublishVolumeRequest> = {}): NodePublishVolumeRequest {
  return {
    volumeId: 'csi-0123',
    publishContext: {},
    stagingTargetPath: '',
    targetPath: '',
    readonly: true,
    volumeCapability: {
      accessType: {
        $case: 'mount',
        value: { fsType: '', mountFlags: [], volumeMountGroup: '' },
      },
    },
    volumeContext: {
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': 'web-0',
      'csi.storage.k8s.io/pod.namespace': 'shop',
      'csi.storage.k8s.io/pod.uid': 'uid-1',
      'csi.storage.k8s.io/serviceAccount.name': 'web',
    },
    ...changes,
  };
}

/** A unary call of a generated client. */
type Unary<Req, Res> = (
  request: Req,
  done: (error: ServiceError | null, answer: Res) => void,
) => unknown;

/** The answer of a call, or the name of the status that it is refused with. */
export function callOf<Req, Res>(call: Unary<Req, Res>, request: Req): Promise<Res | string> {
  return new Promise((resolve) =>
    call(request, (error, answer) => {
      const names = Object.entries(GRPC_STATUS) as [GrpcStatusName, number][];
      const name = names.find(([, number]) => number === error?.code)?.[0];
      resolve(error === null ? answer : (name ?? String(error.code)));
    }),
  );
}

/**
 * A node with a kubelet's folders and a driver, whose mounts are in a mount namespace of their own: it
 * lives as long as the node, whatever becomes of the driver.
 */
export class CsiNode {
  readonly dir = mkdtempSync(join(tmpdir(), 'sgn-csi-'));
  // A blank, for the table of mounts writes it in its own way.
  readonly kubeletDir = join(this.dir, 'kube let');
  readonly socketDir = join(this.dir, 'run/public');
  readonly #holder: ChildProcess;
  #driver: ChildProcess | undefined;

  private constructor() {
    mkdirSync(join(this.kubeletDir, 'pods'), { recursive: true });
    mkdirSync(join(this.kubeletDir, 'plugins_registry'));
    mkdirSync(this.socketDir, { recursive: true, mode: 0o755 });
    // What is mounted beneath the kubelet's folder reaches other namespaces, as on a real node.
    const script = 'mount --bind "$0" "$0" && mount --make-shared "$0" && exec sleep infinity';
    const args = ['-m', '--propagation', 'private', 'sh', '-c', script, this.kubeletDir];
    this.#holder = spawn('unshare', args, { stdio: 'inherit' });
  }

  static async start(): Promise<CsiNode> {
    const node = new CsiNode();
    await soon(async () => node.mounts().some((one) => one.mountPoint === node.kubeletDir));
    await node.startDriver();
    return node;
  }

  /** Process that keeps the namespace of the node's mounts. */
  get holderPid(): number {
    return this.#holder.pid ?? 0;
  }

  get endpoint(): string {
    return join(this.kubeletDir, 'plugins/csi.spiffe.io/csi.sock');
  }

  get registration(): string {
    return join(this.kubeletDir, 'plugins_registry/csi.spiffe.io-reg.sock');
  }

  /** Makes the folder of a volume, as the kubelet does before it asks; answers the target's path. */
  target(name: string): string {
    const folder = join(this.kubeletDir, 'pods/uid-1/volumes/kubernetes.io~csi', name);
    mkdirSync(folder, { recursive: true });
    return join(folder, 'mount');
  }

  async startDriver(): Promise<void> {
    const script = join(import.meta.dirname, 'csi-child.ts');
    const args = [process.execPath, script, this.kubeletDir, this.socketDir];
    this.#driver = spawn('nsenter', ['-t', `${this.#holder.pid}`, '-m', ...args], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    await waitForSocket(this.registration, this.#driver);
  }

  async stopDriver(signal: NodeJS.Signals): Promise<void> {
    if (this.#driver !== undefined) await stopChild(this.#driver, signal);
  }

  /** Runs a program among the node's mounts. */
  async inside(...command: readonly string[]): Promise<void> {
    const done = await run('nsenter', ['-t', `${this.#holder.pid}`, '-m', ...command]);
    assert.equal(done.code, 0, done.stderr);
  }

  /** Starts a process in a mount namespace that follows the node's, such as a container runtime's. */
  otherNamespace(): ChildProcess {
    const sleep = ['unshare', '-m', '--propagation', 'unchanged', 'sleep', 'infinity'];
    return spawn('nsenter', ['-t', `${this.#holder.pid}`, '-m', ...sleep], { stdio: 'inherit' });
  }

  /** A path as the node's mounts show it. */
  seen(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`;
  }

  mounts(pid = this.#holder.pid): readonly Mount[] {
    const path = `/proc/${pid}/mountinfo`;
    return existsSync(path) ? parseMounts(readFileSync(path, 'utf8')) : [];
  }

  mountsAt(target: string): readonly Mount[] {
    return this.mounts().filter(({ mountPoint }) => mountPoint === target);
  }

  publish(
    targetPath: string,
    changes: Partial<NodePublishVolumeRequest> = {},
  ): Promise<object | string> {
    const request = volume({ targetPath, ...changes });
    return this.#ask(NodeClient, (node) => callOf(node.nodePublishVolume.bind(node), request));
  }

  unpublish(targetPath: string, volumeId = 'csi-0123'): Promise<object | string> {
    const request = { targetPath, volumeId };
    return this.#ask(NodeClient, (node) => callOf(node.nodeUnpublishVolume.bind(node), request));
  }

  identity<T>(work: (client: IdentityClient) => Promise<T>): Promise<T> {
    return this.#ask(IdentityClient, work);
  }

  node<T>(work: (client: NodeClient) => Promise<T>): Promise<T> {
    return this.#ask(NodeClient, work);
  }

  async registrar<T>(work: (client: RegistrationClient) => Promise<T>): Promise<T> {
    const channel = openUnixChannel(this.registration);
    try {
      return await work(channel.client(RegistrationClient));
    } finally {
      channel.close();
    }
  }

  async stop(): Promise<void> {
    await this.stopDriver('SIGTERM');
    await stopChild(this.#holder, 'SIGKILL');
    rmSync(this.dir, { recursive: true });
  }

  async #ask<C, T>(
    type: new (...args: ConstructorParameters<typeof NodeClient>) => C,
    work: (client: C) => Promise<T>,
  ): Promise<T> {
    const channel = openUnixChannel(this.endpoint);
    try {
      return await work(channel.client(type));
    } finally {
      channel.close();
    }
  }
}
