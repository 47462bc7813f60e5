import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dpuDraft, START_SECONDS, TRUST_DOMAIN } from '../../test/support/state.ts';
import { toWireDpu } from '../api/convert/dpus.ts';
import { ManualClock } from '../base/clock.ts';
import { Dpu } from '../gen/signet/dpu/v1/dpu.ts';
import type { DpuRecord } from '../rules/dpu.ts';
import { formatDpu } from './dpu-view.ts';
import { COLUMNS } from './text.ts';

const [KEY, OWN, EK, ANCHOR] = ['aa', 'bb', 'cc', 'dd'].map((byte) => byte.repeat(32));
const UUID = '6a2f41a3-c54c-fce8-32d2-0324e1c32e22';
const BOOT = '00000000-0000-4000-8000-000000000001';
const HOST = { serial: 'H1', uuid: UUID, pf0Mac: '02:00:00:00:00:01' };

const DPU: DpuRecord = {
  ...dpuDraft('MT0000X00001', {
    state: 'trusted',
    deviceIds: [KEY ?? ''],
    ownKeySha256: OWN ?? '',
    ekSha256: EK ?? '',
    attestedAtSeconds: START_SECONDS,
    lastFull: { rules: KEY ?? '', leaves: [], light: 3 },
    attestDemand: { reason: 'a newer manifest', sinceSeconds: START_SECONDS },
    pairing: { ...HOST, source: 'host-bmc', checkedAtSeconds: START_SECONDS },
    hostKey: {
      anchor: ANCHOR ?? '',
      boot: BOOT,
      witness: '',
      hostUuid: UUID,
      sinceSeconds: START_SECONDS,
    },
    hostTpm: { ekSha256: EK ?? '', hostUuid: UUID, sinceSeconds: START_SECONDS },
    baselineWindowEndsSeconds: START_SECONDS,
    unreachableSinceSeconds: START_SECONDS,
  }),
  revision: 1n,
};

test('a DPU is shown with all that it is known by, in the columns of a terminal', () => {
  const lines = formatDpu(toWireDpu(DPU, TRUST_DOMAIN), {
    clock: new ManualClock(START_SECONDS * 1000),
  }).split('\n');
  const shown = new Map(lines.map((line) => line.split(/ +: /, 2) as [string, string]));
  const named = ['Own key', 'TPM EK', 'Host key', 'of host', 'light since', 'told by', 'Host TPM'];
  assert.deepEqual(
    named.map((name) => shown.get(name)),
    [OWN, EK, ANCHOR, UUID, '3', 'host-bmc', EK],
  );
  assert.equal(shown.get('in boot'), `${BOOT} (as the host says)`);
  assert.equal(shown.get('Is to attest'), 'a newer manifest');
  for (const line of lines) {
    // SPIFFE IDs are never cut.
    if (!line.startsWith('Agent ')) assert.ok(line.length <= COLUMNS, line);
  }
});

test('programs get the same, by names', () => {
  const json = Dpu.toJSON(toWireDpu(DPU, TRUST_DOMAIN)) as Record<string, unknown>;
  assert.deepEqual([json.ownKey, json.endorsementKey], [OWN, EK]);
  assert.deepEqual(json.lastFull, { rules: KEY, light: 3 });
});
