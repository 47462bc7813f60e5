import { createHash, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createDpuHostAttestor as createAgentHalf } from '../../agent/attestation/dpu_host/agent.ts';
import type { DpuHostAgentSettings } from '../../agent/attestation/dpu_host/settings.ts';
import type { OwnSvid } from '../../agent/attestation/own-svid.ts';
import { type BootMemory, openBootMemory } from '../../agent/voucher/boot-memory.ts';
import { startVoucherEndpoint, type VoucherEndpoint } from '../../agent/voucher/endpoint.ts';
import {
  createVoucherOffice,
  type VoucherOffice,
  type VoucherOfficeParts,
} from '../../agent/voucher/voucher-office.ts';
import { askingMessage, type VoucherRequest } from '../../src/attestation/dpu_host/payload.ts';
import { createDpuHostAttestor, type DpuHostParts } from '../../src/attestation/dpu_host/server.ts';
import type { ManualClock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { unwrap } from '../../src/base/result.ts';
import { DpuInventory } from '../../src/dpu/inventory.ts';
import { resolveAgent } from '../../src/policy/caller.ts';
import type { Registry } from '../../src/registry/registry.ts';
import type { DpuDraft } from '../../src/rules/dpu.ts';
import type { AgentRecord } from '../../src/rules/entry.ts';
import { dpuAgentPath } from '../../src/rules/reserved-ids.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { emptyBundle, withX509Authority } from '../../src/spiffe/bundle.ts';
import type { AttestorRig } from './attestor-suite.ts';
import { assertValue } from './refused.ts';
import { agentRecord, dpuDraft, id, openState, START_SECONDS, TRUST_DOMAIN } from './state.ts';
import { tlsIdentity } from './tls.ts';
import { testFolder } from './workload-api.ts';
import { makeKey, makeLeaf, makeRoot, type TestCertificate, type TestKey } from './x509.ts';

/** Serial number of the DPU that vouches. */
export const DPU_SERIAL = 'MT0000X00001';

/** SHA-256 of its device key. */
export const DEVICE_ID = 'ab'.repeat(32);

/** The host that it sits in. */
export const HOST = {
  serial: 'H1',
  uuid: '6a2f41a3-c54c-fce8-32d2-0324e1c32e22',
  pf0Mac: '02:00:00:00:00:01',
} as const;

/** Boot ids. */
export const BOOTS = [
  '00000000-0000-4000-8000-000000000001',
  '00000000-0000-4000-8000-000000000002',
] as const;

/** A DPU that has attested, whose host is known. */
export function trustedDpu(extra: Partial<DpuDraft> = {}): DpuDraft {
  return dpuDraft(DPU_SERIAL, {
    state: 'trusted',
    deviceIds: [DEVICE_ID],
    host: HOST,
    zone: 1,
    rack: 'r7',
    tenant: 'blue',
    attestedAtSeconds: START_SECONDS,
    ...extra,
  });
}

/** An SVID of an agent as the agent holds it. */
export function ownSvid(leaf: TestCertificate, ...above: readonly TestCertificate[]): OwnSvid {
  const { certificate } = leaf;
  const [name] = certificate.subjectAltName?.names ?? [];
  const path = (name?.kind === 'uri' ? name.text : '').replace(/^spiffe:\/\/[^/]+/, '');
  return {
    id: id(path),
    tls: tlsIdentity(leaf, ...above),
    notBeforeMs: certificate.notBeforeMs,
    notAfterMs: certificate.notAfterMs,
    renewAtMs: certificate.notAfterMs,
    serial: certificate.serialDecimal,
    authorityKeyIds: [],
    reattestable: true,
  };
}

/** A request for a voucher, signed by the key of a boot. */
export function voucherRequest(
  anchor: TestKey,
  extra: Partial<Omit<VoucherRequest, 'proof' | 'anchor'>> = {},
): VoucherRequest {
  const asked = {
    key: 'cd'.repeat(32),
    nonce: Buffer.alloc(32, 7),
    boot: BOOTS[0],
    host: HOST,
    anchor: anchor.spki,
    ...extra,
  };
  const message = askingMessage(TRUST_DOMAIN.name, asked);
  return { ...asked, proof: sign('sha256', message, anchor.privateKey) };
}

/** SHA-256 in hex. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A server, the agent of a DPU and the agent of its host. */
export interface DpuHostRig extends AttestorRig {
  readonly registry: Registry;
  readonly inventory: DpuInventory;
  readonly clock: ManualClock;
  readonly root: TestCertificate;
  /** The SVID that the agent of the DPU has. */
  readonly leaf: TestCertificate;
  readonly office: VoucherOffice;
  readonly memory: BootMemory;
  readonly endpoint: VoucherEndpoint;
  /** Data folder of both agents, with the files that the host's reads. */
  readonly folder: string;
  /** Codes that the server wrote to its log, and alarms. */
  readonly refused: readonly ErrorCode[];
  readonly alarms: readonly ErrorCode[];
  /** Key of the CSR. */
  readonly key: TestKey;
  /** Goes on as the server does when an attestation holds. */
  write(dpu: DpuDraft): Promise<void>;
}

/** What a rig may be given in place of the usual. */
export interface DpuHostRigOptions {
  readonly dpu?: Partial<DpuDraft>;
  readonly agent?: Partial<AgentRecord>;
  readonly settings?: Partial<VoucherOfficeParts['settings']>;
  readonly server?: Partial<DpuHostParts>;
  /** TPM of the host. */
  readonly hostTpm?: DpuHostAgentSettings['tpm'];
}

/** Makes a rig; everything in it ends with the test. */
export async function dpuHostRig(
  context: TestContext,
  options: DpuHostRigOptions = {},
): Promise<DpuHostRig> {
  const { registry, clock, random } = await openState(context);
  const inventory = new DpuInventory({ registry, clock, unreachableGraceSeconds: 600 });
  const write = async (dpu: DpuDraft): Promise<void> => {
    const expectedRevision = registry.dpus.get(dpu.serial)?.revision ?? 0n;
    unwrap(await registry.writeDpus([{ dpu, expectedRevision }]));
  };
  await write(trustedDpu(options.dpu));
  const root = makeRoot(TRUST_DOMAIN.name);
  const agentId = id(dpuAgentPath(DEVICE_ID));
  const leaf = makeLeaf(root, agentId.uri, { notAfterMs: (START_SECONDS + 600) * 1000 });
  const authority = { certificate: root.certificate, tainted: false };
  const bundle = withX509Authority(emptyBundle(TRUST_DOMAIN), authority);
  const record = agentRecord('dpu', {
    id: agentId,
    attestationType: 'dpu',
    serial: leaf.certificate.serialDecimal,
    expiresAtSeconds: START_SECONDS + 600,
    canReattest: true,
    ...options.agent,
  });
  const written = { agent: record, aliasEntry: undefined, joinTokenAnswer: undefined };
  unwrap(await registry.recordAttestation(written));
  const folder = testFolder(context);
  const memory = unwrap(await openBootMemory(folder));
  const office = createVoucherOffice({
    settings: {
      host: { serial: '', uuid: '', pf0Mac: '' },
      tenant: 'blue',
      hostBootPath: undefined,
      perMinute: 1000,
      ...options.settings,
    },
    trustDomain: TRUST_DOMAIN,
    memory,
    svid: () => ownSvid(leaf),
    offsetMs: () => 0,
    clock,
  });
  const endpoint = unwrap(
    await startVoucherEndpoint({
      listen: { address: '127.0.0.1', port: 0, anyAddress: true },
      office,
      onOutcome: () => {},
      requestMs: 60_000,
    }),
  );
  context.after(() => endpoint.close());
  const refused: ErrorCode[] = [];
  const alarms: ErrorCode[] = [];
  const log = createLogger({ level: 'silent' });
  const server = createDpuHostAttestor({
    registry: { trustDomain: TRUST_DOMAIN, bundle },
    inventory,
    tpm: undefined,
    liveAgent: (svid) => {
      const policy = { registry, clock, adminIds: [], serverUid: 0 };
      const context = { ...policy, adminGid: undefined, maxStalenessMs: 1000 };
      const caller = resolveAgent({ kind: 'svid', ...svid }, context);
      return caller.ok ? { ok: true, value: caller.value.agent } : caller;
    },
    clock,
    random,
    log: Object.assign(Object.create(log), {
      warn: ({ code }: { code: ErrorCode }) => refused.push(code),
    }),
    onAlarm: (_serial, { code }) => alarms.push(code),
    ...options.server,
  });
  writeFileSync(join(folder, 'boot_id'), `${BOOTS[0]}\n`);
  writeFileSync(join(folder, 'uuid'), `${HOST.uuid}\n`);
  writeFileSync(join(folder, 'serial'), `${HOST.serial}\n`);
  writeFileSync(join(folder, 'mac'), `${HOST.pf0Mac}\n`);
  const agent = createAgentHalf({
    settings: {
      address: '127.0.0.1',
      port: endpoint.port,
      bootIdPath: join(folder, 'boot_id'),
      uuidPath: join(folder, 'uuid'),
      serialPath: join(folder, 'serial'),
      pf0MacPath: join(folder, 'mac'),
      tpm: options.hostTpm,
    },
    dataDir: folder,
    trustDomain: TRUST_DOMAIN,
    clock: systemClock,
  });
  const key = makeKey();
  const signer = (message: Uint8Array): Buffer => sign('sha256', message, key.privateKey);
  return {
    ...{ registry, inventory, clock, root, leaf, office, memory, endpoint, folder, write, key },
    ...{ refused, alarms, server },
    request: { csrSpki: key.spki, csrKeyHash: sha256Hex(key.spki) },
    begin: async () => assertValue(await agent.begin({ spki: key.spki, sign: signer })),
  };
}
