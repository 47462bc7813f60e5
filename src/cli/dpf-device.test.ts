import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../base/bytes.ts';
import { unwrap } from '../base/result.ts';
import { parseDpus } from './dpu-data.ts';

const read = (value: unknown) => parseDpus(utf8(JSON.stringify(value)));
const messageOf = (text: string): string => {
  const rows = parseDpus(utf8(text));
  return rows.ok ? `read ${rows.value.length}` : rows.error.message;
};

const device = {
  apiVersion: 'provisioning.dpu.nvidia.com/v1alpha1',
  kind: 'DPUDevice',
  metadata: { name: 'rack-7-dpu-1', namespace: 'dpf' },
  spec: { serialNumber: 'MT0000X00001', bmcIp: '10.1.2.3', opn: '900-00000-0000-AA0' },
  status: {
    bmcIp: '10.9.9.9',
    bmcPort: 8443,
    dpuMode: 'zero-trust',
    dpuType: 'BlueField3',
    pf0Mac: '02:00:00:00:00:10',
    psid: 'MT_0000009999',
    serialNumber: 'MT0000X00001  ',
    secureBoot: { enabled: true },
  },
};
const facts = {
  serial: 'MT0000X00001',
  model: 'bluefield-3',
  opn: '900-00000-0000-AA0',
  psid: 'MT_0000009999',
  bmcHost: '10.1.2.3',
  bmcPort: 8443,
  pf0Mac: '02:00:00:00:00:10',
};

test('a DPUDevice states its card; what the operator wrote goes before what was found', () => {
  assert.deepEqual(unwrap(read(device)), [{ place: 'dpf/rack-7-dpu-1', facts }]);
});

/** The device as `kubectl get -o yaml` prints it, `indent` spaces in. */
function yamlOf({ serial, name, indent = 0 }: { serial: string; name: string; indent?: number }) {
  const lines = [
    'apiVersion: provisioning.dpu.nvidia.com/v1alpha1',
    'kind: DPUDevice',
    'metadata:',
    `  name: ${name}`,
    '  namespace: dpf',
    '  creationTimestamp: "2026-01-02T03:04:05Z"',
    'spec:',
    `  serialNumber: ${serial}`,
    '  bmcIp: 10.1.2.3',
    'status:',
    '  bmcPort: 8443',
    '  dpuType: BlueField3',
    '  psid:',
    '  conditions: []',
  ];
  return lines.map((line) => `${' '.repeat(indent)}${line}\n`).join('');
}

/** An item of a list: its first line begins with a dash. */
const itemOf = (serial: string, name: string): string =>
  `- ${yamlOf({ serial, name, indent: 2 }).trimStart()}`;

test('lists as kubectl prints them, JSON and YAML, and many documents are read object by object', () => {
  const yaml = (name: string, serial: string) => yamlOf({ serial, name });
  const bare = { serial: 'A', bmcHost: '10.1.2.3', bmcPort: 8443, model: 'bluefield-3' };
  const other = { ...bare, serial: '0012' };
  const expected = [
    { place: 'dpf/a', facts: bare },
    { place: 'dpf/b', facts: other },
  ];
  for (const text of [
    `${yaml('a', 'A')}---\n${yaml('b', '0012')}`,
    `---\n${yaml('a', 'A')}---\n---\n${yaml('b', '0012')}---\n`,
    `apiVersion: v1\nkind: List\nitems:\n${itemOf('A', 'a')}${itemOf('0012', 'b')}`,
    `apiVersion: v1\nitems:\n${itemOf('A', 'a')}${itemOf('0012', 'b')}kind: List\nmetadata:\n  resourceVersion: ""\n`,
    `${yaml('a', 'A')}---\nkind: DPUDeviceList\nitems:\n${itemOf('0012', 'b')}`,
  ]) {
    assert.deepEqual(unwrap(parseDpus(utf8(text))), expected, text);
  }
  for (const kind of ['List', 'DPUDeviceList']) {
    const second = { ...device, metadata: { name: 'b' } };
    const rows = unwrap(read({ apiVersion: 'v1', kind, items: [device, second] }));
    assert.deepEqual(
      rows.map(({ place }) => place),
      ['dpf/rack-7-dpu-1', 'b'],
    );
  }
});

test('a device of which only the serial number is known states nothing else', () => {
  const { apiVersion, kind } = device;
  const [row] = unwrap(read({ apiVersion, kind, spec: { serialNumber: 'MT1' } }));
  assert.deepEqual(row, { place: '[0]', facts: { serial: 'MT1' } });
});

const { status } = device;
const REFUSED: readonly (readonly [what: string, value: unknown, why: RegExp])[] = [
  ['a list of another kind', { kind: 'PodList', items: [device] }, /PodList is no list/],
  ['items that are no list', { kind: 'List', items: device }, /items is no list/],
  ['an item that is no object', { kind: 'List', items: [device, 7] }, /items\[1\]: is no object/],
  ['an object of another kind', { ...device, kind: 'DPU' }, /dpu-1: is no DPUDevice/],
  ['a plain row in a list of objects', { kind: 'List', items: [{ serial: 'A' }] }, /no DPUDevice/],
  ['another group', { ...device, apiVersion: 'v1' }, /is no DPUDevice/],
  [
    'a group that only begins alike',
    { ...device, apiVersion: 'provisioning.dpu.nvidia.com.x/v1' },
    /is no DPUDevice/,
  ],
  ['no group', { ...device, apiVersion: undefined }, /is no DPUDevice/],
  ['no serial number', { ...device, spec: {}, status: {} }, /has no serial number/],
  ['an empty serial number', { ...device, spec: { serialNumber: ' ' }, status: {} }, /no serial/],
  ['a serial number that is no text', { ...device, spec: { serialNumber: 7 } }, /is no text/],
  ['an address that is no text', { ...device, spec: { ...device.spec, bmcIp: [1] } }, /is no text/],
  ['two serial numbers', { ...device, status: { serialNumber: 'MT2' } }, /another serial number/],
  ['NIC mode', { ...device, status: { ...status, dpuMode: 'nic' } }, /NIC mode/],
  ['NIC mode in capitals', { ...device, status: { ...status, dpuMode: 'NIC ' } }, /NIC mode/],
  ['a spec that is no object', { ...device, spec: [1] }, /no object/],
  ['port 0', { ...device, spec: { ...device.spec, bmcPort: 0 } }, /no port/],
  ['port 65536', { ...device, spec: { ...device.spec, bmcPort: 65_536 } }, /no port/],
  ['half a port', { ...device, spec: { ...device.spec, bmcPort: 443.5 } }, /no port/],
  ['a port in words', { ...device, spec: { ...device.spec, bmcPort: 'https' } }, /no port/],
  ['a port with a sign', { ...device, spec: { ...device.spec, bmcPort: '+443' } }, /no port/],
];

describe('refused is', () => {
  for (const [what, value, why] of REFUSED) {
    test(what, () => {
      const rows = read(value);
      assert.ok(!rows.ok && rows.error.code === 'CLI_DATA_INVALID', what);
      assert.match(rows.error.message, why);
    });
  }

  test('each faulty card, by the name of its object and with the reason', () => {
    const named = (name: string, more: object) => ({ ...device, metadata: { name }, ...more });
    const items = [
      named('good', {}),
      named('nic', { status: { dpuMode: 'nic' } }),
      named('two', { status: { serialNumber: 'X' } }),
      named('B\u0007ad Name', { spec: {}, status: {} }),
    ];
    assert.equal(
      messageOf(JSON.stringify({ kind: 'List', items })),
      [
        'nic: a card in NIC mode cannot attest',
        'two: another serial number was found than is stated',
        'items[3]: has no serial number',
      ].join('\n'),
    );
    const documents = [named('nic', { status: { dpuMode: 'nic' } }), named('two', { spec: 1 })];
    assert.equal(
      messageOf(documents.map((each) => `---\n${JSON.stringify(each)}\n`).join('')),
      'nic: a card in NIC mode cannot attest\ntwo: spec or status is no object',
    );
  });
});

test('whatever is read, what comes out has a serial number, and nothing throws', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (spec, found) => {
      const rows = read({ ...device, spec, status: found });
      if (!rows.ok) return rows.error.code === 'CLI_DATA_INVALID';
      return rows.value.every(({ facts: { serial } }) => serial.trim() !== '');
    }),
  );
});
