import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/workload-client.ts';
import { X509Source } from '../../src/client/x509-source.ts';
import { encodePem } from '../../src/der/pem.ts';
import { Fleet } from '../support/fleet.ts';
import { Followed, rootsOf, signerOf } from '../support/followed.ts';
import { run, soon } from '../support/processes.ts';

const workload = (fleet: Fleet): WorkloadClient =>
  new WorkloadClient(unwrap(parseWorkloadAddress(`unix://${fleet.workloadSocket}`)));

/** A token that the agent of a fleet gives to a workload. */
async function tokenOf(fleet: Fleet): Promise<string> {
  const answer = await fleet.cli('api', 'fetch', 'jwt', '-audience', 'orders', '-o', 'json');
  assert.equal(answer.code, 0, answer.stderr);
  const [token] = /eyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(answer.stdout) ?? [];
  return token ?? '';
}

async function accepts(fleet: Fleet, token: string): Promise<boolean> {
  const validated = fleet.cli('api', 'validate', 'jwt', '-audience', 'orders', '-svid', token);
  return (await validated).code === 0;
}

describe('this server below another of its kind', () => {
  let above: Fleet;
  let below: Fleet;
  let client: WorkloadClient;
  let stream: Followed;
  before(async () => {
    above = await Fleet.start();
    await above.register('/below', '--downstream');
    // What the agent gives to workloads it gives to the server below, too.
    const first = workload(above);
    const source = new X509Source(first);
    await source.ready();
    source.close();
    first.close();
    below = await Fleet.start({
      serverYaml: `upstream:
  spire: { address: 127.0.0.1, port: ${above.port}, workloadApi: "unix://${above.workloadSocket}" }
`,
    });
    await below.register('/web');
    client = workload(below);
    stream = new Followed(client);
  });
  after(async () => {
    stream?.close();
    client?.close();
    await below?.stop();
    await above?.stop();
  });

  test('X509-25 gives workloads chains that OpenSSL verifies to the root above, which is their bundle', async () => {
    const context = await stream.until(() => true);
    const chain = context.svids[0].chain.map(({ der }) => encodePem('CERTIFICATE', der));
    assert.equal(chain.length, 2, 'leaf and CA');
    const file = (name: string, text: string): string => {
      writeFileSync(join(below.dir, name), text);
      return join(below.dir, name);
    };
    const roots = (await above.cli('bundle', 'show')).stdout;
    assert.equal((await below.cli('bundle', 'show')).stdout, roots);
    const verified = await run('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      file('roots.pem', roots),
      '-untrusted',
      file('above.pem', chain.slice(1).join('')),
      file('leaf.pem', chain[0] ?? ''),
    ]);
    assert.equal(verified.code, 0, verified.stderr);
  });

  test('A.5 has its JWT keys known above, and those from above known below', async () => {
    const fromBelow = await tokenOf(below);
    const fromAbove = await tokenOf(above);
    // Agents are told by push, and the server below asks every few seconds.
    await soon(() => accepts(above, fromBelow));
    await soon(() => accepts(below, fromAbove));
  });

  test('follows a forced rotation above, down to the workloads, whose streams never end', async () => {
    const act = ['localauthority', 'x509'];
    const idOf = async (which: 'active' | 'prepared'): Promise<string> => {
      const states = (await above.json(...act, 'show')) as Record<string, { authorityId: string }>;
      return states[which]?.authorityId ?? '';
    };
    const old = await idOf('active');
    assert.equal(signerOf(await stream.until(() => true)), old);

    await above.json(...act, 'prepare');
    const next = await idOf('prepared');
    const published = await stream.until((context) => rootsOf(context).includes(next));
    assert.deepEqual(rootsOf(published), [old, next], 'before anything is signed below it');
    assert.equal(signerOf(published), old);

    await above.json(...act, 'activate', '-authorityID', next);
    await above.json(...act, 'taint', '-authorityID', old);
    const renewed = await stream.until((context) => signerOf(context) === next);
    assert.deepEqual(rootsOf(renewed), [old, next], 'both verify meanwhile');

    await above.json(...act, 'revoke', '-authorityID', old);
    const revoked = await stream.until((context) => !rootsOf(context).includes(old));
    assert.deepEqual(rootsOf(revoked), [next]);
    assert.equal(signerOf(revoked), next);
    assert.deepEqual(stream.errors, []);
  });

  test('refuses to taint here what is below the authority above', async () => {
    const shown = (await below.json('localauthority', 'x509', 'show')) as {
      old?: { authorityId: string };
    };
    const id = shown.old?.authorityId ?? '';
    const tainted = await below.cli('localauthority', 'x509', 'taint', '-authorityID', id);
    assert.notEqual(tainted.code, 0);
    assert.match(tainted.stderr, /UPSTREAM_OWNS_ROOT/);
  });

  test('goes on signing while the server above is down, and is found again after a restart', async () => {
    await above.stopServer();
    await below.register('/late');
    const late = await stream.until(({ svids }) => svids.length === 2);
    assert.deepEqual(late.svids.map(({ id }) => id.path).toSorted(), ['/late', '/web']);
    const roots = (await below.cli('bundle', 'show')).stdout;
    await below.stopServer();
    await below.startServer();
    assert.equal((await below.cli('bundle', 'show')).stdout, roots);
    await below.register('/later');
    await stream.until(({ svids }) => svids.length === 3);
  });
});
