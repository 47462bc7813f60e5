import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { newProvisioningKey } from '../../src/connectors/enrol/key-text.ts';
import type { EnrolCaller, ShownProof } from '../../src/connectors/enrol/request.ts';
import { keySha256 } from '../../src/connectors/issue.ts';
import type { SvidFacts } from '../../src/policy/svid-facts.ts';
import { boundKey, provisioningKey } from './connector-state.ts';
import { type EnrolRig, enrolRig } from './enrol-rig.ts';
import { PSAT_TOKEN } from './k8s-psat.ts';
import { assertValue } from './refused.ts';
import { id, START_SECONDS } from './state.ts';
import { makeKey, signWith, type TestKey } from './x509.ts';

/** Every proof. */
export const ALL_PROOFS = [
  'kubernetes-token',
  'x509-svid',
  'provisioning-key',
  'bound-key',
] as const;
/** The token of the rig's pod. */
export const TOKEN: ShownProof = { kind: 'kubernetes-token', token: PSAT_TOKEN };
/** The service account of the rig's pod. */
export const ACCOUNT = { cluster: 'east', namespace: 'spire', name: 'spire-agent' };
/** The SVID of the connection. */
export const SVID: ShownProof = { kind: 'x509-svid' };

/** A rig whose group `edge` takes every proof. */
export async function openedRig(
  context: TestContext,
  changes?: Parameters<typeof enrolRig>[1],
): Promise<EnrolRig> {
  const rig = await enrolRig(context, changes);
  const spiffeIds = ['spiffe://example.org/edge/*', 'spiffe://example.org/spire/*'];
  await rig.putGroup('edge', { proofs: ALL_PROOFS, serviceAccounts: [ACCOUNT], spiffeIds });
  return rig;
}

/** A provisioning key of the store, and what shows it. */
export async function makeProvisioningKey(
  { state }: EnrolRig,
  extra: Parameters<typeof provisioningKey>[2] = {},
  group = 'edge',
): Promise<Extract<ShownProof, { kind: 'provisioning-key' }> & { readonly id: string }> {
  const { id: keyId, text, secretHash } = newProvisioningKey(state.random);
  const key = provisioningKey(keyId, group, { secretHash, ...extra });
  assert.equal(assertValue(await state.registry.connectors.createProvisioningKey(key)), 'created');
  return { kind: 'provisioning-key', key: text, token: '', id: keyId };
}

/** A registered key pair, and what shows it. */
export async function bindKey({ state }: EnrolRig, maxRecoveries = 1, group = 'edge') {
  const pair = makeKey();
  const keyId = keySha256(pair.spki);
  const extra = { connectorId: 'vault-1', publicKey: pair.spki, maxRecoveries };
  const key = boundKey(keyId, group, extra);
  assert.equal(assertValue(await state.registry.connectors.registerBoundKey(key)), 'created');
  const proof =
    (recoveryCount: bigint, signer: TestKey = pair) =>
    (text: Uint8Array) =>
      ({
        kind: 'bound-key',
        publicKey: pair.spki,
        signature: signWith(signer, text),
        recoveryCount,
      }) as const;
  return { pair, keyId, proof };
}

/** A caller with an SVID. */
export function svidPeer(path: string, extra: Partial<SvidFacts> = {}): Partial<EnrolCaller> {
  const facts = { serialDecimal: '1', notAfterSeconds: START_SECONDS, signerKeyIds: [] };
  return { peer: { kind: 'svid', id: id(path), ...facts, ...extra } };
}

/** How often a provisioning key was used. */
export function usesOf({ state }: EnrolRig, keyId: string): number | undefined {
  return state.registry.connectors.provisioningKey(keyId)?.uses;
}
