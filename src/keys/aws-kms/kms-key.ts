import {
  DescribeKeyCommand,
  GetPublicKeyCommand,
  type KeyMetadata,
  type KeySpec,
  ListResourceTagsCommand,
  SignCommand,
  type SigningAlgorithmSpec,
  type Tag,
} from '@aws-sdk/client-kms';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KeyType, SigningKey, SignOptions } from '../key-manager.ts';
import { createOutsideKey } from '../outside/outside-key.ts';
import { PASSING_FAULTS } from '../outside/paced-calls.ts';
import type { KmsCalls } from './kms-calls.ts';

/** What KMS calls the types of key. */
export const KEY_SPECS = {
  'ec-p256': 'ECC_NIST_P256',
  'ec-p384': 'ECC_NIST_P384',
  'rsa-2048': 'RSA_2048',
  'rsa-4096': 'RSA_4096',
} as const satisfies Readonly<Record<KeyType, KeySpec>>;

/** For reads of a key made a moment ago: KMS may not know it everywhere yet. */
const UNTIL_KNOWN: readonly ErrorCode[] = [...PASSING_FAULTS, 'KEY_DELETED'];

/** What KMS says of a key. */
export type KeyFacts = KeyMetadata & { readonly KeyId: string };

/** The facts of a key, by its id or by an alias. */
export async function describeKey(calls: KmsCalls, keyId: string): Promise<Result<KeyFacts>> {
  const answer = await calls.send('DescribeKey', (client, options) =>
    client.send(new DescribeKeyCommand({ KeyId: keyId }), options),
  );
  if (!answer.ok) return answer;
  const facts = answer.value.KeyMetadata;
  if (facts?.KeyId === undefined)
    return fail('KEY_MANAGER_FAULT', 'AWS KMS answered without a key');
  return ok({ ...facts, KeyId: facts.KeyId });
}

/** The tags of a key (50 at most, so a page holds them all). */
export async function keyTagsOf(calls: KmsCalls, keyId: string): Promise<Result<readonly Tag[]>> {
  const answer = await calls.send('ListResourceTags', (client, options) =>
    client.send(new ListResourceTagsCommand({ KeyId: keyId }), options),
  );
  return answer.ok ? ok(answer.value.Tags ?? []) : answer;
}

/** Refuses a key that cannot sign: disabled, or on its way out. */
export function checkState(facts: KeyFacts, slot: string): Result<void> {
  const { KeyState: state, KeyId: keyId } = facts;
  const about = `key ${keyId} of slot ${slot}`;
  if (state === 'Disabled') return fail('KEY_DISABLED', `${about} is disabled`);
  if (state === 'PendingDeletion' || state === 'PendingReplicaDeletion') {
    return fail('KEY_DELETED', `${about} is scheduled for deletion`);
  }
  if (state === 'Enabled' || state === 'Creating' || state === 'Updating') return ok(undefined);
  return fail('KEY_UNAVAILABLE', `${about} is in state ${state ?? 'unknown'}`);
}

/** Which KMS key stands behind which slot. */
export interface KmsKeyRef {
  readonly slot: string;
  readonly keyId: string;
}

/**
 * The signing key that a KMS key is, with its public key, asked once. It is tied to the key's id, not
 * to the alias: whatever happens to the alias, this signs with the key that it is or not at all.
 */
export async function loadKmsKey(
  calls: KmsCalls,
  { slot, keyId }: KmsKeyRef,
): Promise<Result<SigningKey>> {
  const answer = await calls.send(
    'GetPublicKey',
    (client, options) => client.send(new GetPublicKeyCommand({ KeyId: keyId }), options),
    UNTIL_KNOWN,
  );
  if (!answer.ok) return answer;
  const { KeySpec: spec, KeyUsage: usage, PublicKey: publicKeySpki } = answer.value;
  const type = keyTypeOf(spec);
  if (type === undefined || usage !== 'SIGN_VERIFY' || publicKeySpki === undefined) {
    return fail(
      'KEY_ALIAS_MOVED',
      `key ${keyId} of slot ${slot} is a ${spec ?? '?'} key for ${usage}`,
    );
  }
  return ok(
    createOutsideKey({
      slot,
      type,
      publicKeySpki: Uint8Array.from(publicKeySpki),
      ecdsaForm: 'der',
      signDigest: ({ digest, options }) => signDigest({ calls, keyId, type, digest, options }),
    }),
  );
}

function keyTypeOf(spec: KeySpec | undefined): KeyType | undefined {
  // Object.entries forgets that the names are key types; KEY_SPECS is checked to have only those.
  const pairs = Object.entries(KEY_SPECS) as [KeyType, KeySpec][];
  return pairs.find(([, each]) => each === spec)?.[0];
}

async function signDigest(order: {
  readonly calls: KmsCalls;
  readonly keyId: string;
  readonly type: KeyType;
  readonly digest: Uint8Array;
  readonly options: SignOptions;
}): Promise<Result<Uint8Array>> {
  const { calls, keyId, type, digest, options } = order;
  const algorithm = algorithmOf(type, options);
  if (algorithm === undefined) {
    return fail(
      'KEY_SIGNING_UNSUPPORTED',
      `AWS KMS does not sign ${options.hash} with a ${type} key`,
    );
  }
  const answer = await calls.send('Sign', (client, sendOptions) =>
    client.send(
      new SignCommand({
        KeyId: keyId,
        Message: digest,
        MessageType: 'DIGEST',
        SigningAlgorithm: algorithm,
      }),
      sendOptions,
    ),
  );
  if (!answer.ok) return answer;
  const { Signature: signature } = answer.value;
  return signature === undefined
    ? fail('KEY_MANAGER_FAULT', 'AWS KMS answered without a signature')
    : ok(signature);
}

const BITS = { sha256: '256', sha384: '384', sha512: '512' } as const;

function algorithmOf(type: KeyType, options: SignOptions): SigningAlgorithmSpec | undefined {
  if (type === 'ec-p256') return options.hash === 'sha256' ? 'ECDSA_SHA_256' : undefined;
  if (type === 'ec-p384') return options.hash === 'sha384' ? 'ECDSA_SHA_384' : undefined;
  const bits = BITS[options.hash];
  return options.pss === true ? `RSASSA_PSS_SHA_${bits}` : `RSASSA_PKCS1_V1_5_SHA_${bits}`;
}
