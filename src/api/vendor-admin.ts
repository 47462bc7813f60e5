import { hash } from 'node:crypto';
import { fail, type Result } from '../base/result.ts';
import { usesOf, type VendorKeyRecord } from '../connectors/vendor/key-record.ts';
import type { VendorKeys } from '../connectors/vendor/vendor-keys.ts';
import {
  DeleteVendorKeyResponse,
  EnrolmentCa,
  EnrolmentRoot,
  ListEnrolmentCasResponse,
  ListVendorKeysResponse,
  type PutVendorKeyRequest,
  type SignEnrolmentCaRequest,
  type VendorAdminService,
  VendorKey,
} from '../gen/signet/connector/v1/vendor.ts';
import type { EnrolmentCas, VendorCa } from '../issuance/enrolment-ca.ts';
import { grantEnrolmentCa } from '../policy/enrolment-grants.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import type { Certificate } from '../x509/types.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, audit, noteAct, operatorCaller } from './context.ts';
import { vendorKeyName } from './vendor-keys.ts';

/** What vendors' connectors need of a server. */
export interface VendorParts {
  /** Undefined where configuration wants no enrolment root. */
  readonly enrolment: EnrolmentCas | undefined;
  readonly keys: VendorKeys;
}

/** `signet.connector.v1.VendorAdmin`: vendors' keys and enrolment CAs, for operators. */
export function createVendorAdminService(
  api: ApiContext,
  { enrolment, keys }: VendorParts,
): Handlers<VendorAdminService> {
  return {
    putVendorKey: (request, context) => putKey(api, keys, request, context),
    listVendorKeys: async () => {
      const listed = await keys.listNow();
      if (!listed.ok) return listed;
      return fitAnswer(ListVendorKeysResponse, { keys: listed.value.map(toWireKey) });
    },
    deleteVendorKey: async ({ group }, context) => {
      const deleted = await keys.delete(group);
      if (!deleted.ok) return deleted;
      if (!deleted.value) return fail('VENDOR_KEY_NONE', `group ${group} has no vendor key`);
      audit(api, context, { group });
      await noteAct(api, context, { act: 'delete', connector: vendorKeyName(group) });
      return fitAnswer(DeleteVendorKeyResponse, {});
    },
    getEnrolmentRoot: async () => {
      const root = enrolment === undefined ? rootOff() : await enrolment.root();
      if (!root.ok) return root;
      return fitAnswer(EnrolmentRoot, { certificate: Buffer.from(root.value.der) });
    },
    signEnrolmentCa: (request, context) =>
      enrolment === undefined ? rootOff() : signCa(api, enrolment, request, context),
    listEnrolmentCas: async () => {
      if (enrolment === undefined) return rootOff();
      const signed = enrolment.list();
      // No root is made by looking.
      if (signed.length === 0) return fitAnswer(ListEnrolmentCasResponse, { cas: [] });
      const root = await enrolment.root();
      if (!root.ok) return root;
      const cas = signed.map((ca) => toWireCa(ca, root.value));
      return fitAnswer(ListEnrolmentCasResponse, { cas });
    },
  };
}

async function putKey(
  api: ApiContext,
  keys: VendorKeys,
  { group, key, maxUses, used, description }: PutVendorKeyRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  if (api.connectors !== undefined && api.connectors.group(group) === undefined) {
    return fail('FIELD_INVALID', `there is no connector group ${group}`);
  }
  const put = await keys.put({ group, key, maxUses, used, description });
  if (!put.ok) return put;
  const { fingerprint } = put.value;
  audit(api, context, { group, fingerprint, maxUses, uses: usesOf(put.value) });
  // Without the fingerprint: what is in the ledger stays there for good.
  await noteAct(api, context, { act: 'put', connector: vendorKeyName(group) });
  return fitAnswer(VendorKey, toWireKey(put.value));
}

async function signCa(
  api: ApiContext,
  enrolment: EnrolmentCas,
  { csr, ttlSeconds, vendor }: SignEnrolmentCaRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const caller = operatorCaller(context);
  if (!caller.ok) return caller;
  const grant = grantEnrolmentCa(caller.value, { vendor, ttlSeconds }, api.policy);
  if (!grant.ok) return grant;
  const root = await enrolment.root();
  if (!root.ok) return root;
  const signed = await enrolment.sign(grant.value, csr);
  if (!signed.ok) return signed;
  const { serialDecimal: serial, notAfterMs, publicKey } = signed.value.certificate;
  const keySha256 = hash('sha256', publicKey.spki);
  audit(api, context, { vendor, serial, notAfterSeconds: notAfterMs / 1000, keySha256 });
  return fitAnswer(EnrolmentCa, toWireCa(signed.value, root.value));
}

function rootOff(): Result<never> {
  return fail('ENROLMENT_ROOT_OFF', 'connectors.enrolmentRoot is not set');
}

function toWireCa({ vendor, certificate }: VendorCa, root: Certificate): EnrolmentCa {
  const { der, serialDecimal, notAfterMs } = certificate;
  return {
    chain: [Buffer.from(der), Buffer.from(root.der)],
    vendor,
    serialNumber: serialDecimal,
    expiresAt: BigInt(notAfterMs / 1000),
  };
}

/** All but the key. */
function toWireKey(record: VendorKeyRecord): VendorKey {
  const { group, maxUses, changedAtSeconds, description, fingerprint } = record;
  const uses = usesOf(record);
  return { group, maxUses, uses, changedAt: BigInt(changedAtSeconds), description, fingerprint };
}
