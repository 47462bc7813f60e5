import { join } from 'node:path';
import { refuseConnectors } from '../api/connector-service.ts';
import type { ApiContext } from '../api/context.ts';
import { createVendorAdminService, type VendorParts } from '../api/vendor-admin.ts';
import { createVendorKeysService } from '../api/vendor-keys.ts';
import { EnrolmentRootKeeper } from '../authority/enrolment-root.ts';
import { ok, type Result } from '../base/result.ts';
import { VendorKeys } from '../connectors/vendor/vendor-keys.ts';
import { VendorAdminService, VendorKeysService } from '../gen/signet/connector/v1/vendor.ts';
import { createEnrolmentCas, type EnrolmentCas } from '../issuance/enrolment-ca.ts';
import type { LedgerRecorder } from '../issuance/ledger-recorder.ts';
import { createFileWrapper } from '../keys/file-wrapper.ts';
import type { Registry } from '../registry/registry.ts';
import type { RpcHost } from '../rpc/host.ts';
import type { CallGuard } from '../rpc/service.ts';
import { KeptView } from '../store/kept-view.ts';
import type { Store } from '../store/store.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import type { ServerBase } from './server.ts';
import type { ServerKeys } from './server-keys.ts';
import type { EnrolmentRootSettings } from './vendor-settings.ts';

/** The key that wraps vendors' keys where the key manager has none, in the data directory. */
const WRAPPING_FILE = 'vendor-keys.key';

/** What vendors' connectors need stands on this. */
export interface VendorSurroundings {
  readonly store: Store;
  readonly registry: Registry;
  readonly directory: string;
  readonly keys: ServerKeys;
  readonly recorder: LedgerRecorder | undefined;
  readonly blockedKeys: BlockedKeys;
}

/** Opens what vendors' connectors need; undefined where connectors are not served. Makes no key. */
export async function startVendors(
  base: ServerBase,
  around: VendorSurroundings,
): Promise<Result<VendorParts | undefined>> {
  const { config, clock, random, log, metrics } = base;
  if (config.connectors === undefined) return ok(undefined);
  const kept = await KeptView.open(around.store);
  if (!kept.ok) return kept;
  const wrapper =
    around.keys.wrapper ?? createFileWrapper(join(around.directory, WRAPPING_FILE), random);
  const tools = { trustDomain: config.trustDomain.name, wrapper, random };
  const keys = new VendorKeys({ kept: kept.value, tools, clock, log, metrics });
  const { enrolmentRoot } = config.connectors;
  const enrolment =
    enrolmentRoot === undefined
      ? undefined
      : openEnrolment(base, around, kept.value, enrolmentRoot);
  return ok({ keys, enrolment });
}

function openEnrolment(
  base: ServerBase,
  { keys, recorder, blockedKeys, registry }: VendorSurroundings,
  kept: KeptView,
  { keyType, ttl, caTtl, subject }: EnrolmentRootSettings,
): EnrolmentCas {
  const { config, clock, random, log } = base;
  const { country, organization, commonName } = subject;
  const shared = { kept, clock, random, backdateSeconds: config.svid.backdate };
  const root = new EnrolmentRootKeeper({
    ...shared,
    keys: keys.x509,
    log,
    recordCa: recorder?.recordCa,
    keyType,
    subject: {
      ...(country === undefined ? {} : { country }),
      ...(organization === undefined ? {} : { organization }),
      commonName,
    },
    ttlSeconds: ttl,
  });
  const cas = createEnrolmentCas({
    ...shared,
    root,
    recordCa: recorder?.recordCa,
    blockedKeys,
    authorities: () => [
      ...(registry.bundle?.x509Authorities ?? []).map(({ certificate }) => certificate),
      ...[...registry.issuingCas()].map(({ certificate }) => certificate),
    ],
    maxTtlSeconds: caTtl,
  });
  watchEnds(base, root, cas);
  return cas;
}

function watchEnds({ metrics }: ServerBase, root: EnrolmentRootKeeper, cas: EnrolmentCas): void {
  const help = 'Unix time at which the enrolment root that signs ends; NaN before it is made.';
  metrics.reading('enrolment_root_end_seconds', help, () => {
    const end = root.made?.active.certificate.notAfterMs;
    return end === undefined ? undefined : end / 1000;
  });
  const about = "Unix time at which a vendor's enrolment CA ends";
  metrics.kept('gauge', 'enrolment_ca_end_seconds', about, ['vendor', 'serial'], () =>
    cas.list().map(({ vendor, certificate: { serialDecimal, notAfterMs } }) => {
      return [{ vendor, serial: serialDecimal }, notAfterMs / 1000] as const;
    }),
  );
}

/** The services about vendors, as listeners serve them. */
export interface VendorServices {
  /** Those that operators call, on either listener. */
  serveAdmin(host: RpcHost, guards: readonly CallGuard[]): void;
  /** Those that connectors call, over TCP. */
  serveTcp(host: RpcHost, guards: readonly CallGuard[]): void;
}

/** Makes them; where connectors are not served, every call is refused. */
export function vendorServices(api: ApiContext, vendors: VendorParts | undefined): VendorServices {
  const admin =
    vendors === undefined
      ? refuseConnectors(VendorAdminService)
      : createVendorAdminService(api, vendors);
  const keys =
    vendors === undefined
      ? refuseConnectors(VendorKeysService)
      : createVendorKeysService(api, vendors.keys);
  return {
    serveAdmin: (host, guards) => host.addService(VendorAdminService, admin, guards),
    serveTcp: (host, guards) => host.addService(VendorKeysService, keys, guards),
  };
}
