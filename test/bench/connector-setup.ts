import { createHash, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { PeerCertificate } from 'node:tls';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { encodePem } from '../../src/der/pem.ts';
import {
  ConnectorAdminClient,
  CreateProvisioningKeyRequest,
  type CreateProvisioningKeyResponse,
  PutGroupRequest,
  PutSegmentRequest,
} from '../../src/gen/signet/connector/v1/admin.ts';
import {
  ConnectorClient,
  EnrolRequest,
  type EnrolResponse,
  type GetChallengeResponse,
  Protocol,
  Segment,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { Fleet } from '../support/fleet.ts';
import { makeCsr, makeKey } from '../support/x509.ts';
import type { EnrolledClient } from './connector-clients.ts';

/** Enrolments under way at once. */
const AT_ONCE = 48;

const GROUP = 'bench';

type Done<T> = (error: ServiceError | null, answer: T) => void;

/** What a unary call of grpc-js answers. */
export function answerOf<T>(start: (done: Done<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, answer) => (error === null ? resolve(answer) : reject(error)));
  });
}

/** The operators' client of a fleet. */
export function adminOf(fleet: Fleet): ConnectorAdminClient {
  return new ConnectorAdminClient(`unix:${fleet.adminSocket}`, credentials.createInsecure());
}

/** Makes or replaces a segment of the group. */
export async function putSegment(
  admin: ConnectorAdminClient,
  id: string,
  priority = 0,
): Promise<void> {
  const segment = Segment.fromJSON({
    id,
    hosts: [`${id}.example.org`],
    protocol: Protocol.PROTOCOL_TCP,
    ports: [{ first: 5432, last: 5432 }],
    clients: ['spiffe://example.org/app/*'],
    priority,
  });
  const request = PutSegmentRequest.fromJSON({ segment: { segment, groups: [GROUP] } });
  await answerOf<unknown>((done) => admin.putSegment(request, done));
}

/** Makes the group, some segments and a provisioning key; answers the key's text. */
export async function prepareGroup(
  admin: ConnectorAdminClient,
  { segments, uses }: { readonly segments: number; readonly uses: number },
): Promise<string> {
  const spec = { name: GROUP, proofs: ['provisioning-key'] };
  const group = PutGroupRequest.fromJSON({ group: spec });
  await answerOf<unknown>((done) => admin.putGroup(group, done));
  for (let index = 0; index < segments; index++) await putSegment(admin, `segment-${index}`);
  const request = CreateProvisioningKeyRequest.fromJSON({
    group: GROUP,
    ttlSeconds: 3600,
    maxUses: uses,
  });
  const created = await answerOf<CreateProvisioningKeyResponse>((done) =>
    admin.createProvisioningKey(request, done),
  );
  return created.key;
}

/** Enrols connectors, each with a key of its own, and writes them to a file for the clients. */
export async function enrolAll(
  fleet: Fleet,
  key: string,
  { count, path }: { readonly count: number; readonly path: string },
): Promise<readonly EnrolledClient[]> {
  writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
  let shown: Buffer = Buffer.alloc(0);
  const checkServerIdentity = (_host: string, { raw }: PeerCertificate): undefined => {
    shown = createHash('sha256').update(raw).digest();
  };
  const root = Buffer.from((await fleet.cli('bundle', 'show')).stdout);
  const tls = credentials.createSsl(root, null, null, { checkServerIdentity });
  const client = new ConnectorClient(`127.0.0.1:${fleet.port}`, tls, {
    'grpc.ssl_target_name_override': 'localhost',
  });
  const enrolled: EnrolledClient[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      enrolled.push(await enrolOne(client, key, () => shown));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  client.close();
  writeFileSync(path, JSON.stringify(enrolled), { mode: 0o600 });
  return enrolled;
}

async function enrolOne(
  client: ConnectorClient,
  provisioningKey: string,
  shown: () => Buffer,
): Promise<EnrolledClient> {
  const key = makeKey();
  const publicKey = Buffer.from(key.spki);
  const { challenge } = await answerOf<GetChallengeResponse>((done) =>
    client.getChallenge({ publicKey }, done),
  );
  const csr = Buffer.from(makeCsr({ key }));
  const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
  const text = [Buffer.from('signet.connector.v1.Enrol\0'), sha256(challenge), sha256(csr)];
  const stated = EnrolRequest.fromJSON({
    group: GROUP,
    instance: { version: 'bench', os: 'linux', arch: 'amd64' },
    clockMs: Date.now(),
    provisioningKey: { key: provisioningKey, kubernetesToken: '' },
  });
  const { connectorId, svid } = await answerOf<EnrolResponse>((done) => {
    const request = {
      ...stated,
      csr,
      challenge,
      challengeSignature: sign('sha256', Buffer.concat(text), key.privateKey),
      serverCertificateSha256: shown(),
    };
    return client.enrol(request, done);
  });
  return {
    id: connectorId,
    certificate: (svid?.chain ?? []).map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: String(key.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    serial: svid?.serialNumber ?? '',
    expiresAt: Number(svid?.expiresAt ?? 0n),
  };
}
