import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  encodeVoucherRequest,
  type VoucherAnswer,
  type VoucherRequest,
} from '../../src/attestation/dpu_host/payload.ts';
import { readVoucher, type VoucherClaims } from '../../src/attestation/dpu_host/voucher.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { dpuAgentPath } from '../../src/rules/reserved-ids.ts';
import {
  BOOTS,
  DEVICE_ID,
  HOST,
  ownSvid,
  sha256Hex,
  voucherRequest,
} from '../../test/support/dpu-host.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { id, START_SECONDS, TRUST_DOMAIN } from '../../test/support/state.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { makeKey, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import type { OwnSvid } from '../attestation/own-svid.ts';
import { openBootMemory } from './boot-memory.ts';
import { createVoucherOffice, type VoucherOfficeParts } from './voucher-office.ts';

const ROOT = makeRoot(TRUST_DOMAIN.name);
const SVID = ownSvid(
  makeLeaf(ROOT, id(dpuAgentPath(DEVICE_ID)).uri, { notAfterMs: (START_SECONDS + 600) * 1000 }),
);
const NO_HOST = { serial: '', uuid: '', pf0Mac: '' };

type Office = (request: VoucherRequest) => Promise<Result<VoucherAnswer>>;

async function open(
  folder: string,
  settings: Partial<VoucherOfficeParts['settings']> = {},
  svid: OwnSvid | undefined = SVID,
  clock = new ManualClock(START_SECONDS * 1000),
): Promise<Office> {
  const office = createVoucherOffice({
    settings: { host: NO_HOST, tenant: 'blue', hostBootPath: undefined, perMinute: 3, ...settings },
    trustDomain: TRUST_DOMAIN,
    memory: unwrap(await openBootMemory(folder)),
    svid: () => svid,
    offsetMs: () => 2000,
    clock,
  });
  return (request) => office(encodeVoucherRequest(request));
}

function said(answer: Result<VoucherAnswer>): VoucherClaims {
  return assertValue(readVoucher(assertValue(answer).voucher)).claims;
}

describe('the agent of a DPU', () => {
  const first = makeKey();
  const second = makeKey();

  test('vouches for who asks first, by the server’s time, and says what it knows', async (context) => {
    const office = await open(testFolder(context), { host: { ...NO_HOST, serial: 'H1' } });
    const claims = said(await office(voucherRequest(first, { host: { ...HOST, serial: '' } })));
    assert.deepEqual(
      [claims.key, claims.anchor, claims.host, claims.tenant, claims.witness],
      ['cd'.repeat(32), sha256Hex(first.spki), HOST, 'blue', ''],
    );
    assert.deepEqual([claims.iat, claims.exp], [START_SECONDS + 2, START_SECONDS + 62]);
    assert.equal(claims.aud, 'spiffe://example.org/spire/server');
  });

  test('vouches for nobody else in the same boot, nor after a restart', async (context) => {
    const folder = testFolder(context);
    const office = await open(folder);
    assertValue(await office(voucherRequest(first)));
    assertRefused(await office(voucherRequest(second)), 'VOUCHER_SECOND_KEY');
    const restarted = await open(folder);
    assertRefused(await restarted(voucherRequest(second)), 'VOUCHER_SECOND_KEY');
    assertValue(await restarted(voucherRequest(first)));
  });

  test('takes the next key as the first once somebody removed the file', async (context) => {
    const folder = testFolder(context);
    const office = await open(folder, { perMinute: 10 });
    assertValue(await office(voucherRequest(first)));
    assertRefused(await office(voucherRequest(second)), 'VOUCHER_SECOND_KEY');
    rmSync(join(folder, 'voucher-keys.json'));
    assertValue(await office(voucherRequest(second)));
    assertRefused(await office(voucherRequest(first)), 'VOUCHER_SECOND_KEY');
  });

  test('vouches for one of two that ask at once', async (context) => {
    const office = await open(testFolder(context));
    const answers = await Promise.all([
      office(voucherRequest(first)),
      office(voucherRequest(second)),
    ]);
    assert.deepEqual(
      answers.map(({ ok }) => ok),
      [true, false],
    );
  });

  test('does not believe a boot that it did not see', async (context) => {
    const office = await open(testFolder(context));
    assertValue(await office(voucherRequest(first)));
    const invented = voucherRequest(second, { boot: BOOTS[1] });
    assertRefused(await office(invented), 'VOUCHER_BOOT_UNCONFIRMED');
    assertValue(await office(voucherRequest(first, { boot: BOOTS[1] })));
  });

  test('believes a boot that it saw, and vouches for the new key alone', async (context) => {
    const folder = testFolder(context);
    const hostBootPath = join(folder, 'host-boot');
    writeFileSync(hostBootPath, '1\n');
    const office = await open(folder, { hostBootPath, perMinute: 30 });
    assert.equal(said(await office(voucherRequest(first))).witness, sha256Hex(Buffer.from('1')));
    const next = voucherRequest(second, { boot: BOOTS[1] });
    assertRefused(await office(next), 'VOUCHER_BOOT_UNCONFIRMED');
    writeFileSync(hostBootPath, '2\n');
    assertRefused(await office(voucherRequest(second)), 'VOUCHER_SECOND_KEY');
    said(await office(next));
    assertRefused(
      await office(voucherRequest(first, { boot: BOOTS[0] })),
      'VOUCHER_BOOT_UNCONFIRMED',
    );
  });

  test('vouches for nobody while it cannot see boots that it is to see', async (context) => {
    const folder = testFolder(context);
    const office = await open(folder, { hostBootPath: join(folder, 'absent') });
    assertRefused(await office(voucherRequest(first)), 'VOUCHER_BOOT_WITNESS');
  });

  test('believes no key that did not sign the request, every part of it', async (context) => {
    const office = await open(testFolder(context));
    const good = voucherRequest(first);
    for (const changed of [
      { key: 'aa'.repeat(32) },
      { nonce: Buffer.alloc(32, 8) },
      { boot: BOOTS[1] },
      { host: { ...HOST, serial: 'H2' } },
      { host: { ...HOST, uuid: BOOTS[1] } },
      { host: { ...HOST, pf0Mac: '' } },
      { anchor: second.spki },
    ]) {
      assertRefused(await office({ ...good, ...changed }), 'DPU_HOST_POSSESSION');
    }
  });

  test('does not vouch for another host than the one that it knows', async (context) => {
    const office = await open(testFolder(context), { host: { ...NO_HOST, uuid: BOOTS[1] } });
    assertRefused(await office(voucherRequest(first)), 'VOUCHER_HOST');
  });

  test('does not vouch without an SVID of a DPU that is valid', async (context) => {
    const other = ownSvid(makeLeaf(ROOT, 'spiffe://example.org/spire/agent/x509pop/a'));
    const office = await open(testFolder(context), {}, other);
    assertRefused(await office(voucherRequest(first)), 'VOUCHER_NOT_READY');
    const late = new ManualClock((START_SECONDS + 598) * 1000);
    const lapsed = await open(testFolder(context), {}, SVID, late);
    assertRefused(await lapsed(voucherRequest(first)), 'VOUCHER_NOT_READY');
  });

  test('lets strangers use up their share only', async (context) => {
    const office = await open(testFolder(context));
    // The first request of all is by a key that is not known yet.
    assertValue(await office(voucherRequest(first)));
    const answers: string[] = [];
    for (let asked = 0; asked < 3; asked++) {
      const answer = await office(voucherRequest(second));
      answers.push(answer.ok ? 'OK' : answer.error.code);
    }
    assert.deepEqual(answers, ['VOUCHER_SECOND_KEY', 'VOUCHER_SECOND_KEY', 'VOUCHER_NOT_READY']);
    assertValue(await office(voucherRequest(first)));
  });

  test('answers the known key whatever number of others ask', async (context) => {
    const office = await open(testFolder(context));
    assertValue(await office(voucherRequest(first)));
    const flood = voucherRequest(second);
    for (let asked = 0; asked < 60; asked++) assert.equal((await office(flood)).ok, false);
    assertValue(await office(voucherRequest(first)));
  });

  test('does not forget its key by a file that was cut or changed', async (context: TestContext) => {
    const folder = testFolder(context);
    const office = await open(folder);
    assertValue(await office(voucherRequest(first)));
    const path = join(folder, 'voucher-keys.json');
    const text = readFileSync(path, 'utf8');
    for (const damaged of ['', '{}', text.slice(0, -9), text.replace(BOOTS[0], BOOTS[1])]) {
      writeFileSync(path, damaged);
      assertRefused(await openBootMemory(folder), 'VOUCHER_STATE_CORRUPT');
    }
  });
});
