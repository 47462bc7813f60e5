import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { toHex } from '../../src/base/bytes.ts';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/workload-client.ts';
import { Fleet } from '../support/fleet.ts';
import { Followed, rootsOf, signerOf } from '../support/followed.ts';
import { soon } from '../support/processes.ts';
import { makeRoot, type TestCertificate } from '../support/x509.ts';

const a = makeRoot('example.org', { uris: [] });
const b = makeRoot('example.org', { uris: [] });
const idOf = ({ keyId }: TestCertificate): string => toHex(keyId);

describe('a server whose CA in files is replaced', () => {
  let dir: string;
  let fleet: Fleet;
  let client: WorkloadClient;
  let stream: Followed;

  /** The CA that signs from now on, and all that is to be trusted. */
  function put(ca: TestCertificate, roots: readonly TestCertificate[]): void {
    const file = (name: string, text: string | Buffer): void =>
      writeFileSync(join(dir, name), text, { mode: 0o600 });
    file('roots.pem', roots.map(({ pem }) => pem).join(''));
    file('ca.key', ca.key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    file('ca.pem', ca.pem);
  }

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-roots-'));
    put(a, [a]);
    const files = `certPath: ${dir}/ca.pem, keyPath: ${dir}/ca.key, bundlePath: ${dir}/roots.pem`;
    fleet = await Fleet.start({ serverYaml: `upstream:\n  disk: { ${files} }\n` });
    await fleet.register('/web');
    client = new WorkloadClient(unwrap(parseWorkloadAddress(`unix://${fleet.workloadSocket}`)));
    stream = new Followed(client);
  });
  after(async () => {
    stream?.close();
    client?.close();
    await fleet?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const end = (act: 'taint' | 'revoke', id: string, ...more: string[]) =>
    fleet.cli('upstreamauthority', act, '-subjectKeyID', id, ...more);

  test('has the old root tainted and revoked by hand, and workloads follow', async () => {
    const first = await stream.until(() => true);
    assert.equal(signerOf(first), idOf(a));
    const early = await end('taint', idOf(a));
    assert.notEqual(early.code, 0);
    assert.match(early.stderr, /AUTHORITY_WRONG_STATE/);

    put(b, [a, b]);
    const { preparedAuthority } = (await fleet.json('localauthority', 'x509', 'prepare')) as {
      preparedAuthority: { authorityId: string; upstreamAuthoritySubjectKeyId: string };
    };
    assert.equal(preparedAuthority.upstreamAuthoritySubjectKeyId, idOf(b));
    const id = preparedAuthority.authorityId;
    await fleet.json('localauthority', 'x509', 'activate', '-authorityID', id);
    await stream.until((context) => rootsOf(context).includes(idOf(b)));

    const tainted = await end('taint', idOf(a));
    assert.equal(tainted.code, 0, tainted.stderr);
    assert.match(tainted.stdout, new RegExp(`Tainted X\\.509 upstream authority ${idOf(a)}`));
    const renewed = await stream.until((context) => signerOf(context) === idOf(b));
    assert.deepEqual(rootsOf(renewed), [idOf(a), idOf(b)], 'both verify meanwhile');

    const revoked = await end('revoke', idOf(a), '-o', 'json');
    assert.deepEqual(JSON.parse(revoked.stdout), { upstreamAuthoritySubjectKeyId: idOf(a) });
    const left = await stream.until((context) => !rootsOf(context).includes(idOf(a)));
    assert.deepEqual(rootsOf(left), [idOf(b)], 'though the file still names the other');
    assert.deepEqual(stream.errors, []);
  });

  test('has both acts in its ledger', async () => {
    const data = `${fleet.dir}/server/data`;
    // A search sees what the last checkpoint covers; the next one follows in a moment.
    await soon(async () => {
      const found = await fleet.cli('ledger', 'search', '--data-dir', data, '-o', 'json');
      return ['taint', 'revoke'].every((act) => new RegExp(`"act": ?"${act}"`).test(found.stdout));
    });
  });

  test('does not trust the old root again after a restart', async () => {
    await fleet.stopServer();
    await fleet.startServer();
    assert.equal((await fleet.cli('bundle', 'show')).stdout, b.pem);
  });
});
