import { createHash, type KeyObject, sign } from 'node:crypto';
import { concatBytes, utf8 } from '../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/workload-client.ts';
import type { X509Context } from '../../src/client/x509-context.ts';
import type { EnrolRequest } from '../../src/gen/signet/connector/v1/connector.ts';
import { readSecret } from '../../src/runtime/secret.ts';
import type { TlsIdentity } from '../../src/tls/identity.ts';
import { type BoundKey, openBoundKey } from './bound-key.ts';
import { boundKeyPath } from './bound-key-path.ts';
import type { ConnectorConfig } from './config.ts';

/** What a proof is read from. */
export interface ProofParts {
  readonly config: Pick<ConnectorConfig, 'enrol' | 'workloadApi' | 'dataDir'>;
  /** Of the last answer that the bound key got. */
  readonly recoveryCount: () => bigint;
}

/** A proof that was read and is about to be shown. */
export interface Proof {
  /** What the connection is opened with, where that is the proof. */
  readonly identity: TlsIdentity | undefined;
  /** Signs where the method does, over the same words as the CSR's key. */
  show(words: Uint8Array): Promise<Result<NonNullable<EnrolRequest['proof']>>>;
}

/** What both signatures of an enrolment are over (`EnrolRequest.challenge_signature`). */
export function enrolmentWords(challenge: Uint8Array, csr: Uint8Array): Uint8Array {
  return concatBytes([utf8('signet.connector.v1.Enrol\0'), sha256(challenge), sha256(csr)]);
}

/** A signature over an enrolment's words: SHA-384 with P-384, else SHA-256. */
export function signEnrolment(words: Uint8Array, key: KeyObject): Buffer {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return sign(curve === 'secp384r1' ? 'sha384' : 'sha256', words, key);
}

/** Reads today's proof: tokens and keys are replaced while the companion runs. Fails with COMPANION_PROOF or COMPANION_BOUND_KEY. */
export async function readProof(parts: ProofParts): Promise<Result<Proof>> {
  const { enrol, workloadApi } = parts.config;
  switch (enrol.method) {
    case 'kubernetes-token': {
      const token = await readToken(enrol.tokenPath);
      if (!token.ok) return token;
      return ok(plain({ $case: 'kubernetesToken', value: token.value }));
    }
    case 'provisioning-key':
      return readProvisioningKey(enrol);
    case 'bound-key': {
      const key = await openBoundKey(boundKeyPath(parts.config), enrol.makeBoundKey);
      return key.ok ? ok(boundKeyProof(key.value, parts.recoveryCount())) : key;
    }
    case 'x509-svid':
      return readSvid(workloadApi.socket, enrol.spiffeId);
  }
}

/** The Workload API's answer, asked once. Fails with COMPANION_PROOF. */
export async function askWorkloadApi(socket: string | undefined): Promise<Result<X509Context>> {
  const address = parseWorkloadAddress(`unix:${socket ?? ''}`);
  if (!address.ok) return fail('COMPANION_PROOF', address.error.message);
  const client = new WorkloadClient(address.value);
  try {
    const context = await client.fetchX509Context();
    if (context.ok) return context;
    return fail('COMPANION_PROOF', `Workload API: ${context.error.message}`);
  } finally {
    client.close();
  }
}

function plain(proof: NonNullable<EnrolRequest['proof']>): Proof {
  return { identity: undefined, show: async () => ok(proof) };
}

async function readToken(path: string | undefined): Promise<Result<string>> {
  return readSecret({
    path: path ?? '',
    variable: '',
    setting: 'enrol.tokenPath',
    code: 'COMPANION_PROOF',
  });
}

async function readProvisioningKey(enrol: ConnectorConfig['enrol']): Promise<Result<Proof>> {
  const key = await readSecret({
    path: enrol.keyPath,
    variable: enrol.keyVariable,
    setting: 'enrol.keyPath',
    code: 'COMPANION_PROOF',
  });
  if (!key.ok) return key;
  const token = enrol.tokenPath === undefined ? ok('') : await readToken(enrol.tokenPath);
  if (!token.ok) return token;
  const value = { key: key.value.trim(), kubernetesToken: token.value };
  return ok(plain({ $case: 'provisioningKey', value }));
}

function boundKeyProof(key: BoundKey, recoveryCount: bigint): Proof {
  return {
    identity: undefined,
    show: async (words) => {
      const signature = await key.sign(words);
      if (!signature.ok) return signature;
      const value = {
        publicKey: Buffer.from(key.publicKeySpki),
        signature: Buffer.from(signature.value),
        recoveryCount,
      };
      return ok({ $case: 'boundKey', value });
    },
  };
}

async function readSvid(
  socket: string | undefined,
  wanted: string | undefined,
): Promise<Result<Proof>> {
  const context = await askWorkloadApi(socket);
  if (!context.ok) return context;
  const { svids } = context.value;
  const svid = wanted === undefined ? svids[0] : svids.find(({ id }) => id.uri === wanted);
  if (svid === undefined) {
    return fail(
      'COMPANION_PROOF',
      `the Workload API gives no X.509-SVID of ${wanted ?? 'anybody'}`,
    );
  }
  return ok({
    identity: {
      chainDer: svid.chain.map(({ der }) => der),
      privateKeyPkcs8: svid.privateKey.export({ type: 'pkcs8', format: 'der' }),
    },
    show: async () => ok({ $case: 'x509Svid', value: {} }),
  });
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
