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
import type { Caller } from '../policy/grant.ts';
import type { CallContext } from '../rpc/service.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import { createMetrics } from '../runtime/metrics.ts';
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
  const connectors = { group: (name: string) => (name === 'edge' ? group : undefined) };
  // Nothing else of them is looked at where no node vouches.
  const api = { log, connectors, policy: { connectors } } as unknown as ApiContext;
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
    const { spiffeId: id } = connector;
    return ask({ kind: 'connector', id, connector, firstUseOfSerial: undefined });
  };
  return { by, ask, lines, keys };
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
