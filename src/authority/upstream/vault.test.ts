import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FakeCa } from '../../../test/support/fake-ca.ts';
import {
  type FakeVault,
  startFakeVault,
  type VaultFault,
} from '../../../test/support/fake-vault.ts';
import { startAuthorities } from '../../../test/support/issuance.ts';
import { temporaryFolder } from '../../../test/support/state.ts';
import { linkTo } from '../../../test/support/upstream.ts';
import { testUpstream } from '../../../test/support/upstream-suite.ts';
import { makeCsr, makeKey } from '../../../test/support/x509.ts';
import { systemClock } from '../../base/clock.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { createVaultUpstream, type VaultUpstreamOptions } from './vault.ts';

let fake: FakeVault;
before(async () => {
  fake = await startFakeVault();
  process.env.VAULT_TOKEN ??= 'root';
  fake.tokens.add(process.env.VAULT_TOKEN);
});
after(() => fake.close());

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const key = makeKey();
const order = {
  csr: makeCsr({ key, uris: ['spiffe://example.org'] }),
  spki: key.spki,
  ttlSeconds: 3600,
};

function options(extra: Partial<VaultUpstreamOptions> = {}): VaultUpstreamOptions {
  return {
    place: { address: fake.address },
    caPath: undefined,
    auth: { method: 'token' },
    mount: 'pki',
    issuer: undefined,
    bundlePath: undefined,
    clock: systemClock,
    ...extra,
  };
}

/** An engine that signs as the API pages say: the new CA stands in the chain, too (since Vault 1.11). */
function mountPki(mount = 'pki', way = 'root/sign-intermediate'): FakeCa {
  const ca = new FakeCa();
  fake.engines.set(mount, (path, body) => {
    if (path !== way) return [404, { errors: [] }];
    const { csr, ttl, use_csr_values: verbatim } = body;
    const seconds = Number(/^(\d+)s$/.exec(String(ttl))?.[1]);
    if (verbatim !== true || !(seconds > 0)) return [400, { errors: ['not what was expected'] }];
    const { certificate, above } = ca.sign(String(csr), Date.now() + seconds * 1000);
    const chain = above.length > 1 ? { ca_chain: [certificate, ...above] } : {};
    return [200, { data: { certificate, issuing_ca: above[0] ?? '', ...chain } }];
  });
  return ca;
}

testUpstream('vault', async () => {
  const ca = mountPki();
  return { authority: createVaultUpstream(options()), ca };
});

const real = process.env.VAULT_ADDR;
if (real !== undefined) {
  test('the PKI engine of a real Vault certifies a CA that signs', async () => {
    const mount = process.env.VAULT_PKI_MOUNT ?? 'pki';
    const vault = createVaultUpstream(options({ place: { address: real }, mount }));
    const manager = await startAuthorities({ upstream: linkTo(vault, systemClock) });
    assert.ok(unwrap(manager.currentX509()).chain.length > 0);
    await manager.close();
  });
}

describe('the upstream vault', () => {
  const refused = (status: number, error = 'by the fake') => ({ status, error });
  const faults: readonly [string, VaultFault, string][] = [
    ['throttled', refused(429), 'UPSTREAM_THROTTLED'],
    ['sealed', refused(503, 'Vault is sealed'), 'UPSTREAM_UNREACHABLE'],
    ['a fault of its own', refused(500), 'UPSTREAM_UNREACHABLE'],
    ['a connection that breaks', 'reset', 'UPSTREAM_UNREACHABLE'],
    ['permission lost', refused(403, 'permission denied'), 'UPSTREAM_PERMISSION'],
    ['a token that is gone', refused(403, 'invalid token'), 'UPSTREAM_CREDENTIALS'],
    ['a life longer than it may give', refused(400, 'past the CA'), 'UPSTREAM_REFUSED'],
    ['a mount that is none', refused(404), 'UPSTREAM_REFUSED'],
  ];
  for (const [name, fault, expected] of faults) {
    test(`tells apart: ${name}`, async (context) => {
      mountPki();
      context.after(() => {
        fake.decide = () => undefined;
      });
      fake.decide = () => fault;
      assert.equal(code(await createVaultUpstream(options()).certify(order)), expected);
    });
  }

  test('tells what the engine objects to', async (context) => {
    mountPki();
    context.after(() => {
      fake.decide = () => undefined;
    });
    fake.decide = () => refused(400, 'cannot satisfy request, as TTL is too long');
    const result = await createVaultUpstream(options()).certify(order);
    assert.ok(!result.ok);
    assert.match(result.error.message, /TTL is too long/);
  });

  test('tells apart: nobody there', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const address = closed.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    closed.close();
    await once(closed, 'close');
    const place = { address: `http://127.0.0.1:${port}` };
    const vault = createVaultUpstream(options({ place }));
    assert.equal(code(await vault.certify(order)), 'UPSTREAM_UNREACHABLE');
  });

  const strange: readonly [string, unknown, string][] = [
    ['no data', {}, 'UPSTREAM_UNREACHABLE'],
    [
      'no certificate in it',
      { data: { certificate: '', issuing_ca: '' } },
      'UPSTREAM_ANSWER_INVALID',
    ],
    ['no PEM', { data: { certificate: 'MIIB', issuing_ca: '' } }, 'UPSTREAM_ANSWER_INVALID'],
    [
      'a key in place of a certificate',
      { data: { certificate: '-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n' } },
      'UPSTREAM_ANSWER_INVALID',
    ],
  ];
  for (const [name, body, expected] of strange) {
    test(`refuses an answer with ${name}`, async () => {
      fake.engines.set('pki', () => [200, body]);
      assert.equal(code(await createVaultUpstream(options()).certify(order)), expected);
    });
  }

  test('asks a certain issuer of a certain mount in a certain namespace', async () => {
    mountPki('team', 'issuer/spiffe/sign-intermediate');
    const place = { address: fake.address, namespace: 'ns1' };
    const vault = createVaultUpstream(options({ place, mount: 'team', issuer: 'spiffe' }));
    fake.namespaces.length = 0;
    unwrap(await vault.certify(order));
    assert.deepEqual(fake.namespaces, ['ns1']);
  });

  test('logs in by AppRole and Kubernetes, once, and again where the token is refused', async (context) => {
    const dir = await temporaryFolder(context);
    const file = async (name: string): Promise<string> => {
      await writeFile(join(dir, name), `${name}\n`);
      return join(dir, name);
    };
    const [roleIdPath, secretIdPath] = [await file('role'), await file('secret')];
    const jwtPath = await file('jwt');
    const ways: readonly [VaultUpstreamOptions['auth'], string][] = [
      [
        { method: 'approle', roleIdPath, secretIdPath },
        'auth/approle/login {"role_id":"role","secret_id":"secret"}',
      ],
      [
        { method: 'kubernetes', role: 'signet', jwtPath, mount: 'k8s' },
        'auth/k8s/login {"role":"signet","jwt":"jwt"}',
      ],
    ];
    mountPki();
    for (const [auth, expected] of ways) {
      fake.logins.length = 0;
      const vault = createVaultUpstream(options({ auth }));
      unwrap(await vault.certify(order));
      unwrap(await vault.certify(order));
      assert.deepEqual(fake.logins, [expected]);
      fake.tokens.clear();
      unwrap(await vault.certify(order));
      assert.deepEqual(fake.logins, [expected, expected]);
    }
    fake.tokens.add('root');
  });

  test('says which file is missing, and nothing of what is in the others', async (context) => {
    const dir = await temporaryFolder(context);
    await writeFile(join(dir, 'role'), 'hush');
    const auth = {
      method: 'approle',
      roleIdPath: join(dir, 'role'),
      secretIdPath: join(dir, 'absent'),
    } as const;
    const result = await createVaultUpstream(options({ auth })).certify(order);
    assert.equal(code(result), 'UPSTREAM_SETTINGS');
    assert.ok(!result.ok);
    assert.match(result.error.message, /upstream\.vault\.auth\.secretIdPath/);
    assert.doesNotMatch(result.error.message, /hush/);
    const caPath = join(dir, 'absent');
    const without = await createVaultUpstream(options({ caPath })).certify(order);
    assert.equal(code(without), 'UPSTREAM_SETTINGS');
  });

  test('takes the roots of a file for what is to be trusted, and no others', async (context) => {
    const dir = await temporaryFolder(context);
    const bundlePath = join(dir, 'roots.pem');
    const ca = mountPki();
    const vault = createVaultUpstream(options({ bundlePath }));
    assert.equal(code(await vault.trusted()), 'UPSTREAM_FILES');
    await writeFile(bundlePath, new FakeCa().root.pem + ca.root.pem);
    const trust = unwrap(await vault.trusted());
    assert.equal(trust?.x509.length, 2);
    assert.equal(trust?.jwt, undefined);
    // The root that the engine names is not looked at.
    ca.above = [ca.issuer];
    assert.equal(unwrap(await vault.certify(order)).roots.length, 2);
    assert.equal(unwrap(await createVaultUpstream(options()).trusted()), undefined);
  });

  test('leaves out cross-certificates that the path does not go through', async () => {
    const ca = mountPki();
    const cross = new FakeCa();
    ca.above = [ca.issuer, cross.issuer, ca.root, cross.root, ca.issuer];
    const answer = unwrap(await createVaultUpstream(options()).certify(order));
    assert.deepEqual(answer.chain.slice(1).map(Buffer.from), [Buffer.from(ca.issuer.der)]);
    assert.deepEqual(answer.roots.map(Buffer.from), [Buffer.from(ca.root.der)]);
  });
});
