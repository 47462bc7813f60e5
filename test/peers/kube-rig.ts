import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { run } from '../support/processes.ts';
import { sharedDir } from '../support/shared.ts';
import { alone } from './build.ts';

const script = join(sharedDir, 'rig/kube.sh');

/** A real Kubernetes control plane on loopback. */
export interface KubeRig {
  /** Its state; the kubeconfig of an admin is in it. */
  readonly dir: string;
  readonly kubeconfig: string;
  /** Folder of its programs, such as kubectl. */
  readonly bin: string;
  /** Runs kubectl as the admin; fails with what it says. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** A kubeconfig for somebody with a client certificate, of these groups. */
  user(name: string, ...groups: readonly string[]): Promise<string>;
  /** Runs a kubelet that registers a node; answers the address of its own API. */
  node(name: string): Promise<string>;
  stop(): Promise<void>;
}

async function rig(...args: readonly string[]): Promise<string> {
  // By a shell of its own: what it leaves running would hold our pipes open.
  const { code, stdout, stderr } = await run('sh', ['-c', '"$0" "$@" </dev/null', script, ...args]);
  assert.equal(code, 0, `kube.sh ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/** Builds what is not built yet, which takes a quarter of an hour, and starts it. */
export async function startKubeRig(
  parts: { readonly certManager?: boolean; readonly apiArgs?: string } = {},
): Promise<KubeRig> {
  const bin = await alone(() => rig('build'));
  const dir = mkdtempSync(join(tmpdir(), 'sgn-kube-'));
  // The script reads what more the API server is told from its surroundings.
  if (parts.apiArgs !== undefined) process.env.RIG_API_ARGS = parts.apiArgs;
  // Alone, as it looks for free ports before it takes them.
  const kubeconfig = await alone(() => rig('start', dir));
  if (parts.certManager === true) await alone(() => rig('cert-manager', dir));
  return {
    dir,
    kubeconfig,
    bin,
    async kubectl(args, input = '') {
      const options = { input };
      const full = ['--kubeconfig', kubeconfig, ...args];
      // A namespace gets its service account a moment after it is made, and no pod before.
      for (let tries = 0; ; tries += 1) {
        const { code, stdout, stderr } = await run(join(bin, 'kubectl'), full, options);
        if (code === 0) return stdout;
        const early = stderr.includes('serviceaccount "default" not found');
        assert.ok(early && tries < 120, `kubectl ${args.join(' ')}: ${stderr}`);
        await setTimeout(250);
      }
    },
    user: (name, ...groups) => rig('user', dir, name, ...groups),
    node: (name) => rig('node', dir, name),
    async stop() {
      await rig('stop', dir);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
