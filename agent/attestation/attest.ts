import { createPrivateKey, sign } from 'node:crypto';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { createKey, createRequest, type KeyAndRequest } from '../identity/csr.ts';
import { readTrustBundle, type TrustBundle } from '../identity/trust-bundle.ts';
import { converse } from './converse.ts';
import type { AttestationKey, NodeAttestor } from './node-attestor.ts';
import { type OwnSvid, type RenewalTime, readOwnSvid } from './own-svid.ts';
import { callServer } from './server-call.ts';
import type { ServerClients } from './server-clients.ts';
import type { AgentState, StateFile } from './state.ts';

/** Longest wait for the bundle, in milliseconds. */
const BUNDLE_TIMEOUT_MS = 30_000;

/** What an attestation needs. */
export interface AttestParts {
  readonly trustDomain: TrustDomain;
  readonly attestor: NodeAttestor;
  readonly state: StateFile;
  readonly renewal: RenewalTime;
}

/** What an attestation yields. */
export interface Attested {
  readonly svid: OwnSvid;
  readonly bundle: TrustBundle;
}

/**
 * Attests over a connection without a client certificate, and fetches the bundle on the same one
 * (spire-compatibility A.3.15). The key is stored before it is sent: when the answer is lost with
 * the process, the next attempt shows the same key and gets the same answer. Fails with
 * AGENT_ATTESTATION_REFUSED, AGENT_BANNED, AGENT_SERVER_UNAVAILABLE or AGENT_SERVER_ANSWER.
 */
export async function attestNode(
  parts: AttestParts,
  clients: Pick<ServerClients, 'agent' | 'bundle'>,
): Promise<Result<Attested>> {
  const key = await attestationKey(parts.state);
  if (!key.ok) return key;
  const session = await parts.attestor.begin(proofOf(key.value));
  if (!session.ok) return session;
  const result = await converse(clients, parts.attestor, {
    session: session.value,
    csr: Buffer.from(key.value.csr),
  }).finally(() => session.value.close());
  if (!result.ok) return result;
  const svid = readOwnSvid(
    {
      chainDer: result.value.svid?.certChain ?? [],
      privateKeyPkcs8: key.value.privateKeyPkcs8,
      reattestable: result.value.reattestable,
    },
    parts.trustDomain,
    parts.renewal,
  );
  if (!svid.ok) return svid;
  const bundle = await fetchBundle(clients, parts.trustDomain);
  return bundle.ok ? ok({ svid: svid.value, bundle: bundle.value }) : bundle;
}

/** The own bundle as the server answers it. */
async function fetchBundle(
  clients: Pick<ServerClients, 'bundle'>,
  trustDomain: TrustDomain,
): Promise<Result<TrustBundle>> {
  const { bundle: client } = clients;
  const wire = await callServer(
    client.getBundle.bind(client),
    { outputMask: undefined },
    BUNDLE_TIMEOUT_MS,
  );
  if (!wire.ok) return wire;
  const bundle = readTrustBundle(wire.value);
  if (!bundle.ok) return bundle;
  if (bundle.value.bundle.trustDomain.name !== trustDomain.name) {
    return fail('AGENT_SERVER_ANSWER', `the server is of trust domain ${wire.value.trustDomain}`);
  }
  if (bundle.value.bundle.x509Authorities.length === 0) {
    return fail('AGENT_SERVER_ANSWER', "the server's bundle has no X.509 authority");
  }
  return bundle;
}

async function attestationKey(state: StateFile): Promise<Result<KeyAndRequest>> {
  const stored = restoreKey(state.current);
  if (stored !== undefined) return ok(stored);
  const request = createRequest('ec-p256', await createKey('ec-p256'), undefined);
  const saved = await state.save({ pendingKey: request.privateKeyPkcs8.toString('base64') });
  if (saved.ok) return ok(request);
  // Not durable, so not to be shown by the next attempt either: a token would be spent on it.
  void state.save({ pendingKey: undefined });
  return saved;
}

function restoreKey({ pendingKey }: AgentState): KeyAndRequest | undefined {
  if (pendingKey === undefined) return undefined;
  const key = createPrivateKey({
    key: Buffer.from(pendingKey, 'base64'),
    format: 'der',
    type: 'pkcs8',
  });
  return createRequest('ec-p256', key, undefined);
}

/** What an attestor may do with the key: evidence can be bound to it, the key itself stays here. */
function proofOf({ privateKeyPkcs8, publicKeySpki }: KeyAndRequest): AttestationKey {
  const key = createPrivateKey({ key: privateKeyPkcs8, format: 'der', type: 'pkcs8' });
  return { spki: publicKeySpki, sign: (message) => sign('sha256', message, key) };
}
