import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { arch, hostname, platform } from 'node:os';
import { makeCsr, publicKeyOf } from './csr.ts';
import type { Identity } from './state.ts';
import { type Connection, connectTo, type Server, type Shown } from './transport.ts';
import { type EnrolResponse, Refused } from './wire.ts';

/** How the connector proves who it is. */
export type Proof =
  | { readonly kind: 'provisioning-key'; readonly key: string; readonly tokenPath?: string }
  | { readonly kind: 'kubernetes-token'; readonly tokenPath: string }
  | { readonly kind: 'bound-key'; readonly key: KeyObject }
  | { readonly kind: 'x509-svid'; readonly shown: Shown };

/** All that one enrolment takes. */
export interface EnrolWish {
  readonly server: Server;
  readonly group: string;
  readonly proof: Proof;
  /** As the last answer said, 0 before the first. */
  readonly recoveryCount: number;
  readonly nowMs: () => number;
  /** The key to enrol: the same again after an answer that did not come. */
  readonly key: KeyObject;
}

/** About the connector, for people. */
export const INSTANCE = {
  version: 'reference/1',
  os: platform(),
  arch: arch(),
  hostname: hostname(),
  podName: process.env.POD_NAME ?? '',
  nodeName: process.env.NODE_NAME ?? '',
};

/** A fresh key for an SVID. */
export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** Challenges live for a minute, and only with the server that gave them: these say to get another. */
const ANOTHER_CHALLENGE: ReadonlySet<string> = new Set([
  'CONNECTOR_CHALLENGE_UNKNOWN',
  'CONNECTOR_CHALLENGE_EXPIRED',
  'CONNECTOR_CHALLENGE_USED',
]);

/** Challenge, proof, SVID. Rejects with `Refused`. */
export async function enrol(wish: EnrolWish): Promise<Identity> {
  const { proof } = wish;
  const connection = connectTo(wish.server, proof.kind === 'x509-svid' ? proof.shown : undefined);
  try {
    for (let tries = 1; ; tries++) {
      try {
        return identityOf(await ask(wish, connection), wish.key);
      } catch (error) {
        const again = error instanceof Refused && ANOTHER_CHALLENGE.has(error.code);
        if (!again || tries === 3) throw error;
      }
    }
  } finally {
    connection.client.close();
  }
}

async function ask(wish: EnrolWish, { client, seenHash }: Connection): Promise<EnrolResponse> {
  const { key } = wish;
  const publicKey = publicKeyOf(key);
  const { challenge } = await client.unary<{ challenge: Buffer }>('GetChallenge', { publicKey });
  const csr = makeCsr(key);
  const signed = textToSign(challenge, csr);
  return client.unary<EnrolResponse>('Enrol', {
    csr,
    group: wish.group,
    instance: INSTANCE,
    challenge,
    challengeSignature: sign('sha256', signed, key),
    clockMs: wish.nowMs(),
    serverCertificateSha256: seenHash(),
    ...messageOf(wish, signed),
  });
}

/** What both keys sign: a name, a zero byte, and the hashes of the challenge and of the CSR. */
export function textToSign(challenge: Buffer, csr: Buffer): Buffer {
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
  return Buffer.concat([
    Buffer.from('signet.connector.v1.Enrol\0', 'ascii'),
    sha256(challenge),
    sha256(csr),
  ]);
}

/** The member of the oneof `proof`. */
function messageOf({ proof, recoveryCount }: EnrolWish, signed: Buffer): object {
  const token = (path: string | undefined) =>
    path === undefined ? '' : readFileSync(path, 'utf8').trim();
  switch (proof.kind) {
    case 'provisioning-key':
      return { provisioningKey: { key: proof.key, kubernetesToken: token(proof.tokenPath) } };
    case 'kubernetes-token':
      return { kubernetesToken: token(proof.tokenPath) };
    case 'x509-svid':
      return { x509Svid: {} };
    case 'bound-key': {
      const hash = proof.key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
      const signature = sign(hash, signed, proof.key);
      return { boundKey: { publicKey: publicKeyOf(proof.key), signature, recoveryCount } };
    }
  }
}

function identityOf(answer: EnrolResponse, key: KeyObject): Identity {
  if (answer.svid === null) throw new Refused('', 'the answer holds no SVID');
  return {
    key: String(key.export({ type: 'pkcs8', format: 'pem' })),
    svid: answer.svid,
    connectorId: answer.connectorId,
    spiffeId: answer.spiffeId,
    bundles: answer.bundles,
    endpoints: answer.sessionEndpoints,
    recoveryCount: answer.recoveryCount,
  };
}
