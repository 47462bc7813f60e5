import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectorRecord } from '../../test/support/connectors.ts';
import { SILENT } from '../../test/support/issuance.ts';
import { MemoryKeptStore } from '../../test/support/kept-values.ts';
import { ManualClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { ok, type Result, unwrap } from '../base/result.ts';
import { VendorKeys } from '../connectors/vendor/vendor-keys.ts';
import { GetVendorKeyResponse } from '../gen/signet/connector/v1/vendor.ts';
import type { RecordAct, RecordedAct } from '../issuance/ledger-recorder.ts';
import type { Caller } from '../policy/grant.ts';
import type { CallContext } from '../rpc/service.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { KeptView } from '../store/kept-view.ts';
import { type ApiContext, rememberCaller } from './context.ts';
import { createVendorKeysService } from './vendor-keys.ts';

const KEY = '3|api.example.com|c2VjcmV0';

/** Says what it is given back: what the broker makes of keys is tested there. */
const plain = {
  wrap: async (secret: Uint8Array) =>
    ok({ wrappingKeyId: '1', ciphertext: Uint8Array.from(secret) }),
  unwrap: async ({ ciphertext }: { ciphertext: Uint8Array }) => ok(Uint8Array.from(ciphertext)),
};

/** What policy and the service look at of a group. */
const GROUP = {
  name: 'edge',
  proofs: ['provisioning-key'],
  zones: [],
  assurance: undefined,
  requireAttestedNode: false,
} as unknown as ConnectorGroup;

/** What the server knows by the time it answers. */
interface View {
  /** The connector that called, as it is by then. */
  now: (called: ConnectorRecord) => ConnectorRecord | undefined;
  stalenessMs: number;
  banned: boolean;
  onRecord: () => void;
}

/** A service with a key for the group `edge`; asked by a connector, or somebody else. */
async function service(group: ConnectorGroup | undefined = GROUP) {
  const keys = new VendorKeys({
    kept: unwrap(await KeptView.open(new MemoryKeptStore())),
    tools: { trustDomain: 'example.org', wrapper: plain, random: systemRandom },
    clock: new ManualClock(0),
    log: SILENT,
    metrics: createMetrics('test'),
  });
  const draft = { key: KEY, maxUses: 2, used: 0, description: '' };
  unwrap(await keys.put({ ...draft, group: 'edge' }));
  unwrap(await keys.put({ ...draft, group: 'core' }));
  const lines: string[] = [];
  const log = { ...SILENT, info: (facts: object) => lines.push(JSON.stringify(facts)) };
  const view: View = { now: (called) => called, stalenessMs: 0, banned: false, onRecord: () => {} };
  let called: ConnectorRecord | undefined;
  const connectors = {
    group: (name: string) => (name === 'edge' ? group : undefined),
    connector: () => called && view.now(called),
  };
  const registry = {
    stalenessMs: () => view.stalenessMs,
    agent: () => (view.banned ? { banned: true } : undefined),
    dpus: { ofAgent: () => undefined },
  };
  const acts: RecordedAct[] = [];
  const recordAct: RecordAct = async (act) => {
    acts.push(act);
    view.onRecord();
    return ok(undefined);
  };
  // Nothing else of them is looked at where no node vouches.
  const policy = { connectors, registry, maxStalenessMs: 1000 };
  const api = { log, connectors, policy, recordAct } as unknown as ApiContext;
  const { getVendorKey } = createVendorKeysService(api, keys);
  const ask = async (caller: Caller): Promise<string> => {
    const context = { method: 'GetVendorKey', connection: {} } as CallContext;
    rememberCaller(context, caller);
    const answer = (await getVendorKey({}, context)) as Result<{ bytes: Buffer }>;
    if (!answer.ok) return answer.error.code;
    return GetVendorKeyResponse.decode(answer.value.bytes).key;
  };
  const by = (fields: Partial<ConnectorRecord> = {}): Promise<string> => {
    const connector = connectorRecord(fields);
    called = connector;
    const { spiffeId: id } = connector;
    return ask({ kind: 'connector', id, connector, firstUseOfSerial: undefined });
  };
  return { by, ask, lines, keys, acts, view };
}

test('a connector gets the key of its group; the audit says who, never the key', async () => {
  const { by, lines, keys } = await service();
  assert.equal(await by(), KEY);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /"connector":"c1","group":"edge"/);
  assert.ok(!lines.join().includes(KEY));
  assert.deepEqual(
    keys.list().map(({ group, uses }) => [group, uses.map(([id]) => id)]),
    [
      ['core', []],
      ['edge', ['c1']],
    ],
  );
});

test('nobody but a connector gets one', async () => {
  const { ask } = await service();
  const { spiffeId: id } = connectorRecord();
  assert.equal(await ask({ kind: 'anonymous' }), 'CALLER_NOT_ALLOWED');
  assert.equal(await ask({ kind: 'admin', id }), 'CALLER_NOT_ALLOWED');
  assert.equal(await ask({ kind: 'local', uid: 0, gid: 0, pid: 1 }), 'CALLER_NOT_ALLOWED');
});

const CASES: readonly (readonly [
  string,
  ConnectorGroup | undefined,
  Partial<ConnectorRecord>,
  string,
])[] = [
  ['of another group', GROUP, { group: 'core' }, 'VENDOR_KEY_DENIED'],
  ['that drains', GROUP, { standing: 'draining' }, 'VENDOR_KEY_DENIED'],
  ['that was revoked', GROUP, { standing: 'revoked' }, 'VENDOR_KEY_DENIED'],
  [
    'enrolled by a proof that will not do now',
    { ...GROUP, proofs: ['bound-key'] },
    {},
    'VENDOR_KEY_DENIED',
  ],
  [
    'without an attested node where the group wants one',
    { ...GROUP, requireAttestedNode: true },
    {},
    'CONNECTOR_NODE_NOT_ATTESTED',
  ],
  [
    'outside of the zones of the group',
    { ...GROUP, zones: [2] },
    {},
    'CONNECTOR_NODE_NOT_ATTESTED',
  ],
];

for (const [who, group, fields, expected] of CASES) {
  test(`a connector ${who} gets none, and no use is counted`, async () => {
    const { by, keys } = await service(group);
    assert.equal(await by(fields), expected);
    assert.ok(keys.list().every(({ uses }) => uses.length === 0));
  });
}

test('the third connector of a key with two uses is told so', async () => {
  const { by } = await service();
  assert.equal(await by({ id: 'a' }), KEY);
  assert.equal(await by({ id: 'b' }), KEY);
  assert.equal(await by({ id: 'c' }), 'VENDOR_KEY_EXHAUSTED');
  assert.equal(await by({ id: 'a' }), KEY);
});

test('what is given out is in the ledger by group and connector, once, without the key or its hash', async () => {
  const { by, acts, keys } = await service();
  await by();
  await by();
  const requestedBy = `connector:${connectorRecord().spiffeId.uri}`;
  assert.deepEqual(acts, [{ act: 'hand-out', connector: 'vendor-key/edge', requestedBy }]);
  for (const { fingerprint } of keys.list()) assert.ok(!JSON.stringify(acts).includes(fingerprint));
});

const agentId = unwrap(parseSpiffeId('spiffe://example.org/spire/agent/k8s_psat/c/1'));

/** What may become of a connector between its call and the answer. */
const MEANWHILE: readonly (readonly [string, (view: View) => void, string])[] = [
  [
    'was revoked',
    (view) => {
      view.now = (called) => ({ ...called, standing: 'revoked' });
    },
    'VENDOR_KEY_DENIED',
  ],
  [
    'was forgotten',
    (view) => {
      view.now = () => undefined;
    },
    'VENDOR_KEY_DENIED',
  ],
  [
    'was made anew with another SPIFFE ID',
    (view) => {
      view.now = ({ id }) => ({ ...connectorRecord({ id: 'other' }), id });
    },
    'VENDOR_KEY_DENIED',
  ],
  [
    'had its node banned',
    (view) => {
      view.banned = true;
    },
    'CONNECTOR_NODE',
  ],
  [
    'is seen by a server that no longer knows',
    (view) => {
      view.stalenessMs = 1001;
    },
    'REGISTRY_STALE',
  ],
];

for (const [what, happen, expected] of MEANWHILE) {
  test(`a connector that ${what} before its turn gets none, and no use is counted`, async () => {
    const { by, keys, view, acts } = await service();
    happen(view);
    assert.equal(await by({ agentId }), expected);
    assert.ok(keys.list().every(({ uses }) => uses.length === 0));
    assert.deepEqual(acts, []);
  });

  test(`a connector that ${what} while its use is counted gets none`, async () => {
    const { by, view, lines } = await service();
    view.onRecord = () => happen(view);
    assert.equal(await by({ agentId }), expected);
    assert.equal(lines.length, 0);
  });
}

test('without a record in the ledger none is given and none is counted', async () => {
  const { by, keys, view } = await service();
  view.onRecord = () => assert.fail('the disk is full');
  await assert.rejects(by());
  assert.ok(keys.list().every(({ uses }) => uses.length === 0));
});
