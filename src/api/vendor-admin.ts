import { hash } from 'node:crypto';
import { equalBytes, toHex } from '../base/bytes.ts';
import { fail, type Result } from '../base/result.ts';
import { usesOf, type VendorKeyRecord } from '../connectors/vendor/key-record.ts';
import type { VendorKeys } from '../connectors/vendor/vendor-keys.ts';
import {
  DeleteVendorKeyResponse,
  EnrolmentCa,
  EnrolmentRoot,
  EnrolmentRootState,
  ListEnrolmentCasResponse,
  ListEnrolmentRootsResponse,
  ListVendorKeysResponse,
  type PutVendorKeyRequest,
  type SignEnrolmentCaRequest,
  type VendorAdminService,
  VendorKey,
} from '../gen/signet/connector/v1/vendor.ts';
import {
  type EnrolmentCas,
  type EnrolmentRoots,
  everyRoot,
  type VendorCa,
} from '../issuance/enrolment-ca.ts';
import { grantEnrolmentCa } from '../policy/enrolment-grants.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import type { Certificate } from '../x509/types.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, audit, noteAct, operatorCaller } from './context.ts';
import { vendorKeyName } from './vendor-keys.ts';

const { ENROLMENT_ROOT_STATE_ACTIVE: ACTIVE, ENROLMENT_ROOT_STATE_NEXT: NEXT } = EnrolmentRootState;

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
    ...(enrolment === undefined ? NO_ROOTS : enrolmentMethods(api, enrolment)),
  };
}

type EnrolmentMethods = Pick<
  Handlers<VendorAdminService>,
  | 'getEnrolmentRoot'
  | 'listEnrolmentRoots'
  | 'prepareEnrolmentRoot'
  | 'activateEnrolmentRoot'
  | 'signEnrolmentCa'
  | 'listEnrolmentCas'
>;

const NO_ROOTS: EnrolmentMethods = {
  getEnrolmentRoot: rootOff,
  listEnrolmentRoots: rootOff,
  prepareEnrolmentRoot: rootOff,
  activateEnrolmentRoot: rootOff,
  signEnrolmentCa: rootOff,
  listEnrolmentCas: rootOff,
};

function enrolmentMethods(api: ApiContext, enrolment: EnrolmentCas): EnrolmentMethods {
  return {
    getEnrolmentRoot: async () => {
      const root = await enrolment.root();
      if (!root.ok) return root;
      return fitAnswer(EnrolmentRoot, toWireRoot(root.value, ACTIVE));
    },
    listEnrolmentRoots: async () => {
      const roots = await enrolment.roots();
      if (!roots.ok) return roots;
      return fitAnswer(ListEnrolmentRootsResponse, { roots: toWireRoots(roots.value) });
    },
    prepareEnrolmentRoot: async (_request, context) => {
      const caller = operatorCaller(context);
      if (!caller.ok) return caller;
      const next = await enrolment.prepareRoot(caller.value);
      if (!next.ok) return next;
      // The ledger has it from when it was signed.
      audit(api, context, { serial: next.value.serialDecimal });
      return fitAnswer(EnrolmentRoot, toWireRoot(next.value, NEXT));
    },
    activateEnrolmentRoot: async ({ serialNumber }, context) => {
      const active = await enrolment.activateRoot(serialNumber);
      if (!active.ok) return active;
      audit(api, context, { serial: serialNumber });
      const serial = toHex(active.value.serial);
      await noteAct(api, context, { act: 'activate', connector: 'enrolment-root', serial });
      return fitAnswer(EnrolmentRoot, toWireRoot(active.value, ACTIVE));
    },
    signEnrolmentCa: (request, context) => signCa(api, enrolment, request, context),
    listEnrolmentCas: async () => {
      // No root is made by looking, and none needs its key for it.
      const roots = await enrolment.roots();
      if (!roots.ok) return roots;
      const known = everyRoot(roots.value);
      const cas = enrolment.list().map((ca) => toWireCa(ca, known));
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
    return fail(
      'CONNECTOR_GROUP_UNKNOWN',
      `there is no connector group ${JSON.stringify(group.slice(0, 80))}`,
    );
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
  return fitAnswer(EnrolmentCa, toWireCa(signed.value, [root.value]));
}

function rootOff(): Result<never> {
  return fail('ENROLMENT_ROOT_OFF', 'connectors.enrolmentRoot is not set');
}

function toWireRoots({ active, next, old }: EnrolmentRoots): EnrolmentRoot[] {
  return [
    ...(active === undefined ? [] : [toWireRoot(active, ACTIVE)]),
    ...(next === undefined ? [] : [toWireRoot(next, NEXT)]),
    ...old.map((root) => toWireRoot(root, EnrolmentRootState.ENROLMENT_ROOT_STATE_OLD)),
  ];
}

function toWireRoot(root: Certificate, state: EnrolmentRootState): EnrolmentRoot {
  const { der, serialDecimal, notAfterMs } = root;
  const expiresAt = BigInt(notAfterMs / 1000);
  return { certificate: Buffer.from(der), state, serialNumber: serialDecimal, expiresAt };
}

/** With the root that signed it, which need not be the one that signs now. */
function toWireCa({ vendor, certificate }: VendorCa, roots: readonly Certificate[]): EnrolmentCa {
  const { der, serialDecimal, notAfterMs, issuerDer } = certificate;
  const root = roots.find(({ subjectDer }) => equalBytes(subjectDer, issuerDer));
  return {
    chain: [der, ...(root === undefined ? [] : [root.der])].map((each) => Buffer.from(each)),
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
