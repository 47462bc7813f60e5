import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { NO_HOST, newDpu } from '../../src/dpu/values.ts';
import { openLocalHolds } from '../../src/registry/local-holds.ts';
import type { Admission } from '../../src/registry/overlay.ts';
import { createRegistry, type Registry } from '../../src/registry/registry.ts';
import type { DpuDraft } from '../../src/rules/dpu.ts';
import type { AgentRecord, EntryDraft } from '../../src/rules/entry.ts';
import type { Revocation } from '../../src/rules/revocation.ts';
import { parseSelector, type Selector } from '../../src/rules/selector.ts';
import { parseSpiffeId, type SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';

/** The trust domain of tests. */
export const TRUST_DOMAIN = unwrap(parseTrustDomain('example.org'));

/** When tests begin: 2027-01-01, in Unix seconds. */
export const START_SECONDS = 1_798_761_600;

/** A SPIFFE ID of the tests' trust domain. */
export function id(path: string): SpiffeId {
  return unwrap(parseSpiffeId(TRUST_DOMAIN.id + path));
}

/** Selectors from `type:value` texts. */
export function selectors(...texts: readonly string[]): readonly Selector[] {
  return texts.map((text) => unwrap(parseSelector(text)));
}

/** An entry draft; what is not said is empty. */
export function draft(
  spiffePath: string,
  parentPath: string,
  extra: Partial<EntryDraft> = {},
): EntryDraft {
  return {
    spiffeId: id(spiffePath),
    parentId: id(parentPath),
    selectors: selectors('unix:uid:1000'),
    x509SvidTtlSeconds: 0,
    jwtSvidTtlSeconds: 0,
    federatesWith: [],
    admin: false,
    downstream: false,
    expiresAtSeconds: 0,
    dnsNames: [],
    storeSvid: false,
    hint: '',
    disableX509SvidPrefetch: false,
    jwtSvidIncludeJti: false,
    ...extra,
  };
}

/** A revocation of `/web` through `/spire/agent/a`, whose SVID is valid for an hour. */
export function revocation(serial: string, extra: Partial<Revocation> = {}): Revocation {
  return {
    serial,
    spiffeId: id('/web'),
    agentId: id('/spire/agent/a'),
    authorityId: 'aa',
    issuerDer: undefined,
    notAfterSeconds: START_SECONDS + 3600,
    revokedAtSeconds: START_SECONDS,
    reason: 'unspecified',
    ...extra,
  };
}

/** An attested agent `/spire/agent/<name>`, serial "1", valid for an hour. */
export function agentRecord(name: string, extra: Partial<AgentRecord> = {}): AgentRecord {
  return {
    id: id(`/spire/agent/${name}`),
    attestationType: 'join_token',
    selectors: [],
    serial: '1',
    expiresAtSeconds: START_SECONDS + 3600,
    newSerial: undefined,
    newExpiresAtSeconds: undefined,
    banned: false,
    canReattest: false,
    agentVersion: '',
    attestedAtSeconds: START_SECONDS,
    assurance: undefined,
    ...extra,
  };
}

/** A DPU that was imported, and nothing more. */
export function dpuDraft(serial: string, extra: Partial<DpuDraft> = {}): DpuDraft {
  const facts = { model: '', opn: '', psid: '', bmc: undefined, host: NO_HOST };
  const place = { zone: undefined, rack: '', tenant: '', agentIds: [] };
  return { ...newDpu(serial, { ...facts, ...place }, START_SECONDS), ...extra };
}

/** A folder that goes with the test. */
export async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'signet-'));
  // Again, where something that was being closed has just made a file there.
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A registry over an embedded store, both closed with the test. */
export interface TestState {
  readonly store: Store;
  readonly registry: Registry;
  readonly clock: ManualClock;
  readonly random: Random;
}

/** Opens a store and a registry in a folder of their own; clock and randomness are the test's. */
export async function openState(
  context: TestContext,
  options: {
    readonly keptChanges?: number;
    readonly admits?: Admission;
    readonly derives?: boolean;
  } = {},
): Promise<TestState> {
  const { admits, derives, ...storeOptions } = options;
  const folder = await mkdtemp(join(tmpdir(), 'signet-'));
  const path = join(folder, 'signet.db');
  const clock = new ManualClock(START_SECONDS * 1000);
  const random = seededRandom(1);
  const store = unwrap(await openSqliteStore({ path, trustDomain: TRUST_DOMAIN, ...storeOptions }));
  const localHolds = unwrap(await openLocalHolds(join(folder, 'local-holds')));
  const registry = unwrap(
    await createRegistry({
      store,
      trustDomain: TRUST_DOMAIN,
      clock,
      random,
      localHolds,
      admits,
      derives,
    }),
  );
  context.after(async () => {
    await registry.close();
    await store.close();
    // Last: what is still open makes files.
    await rm(folder, { recursive: true, force: true });
  });
  return { store, registry, clock, random };
}
