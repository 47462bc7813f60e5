import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Client, ServiceError } from '@grpc/grpc-js';
import { AgentSyncService } from '../../src/gen/signet/agent/v1/agent.ts';
import { AttestationService } from '../../src/gen/signet/attestation/v1/attestation.ts';
import { RevocationService } from '../../src/gen/signet/revocation/v1/revocation.ts';
import { RuleService } from '../../src/gen/signet/rule/v1/rule.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { LocalAuthorityService } from '../../src/gen/spire/api/server/localauthority/v1/localauthority.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { METHOD_CALLERS } from '../../src/policy/methods.ts';
import { ask, open, type TestIdentity, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

const OFF = { perSecond: 0 };
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;

let server: TestServer;

before(async () => {
  server = await TestServer.start({
    adminIds: [`spiffe://${TRUST_DOMAIN}/listed-admin`],
    limits: { attestation: OFF, anonymousConnections: OFF, anonymousCalls: OFF, agentCalls: OFF },
  });
});

after(() => server.stop());

async function minted(path: string): Promise<TestIdentity> {
  const key = makeKey();
  const csr = Buffer.from(makeCsr({ key, uris: [`spiffe://${TRUST_DOMAIN}${path}`] }));
  const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
  return { key, chain: svid!.certChain };
}

/** Callers of every kind: name, the kind that the matrix knows them as, and their client. */
const callers: readonly (readonly [string, string, () => Promise<Client> | Client])[] = [
  ['local', 'local', () => server.admin()],
  ['listed admin', 'admin', async () => server.tcp(await minted('/listed-admin'))],
  [
    'admin by entry',
    'admin',
    async () => {
      const spiffeId = { trustDomain: TRUST_DOMAIN, path: '/entry-admin' };
      await server.register({ spiffeId, admin: true });
      return server.tcp(await minted('/entry-admin'));
    },
  ],
  ['agent', 'agent', async () => server.tcp(await server.attest())],
  ['anonymous', 'anonymous', () => server.tcp()],
  // A workload's SVID is good for mTLS, but makes nobody on this port.
  ['workload', 'nobody', async () => server.tcp(await minted('/workload'))],
];

const identity = (bytes: Buffer): Buffer => bytes;

/** Sends one empty message and half-closes; answers the status that the call ends with. */
function statusOf(client: Client, path: string): Promise<number> {
  const method = { path, requestSerialize: identity, responseDeserialize: identity };
  const call = open(client, method);
  return new Promise((resolve) => {
    call.on('error', (error: ServiceError) => resolve(error.code));
    call.on('end', () => resolve(0));
    // Health's Watch goes on for ever: an answer is enough.
    call.on('data', () => {
      resolve(0);
      call.cancel();
    });
    call.write(Buffer.alloc(0));
    call.end();
  });
}

describe('who may call what, over real sockets', () => {
  for (const [name, kind, connect] of callers) {
    test(`${name}: every RPC of the matrix is allowed or refused as it says`, async () => {
      const client = await connect();
      for (const [method, allowed] of METHOD_CALLERS) {
        const status = await statusOf(client, method);
        const onlyLocal = allowed.length === 1 && allowed[0] === 'local';
        if (kind === 'local' && /^.signet.connector.v1.(Connector|VendorKeys)\//.test(method)) {
          // Connectors come over TCP.
          assert.equal(status, UNIMPLEMENTED, method);
        } else if (method.startsWith('/istio.')) {
          // Served where configuration says so; istio.test.ts calls it.
          assert.equal(status, UNIMPLEMENTED, method);
        } else if (allowed.some((each) => each === kind)) {
          assert.notEqual(status, PERMISSION_DENIED, method);
          assert.notEqual(status, UNIMPLEMENTED, method);
        } else if (kind !== 'local' && onlyLocal) {
          // Health and reflection are on the admin socket alone.
          assert.equal(status, UNIMPLEMENTED, method);
        } else if (allowed.includes('anonymous')) {
          assert.notEqual(status, PERMISSION_DENIED, method);
        } else {
          assert.equal(status, PERMISSION_DENIED, method);
        }
      }
    });
  }

  test('every method that is served is in the matrix', () => {
    const services = [
      AgentService,
      BundleService,
      EntryService,
      SVIDService,
      AgentSyncService,
      RevocationService,
      AttestationService,
      RuleService,
      LocalAuthorityService,
    ];
    for (const method of services.flatMap((service) => Object.values(service))) {
      assert.ok(METHOD_CALLERS.has(method.path), method.path);
    }
  });

  test('a method that nobody serves is Unimplemented', async () => {
    const path = '/spire.api.server.logger.v1.Logger/SetLogLevel';
    assert.equal(await statusOf(server.admin(), path), UNIMPLEMENTED);
    assert.equal(await statusOf(await server.tcp(), path), UNIMPLEMENTED);
  });
});

describe('the admin socket', () => {
  const GROUP = 54_321;
  const child = new URL('../support/count-entries.ts', import.meta.url).pathname;

  /** What a process of another user is told. */
  async function askAs(socket: string, gid: number): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [child, socket], {
      uid: 12_345,
      gid,
    });
    return stdout;
  }

  test('lets members of the configured group in, and other users not even by a wider mode', {
    skip: process.geteuid?.() === 0 ? false : 'needs root to run as other users',
  }, async () => {
    const grouped = await TestServer.start({ adminGroup: GROUP });
    const { path } = grouped.config.adminSocket;
    chmodSync(grouped.dir, 0o711);
    assert.equal(await askAs(path, GROUP), 'count 0');
    assert.match(await askAs(path, 12_345), /EACCES/);
    // An operator who opened folder and socket to everyone still lets nobody else in.
    chmodSync(dirname(path), 0o711);
    chmodSync(path, 0o666);
    assert.match(await askAs(path, 12_345), /PERMISSION_DENIED/);
    await grouped.stop();
  });
});
