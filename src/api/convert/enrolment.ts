import { isPlainText } from '../../base/plain-text.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { EnrolRequest, ShownProof } from '../../connectors/enrol/request.ts';
import type {
  Instance,
  EnrolRequest as WireRequest,
} from '../../gen/signet/connector/v1/connector.ts';
import { groupNameProblem } from '../../rules/connector/group-checks.ts';
import type { ConnectorInstance } from '../../rules/connector/record.ts';

/** Longest text that a connector says of itself, and name of a cluster, in characters. */
const MAX_TEXT = 253;

const MAX_CHALLENGE_BYTES = 128;

/** An RSA signature of 4096 bits has 512. */
const MAX_SIGNATURE_BYTES = 1024;

/** A key of RSA 4096 has 550. */
const MAX_KEY_BYTES = 2048;

const SHA256_BYTES = 32;

const MAX_NUMBER = BigInt(Number.MAX_SAFE_INTEGER);

/** Reads an enrolment: the form of every field, and nothing else. Fails with FIELD_MISSING and FIELD_INVALID. */
export function readEnrolRequest(wire: WireRequest): Result<EnrolRequest> {
  const problem = fieldProblem(wire);
  if (problem !== undefined) return fail('FIELD_INVALID', problem);
  if (wire.csr.length === 0) return fail('FIELD_MISSING', 'csr is required');
  const instance = readInstance(wire.instance);
  if (!instance.ok) return instance;
  const proof = readProof(wire);
  if (!proof.ok) return proof;
  return ok({
    csr: wire.csr,
    group: wire.group,
    instance: instance.value,
    challenge: wire.challenge,
    challengeSignature: wire.challengeSignature,
    clockMs: Number(wire.clockMs),
    serverCertificateSha256: wire.serverCertificateSha256,
    cluster: wire.kubernetesCluster,
    proof: proof.value,
  });
}

/** Reads the key that a challenge is asked for. */
export function readChallengeKey(publicKey: Uint8Array): Result<Uint8Array> {
  if (publicKey.length === 0) return fail('FIELD_MISSING', 'public_key is required');
  if (publicKey.length <= MAX_KEY_BYTES) return ok(publicKey);
  return fail('FIELD_INVALID', `public_key: ${publicKey.length} bytes; at most ${MAX_KEY_BYTES}`);
}

function fieldProblem(wire: WireRequest): string | undefined {
  const { challenge, challengeSignature, clockMs, serverCertificateSha256: shown } = wire;
  const group = groupNameProblem(wire.group);
  if (group !== undefined) return `group: ${group}`;
  if (challenge.length > MAX_CHALLENGE_BYTES) return 'challenge is longer than any that is given';
  if (challengeSignature.length > MAX_SIGNATURE_BYTES) {
    return `challenge_signature has more than ${MAX_SIGNATURE_BYTES} bytes`;
  }
  if (clockMs < 0n || clockMs > MAX_NUMBER) return 'clock_ms is no time';
  if (shown.length !== 0 && shown.length !== SHA256_BYTES) {
    return `server_certificate_sha256 has ${shown.length} bytes; a SHA-256 has ${SHA256_BYTES}`;
  }
  return isPlainText(wire.kubernetesCluster, MAX_TEXT)
    ? undefined
    : 'kubernetes_cluster is no name';
}

function readInstance(instance: Instance | undefined): Result<ConnectorInstance> {
  const { version, os, arch, hostname, podName, nodeName } = instance ?? NO_INSTANCE;
  const texts = { version, os, arch, hostname, podName, nodeName };
  for (const [name, text] of Object.entries(texts)) {
    if (!isPlainText(text, MAX_TEXT)) {
      return fail('FIELD_INVALID', `instance.${name}: at most ${MAX_TEXT} printable characters`);
    }
  }
  return ok(texts);
}

const NO_INSTANCE: Instance = {
  version: '',
  os: '',
  arch: '',
  hostname: '',
  podName: '',
  nodeName: '',
};

function readProof({ proof }: WireRequest): Result<ShownProof> {
  switch (proof?.$case) {
    case 'kubernetesToken':
      return ok({ kind: 'kubernetes-token', token: proof.value });
    case 'x509Svid':
      return ok({ kind: 'x509-svid' });
    case 'provisioningKey': {
      const { key, kubernetesToken: token } = proof.value;
      return ok({ kind: 'provisioning-key', key, token });
    }
    case 'boundKey': {
      const { publicKey, signature, recoveryCount } = proof.value;
      const fits = publicKey.length <= MAX_KEY_BYTES && signature.length <= MAX_SIGNATURE_BYTES;
      if (!fits || recoveryCount > MAX_NUMBER) {
        return fail('FIELD_INVALID', 'bound_key is longer, or higher, than any can be');
      }
      return ok({ kind: 'bound-key', publicKey, signature, recoveryCount });
    }
    case undefined:
      return fail('FIELD_MISSING', 'one of the proofs is required');
  }
}
