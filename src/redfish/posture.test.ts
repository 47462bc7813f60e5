import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startMockBmc } from '../../test/support/mock-bmc.ts';
import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import { errorBody } from '../main/demo/mock-bmc/measurements.ts';
import { type JsonObject, parseJsonObject } from '../spiffe/json.ts';
import { concludePosture, type PostureReadings, postureSelectors } from './posture.ts';
import { readPosture } from './posture-reader.ts';

function object(value: unknown): Result<JsonObject> {
  return parseJsonObject(utf8(JSON.stringify(value)), { maxBytes: 100_000 });
}

const absent = fail('REDFISH_NOT_FOUND', 'planted');
const nothing: PostureReadings = {
  oem: absent,
  bios: absent,
  secureBoot: absent,
  hostPrivileges: absent,
  firmware: absent,
};
const bios = (attributes: unknown) => object({ Attributes: attributes });
const privileges = (value: unknown) => object({ ExternalHostPrivilege: value });
const boot = (enable: unknown, current: unknown, mode: unknown) =>
  object({ SecureBootEnable: enable, SecureBootCurrentBoot: current, SecureBootMode: mode });

type Matter = 'mode' | 'hostPrivilege' | 'hostRshim' | 'secureBoot';

const CONCLUSIONS: readonly (readonly [
  what: string,
  readings: Partial<PostureReadings>,
  matter: Matter,
  value: string,
])[] = [
  ['nothing readable', {}, 'mode', 'unknown'],
  ['nothing readable', {}, 'hostPrivilege', 'unknown'],
  ['nothing readable', {}, 'hostRshim', 'unknown'],
  ['nothing readable', {}, 'secureBoot', 'unknown'],

  ['mode of the OEM resource', { oem: object({ Mode: 'DpuMode' }) }, 'mode', 'dpu'],
  ['mode of the BIOS', { bios: bios({ NicMode: 'DpuMode' }) }, 'mode', 'dpu'],
  ['NIC mode', { oem: object({ Mode: 'NicMode' }) }, 'mode', 'nic'],
  ['a padded mode', { oem: object({ Mode: 'DpuMode  ' }) }, 'mode', 'dpu'],
  [
    'an empty OEM mode beside the BIOS, as a real card has it',
    { oem: object({ Mode: '' }), bios: bios({ NicMode: 'DpuMode' }) },
    'mode',
    'dpu',
  ],
  [
    'two modes',
    { oem: object({ Mode: 'DpuMode' }), bios: bios({ NicMode: 'NicMode' }) },
    'mode',
    'contradictory',
  ],
  ['an unknown mode', { oem: object({ Mode: 'SuperMode' }) }, 'mode', 'unknown'],
  [
    'an unknown mode beside a good one',
    { oem: object({ Mode: 'SuperMode' }), bios: bios({ NicMode: 'DpuMode' }) },
    'mode',
    'unknown',
  ],
  ['a mode in other case', { oem: object({ Mode: 'dpumode' }) }, 'mode', 'unknown'],
  ['a mode in a list', { oem: object({ Mode: ['DpuMode'] }) }, 'mode', 'unknown'],
  [
    'a mode called as what objects inherit',
    { oem: object({ Mode: 'toString' }) },
    'mode',
    'unknown',
  ],
  [
    'a mode in an internal error',
    { oem: fail('REDFISH_FAULT', 'planted'), bios: bios({ NicMode: 'Unavailable' }) },
    'mode',
    'unknown',
  ],

  [
    'restricted',
    { bios: bios({ HostPrivilegeLevel: 'Restricted' }) },
    'hostPrivilege',
    'restricted',
  ],
  [
    'restricted, with spaces in the name',
    { bios: bios({ 'Host Privilege Level': 'Restricted' }) },
    'hostPrivilege',
    'restricted',
  ],
  [
    'an unavailable level, as a real card has it',
    { bios: bios({ 'Host Privilege Level': 'Unavailable' }) },
    'hostPrivilege',
    'unknown',
  ],
  [
    'privileged',
    { bios: bios({ HostPrivilegeLevel: 'Privileged' }) },
    'hostPrivilege',
    'privileged',
  ],
  [
    'two levels',
    { bios: bios({ HostPrivilegeLevel: 'Restricted', 'Host Privilege Level': 'Privileged' }) },
    'hostPrivilege',
    'contradictory',
  ],
  [
    'restricted, with a privilege that is on',
    {
      bios: bios({ HostPrivilegeLevel: 'Restricted' }),
      hostPrivileges: privileges({ HostPrivNicReset: 'Default', HostPrivFwUpdate: 'Enabled' }),
    },
    'hostPrivilege',
    'contradictory',
  ],
  [
    'restricted, with privileges that are off or follow',
    {
      bios: bios({ HostPrivilegeLevel: 'Restricted' }),
      hostPrivileges: privileges({ HostPrivNicReset: 'Default', HostPrivFwUpdate: 'Disabled' }),
    },
    'hostPrivilege',
    'restricted',
  ],
  [
    'restricted, with a privilege in a state that nobody knows',
    {
      bios: bios({ HostPrivilegeLevel: 'Restricted' }),
      hostPrivileges: privileges({ HostPrivNicReset: 'Sometimes' }),
    },
    'hostPrivilege',
    'unknown',
  ],
  [
    'privileges that are off prove no level',
    { hostPrivileges: privileges({ HostPrivFwUpdate: 'Disabled' }) },
    'hostPrivilege',
    'unknown',
  ],

  ['RShim off', { oem: object({ HostRshim: 'Disabled' }) }, 'hostRshim', 'off'],
  ['RShim on', { oem: object({ HostRshim: 'Enabled' }) }, 'hostRshim', 'on'],
  ['RShim untold', { oem: object({ HostRshim: '' }) }, 'hostRshim', 'unknown'],

  ['Secure Boot on', { secureBoot: boot(true, 'Enabled', 'UserMode') }, 'secureBoot', 'on'],
  [
    'Secure Boot deployed',
    { secureBoot: boot(true, 'Enabled', 'DeployedMode') },
    'secureBoot',
    'on',
  ],
  ['Secure Boot off', { secureBoot: boot(false, 'Disabled', 'SetupMode') }, 'secureBoot', 'off'],
  [
    'Secure Boot on from the next boot',
    { secureBoot: boot(true, 'Disabled', 'UserMode') },
    'secureBoot',
    'contradictory',
  ],
  [
    'Secure Boot in setup mode',
    { secureBoot: boot(true, 'Enabled', 'SetupMode') },
    'secureBoot',
    'contradictory',
  ],
  [
    'Secure Boot without a mode',
    { secureBoot: boot(true, 'Enabled', null) },
    'secureBoot',
    'unknown',
  ],
  [
    'Secure Boot by a word',
    { secureBoot: boot('yes', 'Enabled', 'UserMode') },
    'secureBoot',
    'unknown',
  ],
  [
    'Secure Boot by a number',
    { secureBoot: boot(1, 'Enabled', 'UserMode') },
    'secureBoot',
    'unknown',
  ],
];

for (const [what, readings, matter, value] of CONCLUSIONS) {
  test(`${what}: ${matter} is ${value}`, () => {
    assert.equal(concludePosture({ ...nothing, ...readings })[matter].value, value);
  });
}

test('a fact tells who said what, and a code where nobody could', () => {
  const readings = { ...nothing, oem: object({ Mode: 'DpuMode' }) };
  assert.deepEqual(concludePosture(readings).mode, {
    value: 'dpu',
    sources: ['Oem/Nvidia Mode=DpuMode', 'Bios NicMode: REDFISH_NOT_FOUND'],
  });
});

test('what is shown of a claim is short and printable', () => {
  for (const value of ['x'.repeat(10_000), 'a\nb', '\u202e', { deep: 1 }]) {
    const { sources } = concludePosture({ ...nothing, oem: object({ Mode: value }) }).mode;
    assert.match(sources[0] ?? '', /^[\x20-\x7e]{1,100}$/);
  }
});

test('selectors stand for good claims only', () => {
  const good: PostureReadings = {
    ...nothing,
    oem: object({ Mode: 'DpuMode', HostRshim: 'Disabled' }),
    bios: bios({ NicMode: 'DpuMode', HostPrivilegeLevel: 'Restricted' }),
    secureBoot: boot(true, 'Enabled', 'UserMode'),
    firmware: ok(new Map([['DPU_NIC', '32.47.1000']])),
  };
  const facts = concludePosture(good);
  assert.equal(facts.claimedBy, 'bmc');
  assert.deepEqual(postureSelectors(facts), [
    'mode:dpu',
    'host-privilege:restricted',
    'host-rshim:off',
    'secure-boot:on',
  ]);
  assert.deepEqual([...facts.firmware], [['DPU_NIC', '32.47.1000']]);
  assert.deepEqual(postureSelectors(concludePosture(nothing)), []);
});

test('a card in zero-trust mode is read as one', async (context) => {
  const { client } = await startMockBmc(context);
  const facts = concludePosture(unwrap(await readPosture(client)));
  assert.equal(postureSelectors(facts).length, 4);
  assert.equal(facts.firmware.get('BMC_Firmware'), 'BF-26.01-1');
});

test('a card in NIC mode, whose OEM resource is missing, has no selector of a mode', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.tell({ mode: 'NicMode' });
  mock.decide = (request) => (request.includes('/Oem/') ? { status: 404 } : undefined);
  const facts = concludePosture(unwrap(await readPosture(client)));
  assert.equal(facts.mode.value, 'nic');
  assert.equal(facts.hostRshim.value, 'unknown');
  assert.deepEqual(postureSelectors(facts), ['host-privilege:restricted', 'secure-boot:on']);
});

test('resources that are internal errors beside valid fields are unavailable, never passed', async (context) => {
  const { mock, client } = await startMockBmc(context);
  const body = {
    Mode: 'DpuMode',
    HostRshim: 'Disabled',
    Attributes: { NicMode: 'DpuMode', HostPrivilegeLevel: 'Restricted' },
    SecureBootEnable: true,
    SecureBootCurrentBoot: 'Enabled',
    SecureBootMode: 'UserMode',
    ...errorBody('InternalError'),
  };
  mock.decide = (request) =>
    request.startsWith('GET /redfish/v1/Systems/Bluefield') ? { status: 200, body } : undefined;
  const facts = concludePosture(unwrap(await readPosture(client)));
  assert.deepEqual(postureSelectors(facts), []);
});

test('a BMC that does not tell its systems is a refusal', async (context) => {
  const { mock, client } = await startMockBmc(context);
  const answers = [{ Members: [] }, { Members: [{}, {}] }, {}, { Members: 'Bluefield' }];
  for (const body of answers) {
    mock.decide = () => ({ status: 200, body });
    const read = await readPosture(client);
    assert.ok(!read.ok);
  }
});
