import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { newProvisioningKey } from '../../src/connectors/enrol/key-text.ts';
import { enrolText } from '../../src/connectors/enrol/signed-text.ts';
import {
  ConnectorService,
  EnrolRequest,
  type EnrolResponse,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { groupDraft, provisioningKey } from '../support/connector-state.ts';
import { assertValue } from '../support/refused.ts';
import {
  ask,
  assertStatus,
  servedCertificate,
  TestServer,
  TRUST_DOMAIN,
  wireEntry,
} from '../support/server.ts';
import { makeCsr, makeKey, signWith, type TestKey } from '../support/x509.ts';

const KEYS = { good: newProvisioningKey(systemRandom), far: newProvisioningKey(systemRandom) };

let server: TestServer;

/** Writes into the database of a server that is not running. */
async function seed(write: (store: Store) => Promise<void>): Promise<void> {
  await server.halt();
  const trustDomain = assertValue(parseTrustDomain(TRUST_DOMAIN));
  const path = join(server.config.dataDir, 'server.sqlite');
  const place = { path, trustDomain, random: systemRandom, clock: systemClock };
  const store = assertValue(await openSqliteStore(place));
  await write(store);
  await store.close();
  await server.restart();
}

before(async () => {
  server = await TestServer.start({ connectors: { sessionEndpoints: ['signet.test:8081'] } });
  await seed(async (store) => {
    const proofs = ['provisioning-key', 'x509-svid'] as const;
    const spiffeIds = [`spiffe://${TRUST_DOMAIN}/edge/*`];
    const write = { draft: groupDraft('edge', { proofs, spiffeIds }), expectedRevision: undefined };
    assertValue(await store.writeConnectorGroups([write]));
    const expiresAtSeconds = Math.floor(Date.now() / 1000) + 3600;
    for (const [{ id, secretHash }, cidrs] of [
      [KEYS.good, ['127.0.0.0/8']],
      [KEYS.far, ['192.0.2.0/24']],
    ] as const) {
      const key = provisioningKey(id, 'edge', { secretHash, cidrs, expiresAtSeconds, maxUses: 2 });
      assertValue(await store.createProvisioningKey(key));
    }
  });
});

after(() => server?.stop());

/** Enrols as a connector does: a challenge first, over the same connection. */
async function enrol(
  client: Client,
  proof: NonNullable<EnrolRequest['proof']>,
  { key = makeKey(), ...fields }: Partial<EnrolRequest> & { readonly key?: TestKey } = {},
): Promise<EnrolResponse> {
  const { challenge } = await ask(client, ConnectorService.getChallenge, {
    publicKey: Buffer.from(key.spki),
  });
  const csr = Buffer.from(makeCsr({ key }));
  return ask(client, ConnectorService.enrol, {
    ...EnrolRequest.fromJSON({}),
    csr,
    group: 'edge',
    challenge,
    challengeSignature: Buffer.from(signWith(key, enrolText(challenge, csr))),
    clockMs: BigInt(Date.now()),
    proof,
    ...fields,
  });
}

function byKey({ text: key }: { readonly text: string }): NonNullable<EnrolRequest['proof']> {
  return { $case: 'provisioningKey', value: { key, kubernetesToken: '' } };
}

const BY_SVID = { $case: 'x509Svid', value: {} } as const;

async function mint(path: string): Promise<{ key: TestKey; chain: readonly Uint8Array[] }> {
  const key = makeKey();
  const csr = Buffer.from(makeCsr({ key, uris: [`spiffe://${TRUST_DOMAIN}${path}`] }));
  const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
  assert.ok(svid);
  return { key, chain: svid.certChain };
}

describe('enrolment over the wire', () => {
  test('by a provisioning key, from where it is for; the way was not opened', async () => {
    const client = await server.tcp();
    const key = makeKey();
    const shown = createHash('sha256')
      .update(await servedCertificate(server))
      .digest();
    const fields = { key, serverCertificateSha256: shown };
    const first = await enrol(client, byKey(KEYS.good), fields);
    assert.equal(first.spiffeId, `spiffe://${TRUST_DOMAIN}/connector/edge/${first.connectorId}`);
    assert.deepEqual(first.sessionEndpoints, ['signet.test:8081']);
    assert.equal(first.heartbeatSeconds, 30);
    assert.ok((first.bundles[0]?.x509Authorities.length ?? 0) > 0);
    const again = await enrol(client, byKey(KEYS.good), fields);
    assert.equal(again.connectorId, first.connectorId);
    await assertStatus(enrol(client, byKey(KEYS.far)), 'CONNECTOR_KEY_CIDR');
    const other = { serverCertificateSha256: Buffer.alloc(32) };
    await assertStatus(enrol(client, byKey(KEYS.good), other), 'CONNECTOR_TLS_INTERCEPTED');
  });

  test('of the same connector after the server ended and came back', async () => {
    const key = makeKey();
    const { connectorId } = await enrol(await server.tcp(), byKey(KEYS.good), { key });
    await server.restart();
    const again = await enrol(await server.tcp(), byKey(KEYS.good), { key });
    assert.equal(again.connectorId, connectorId);
  });

  test('by the SVID of the connection, and by none but a workload’s of the group', async () => {
    const client = await server.tcp(await mint('/edge/proxy'));
    assert.match((await enrol(client, BY_SVID)).spiffeId, /\/connector\/edge\//);
    const other = await server.tcp(await mint('/other'));
    await assertStatus(enrol(other, BY_SVID), 'CONNECTOR_CLAIMANT_DENIED');
    await assertStatus(enrol(await server.tcp(), BY_SVID), 'CONNECTOR_SVID');
  });

  test('of what is no enrolment is refused with the field', async () => {
    const client = await server.tcp();
    const proof = byKey(KEYS.good);
    const bad: readonly Partial<EnrolRequest>[] = [
      { group: 'Edge' },
      { group: '' },
      { clockMs: -1n },
      { clockMs: 2n ** 60n },
      { challenge: Buffer.alloc(129) },
      { serverCertificateSha256: Buffer.alloc(31) },
      { kubernetesCluster: 'a\n' },
      { instance: { ...NO_INSTANCE, hostname: '\u001b[2J' } },
      { instance: { ...NO_INSTANCE, hostname: 'a'.repeat(254) } },
    ];
    for (const fields of bad) await assertStatus(enrol(client, proof, fields), 'FIELD_INVALID');
    await assertStatus(enrol(client, proof, { csr: Buffer.alloc(0) }), 'FIELD_MISSING');
    await assertStatus(enrol(client, proof, { proof: undefined }), 'FIELD_MISSING');
    await assertStatus(
      ask(client, ConnectorService.getChallenge, { publicKey: Buffer.alloc(2049) }),
      'FIELD_INVALID',
    );
  });

  test('names below /connector are nobody’s else', async () => {
    const path = '/connector/edge/c1';
    const key = makeKey();
    const csr = Buffer.from(makeCsr({ key, uris: [`spiffe://${TRUST_DOMAIN}${path}`] }));
    const minted = ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
    await assertStatus(minted, 'GRANT_SPIFFE_ID');
    const entry = wireEntry({ spiffeId: { trustDomain: TRUST_DOMAIN, path } });
    const { results } = await ask(server.admin(), EntryService.batchCreateEntry, {
      entries: [entry],
      outputMask: undefined,
    });
    assert.match(results[0]?.status?.message ?? '', /reserved area \/connector/);
    const id = { trustDomain: TRUST_DOMAIN, path };
    const jwt = { id, audience: ['x'], ttl: 0 };
    await assertStatus(ask(server.admin(), SVIDService.mintJwtsvid, jwt), 'GRANT_SPIFFE_ID');
    const joining = { ttl: 60, token: '', agentId: id };
    const joined = ask(server.admin(), AgentService.createJoinToken, joining);
    assert.match(
      (await assertStatus(joined, 'FIELD_INVALID')).message,
      /reserved area \/connector/,
    );
    const other = await server.register({ spiffeId: { trustDomain: TRUST_DOMAIN, path: '/mine' } });
    const changed = await ask(server.admin(), EntryService.batchUpdateEntry, {
      entries: [{ ...other, spiffeId: id }],
      inputMask: undefined,
      outputMask: undefined,
    });
    assert.match(changed.results[0]?.status?.message ?? '', /reserved area \/connector/);
  });
});

const NO_INSTANCE = {
  version: '',
  os: '',
  arch: '',
  hostname: '',
  podName: '',
  nodeName: '',
};

test('a server that serves no connectors says so', async () => {
  const off = await TestServer.start();
  const client = await off.tcp();
  const publicKey = Buffer.from(makeKey().spki);
  await assertStatus(ask(client, ConnectorService.getChallenge, { publicKey }), 'CONNECTORS_OFF');
  await off.stop();
});

test('enrolments of one address are paced', async () => {
  const paced = await TestServer.start({
    connectors: { enrolmentsPerSecond: 0.1, enrolmentBurst: 1 },
  });
  const client = await paced.tcp();
  await assertStatus(enrol(client, BY_SVID), 'CONNECTOR_GROUP_UNKNOWN');
  await assertStatus(enrol(client, BY_SVID), 'RATE_LIMITED');
  await paced.stop();
});
