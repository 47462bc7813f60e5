import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { runAttestation } from '../../../test/support/attestor-suite.ts';
import {
  BOOTS,
  DEVICE_ID,
  DPU_SERIAL,
  type DpuHostRig,
  type DpuHostRigOptions,
  dpuHostRig,
  HOST,
  sha256Hex,
  trustedDpu,
} from '../../../test/support/dpu-host.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { id, revocation, START_SECONDS } from '../../../test/support/state.ts';
import {
  makeIntermediate,
  makeKey,
  makeLeaf,
  makeRoot,
  type TestCertificate,
  type TestKey,
} from '../../../test/support/x509.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { ok, type Result, unwrap } from '../../base/result.ts';
import { dpuAgentPath, dpuHostAgentPath } from '../../rules/reserved-ids.ts';
import type { AttestedNode } from '../attestor.ts';
import { attestWithin } from '../bounded.ts';
import {
  askingMessage,
  decodeHostChallenge,
  encodeHostPayload,
  encodeHostResponse,
  showingMessage,
} from './payload.ts';
import { signVoucher, type VoucherClaims, voucherAudience } from './voucher.ts';

/** What an attacker does otherwise than the honest. */
interface Forgery {
  readonly claims?: Partial<VoucherClaims>;
  readonly signer?: TestCertificate;
  readonly x5c?: readonly Uint8Array[];
  /** Over the finished voucher. */
  readonly voucher?: (text: string) => string;
  readonly anchor?: TestKey;
  /** Sign in place of the key of the boot, and of the CSR. */
  readonly proofBy?: TestKey;
  readonly shownBy?: TestKey;
}

const ANCHOR = makeKey();

/** An answer to a challenge, made by hand: honest but for the forgery. */
function answerTo(rig: DpuHostRig, nonce: Uint8Array, forgery: Forgery): Buffer {
  const { signer = rig.leaf, anchor = ANCHOR } = forgery;
  const nowSeconds = Math.floor(rig.clock.nowMs() / 1000);
  const claims: VoucherClaims = {
    aud: voucherAudience('example.org'),
    iat: nowSeconds,
    exp: nowSeconds + 60,
    nonce,
    key: sha256Hex(rig.key.spki),
    anchor: sha256Hex(anchor.spki),
    boot: BOOTS[0],
    witness: '',
    host: HOST,
    tenant: 'blue',
    ...forgery.claims,
  };
  const { privateKey } = signer.key;
  const made = signVoucher(claims, {
    leaf: signer.der,
    keyType: 'ec-p256',
    sign: (hash, message) => sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  });
  const voucher = forgery.voucher?.(unwrap(made)) ?? unwrap(made);
  const asking = askingMessage('example.org', { ...claims, anchor: anchor.spki });
  return encodeHostResponse({
    voucher,
    x5c: forgery.x5c ?? [signer.der],
    anchor: anchor.spki,
    proof: sign('sha256', asking, (forgery.proofBy ?? anchor).privateKey),
    signature: sign(
      'sha256',
      showingMessage(nonce, voucher),
      (forgery.shownBy ?? rig.key).privateKey,
    ),
  });
}

async function attest(rig: DpuHostRig, forgery: Forgery = {}): Promise<Result<AttestedNode>> {
  const outcome = await attestWithin(
    rig.server,
    { ...rig.request, payload: encodeHostPayload() },
    {
      clock: rig.clock,
      exchange: async (challenge) =>
        ok(answerTo(rig, unwrap(decodeHostChallenge(challenge)).nonce, forgery)),
    },
  );
  if (!outcome.ok) return outcome;
  assert.ok(outcome.value.kind === 'attested');
  return ok(outcome.value.node);
}

/** Attests, and writes down what the server would. */
async function admitted(rig: DpuHostRig, forgery: Forgery = {}): Promise<AttestedNode> {
  const node = assertValue(await attest(rig, forgery));
  if (node.dpu !== undefined) unwrap(await rig.registry.writeDpus([node.dpu]));
  return node;
}

async function refusedWith(
  rig: DpuHostRig,
  code: ErrorCode,
  forgery: Forgery = {},
  told: ErrorCode = 'DPU_HOST_NOT_ATTESTED',
  what: string = code,
): Promise<void> {
  assertRefused(await attest(rig, forgery), told);
  assert.equal(rig.refused.at(-1), code, what);
}

describe('a host that its DPU vouches for', () => {
  test('is named after DPU and host, with selectors of the inventory, until the DPU’s SVID ends', async (context) => {
    const rig = await dpuHostRig(context);
    const node = assertValue((await runAttestation(rig)).result);
    assert.equal(node.agentId.path, dpuHostAgentPath(DEVICE_ID, HOST.uuid));
    assert.deepEqual(
      node.selectors.map(({ text }) => text),
      [
        `dpu_host:dpu:${DPU_SERIAL}`,
        `dpu_host:host:uuid:${HOST.uuid}`,
        'dpu_host:host:serial:H1',
        'dpu_host:zone:1',
        'dpu_host:rack:r7',
        'dpu_host:tenant:blue',
      ],
    );
    assert.deepEqual(node.assurance, { binding: 'vouched', zone: 1, release: undefined });
    assert.equal(node.notAfterSeconds, START_SECONDS + 600);
    assert.equal(node.canReattest, true);
    assert.equal(rig.registry.dpus.ofAgent(node.agentId)?.serial, DPU_SERIAL);
  });

  test('is remembered by its first key, which a second attestation does not write again', async (context) => {
    const rig = await dpuHostRig(context);
    const first = await admitted(rig);
    assert.equal(rig.registry.dpus.get(DPU_SERIAL)?.hostKey?.anchor, sha256Hex(ANCHOR.spki));
    assert.notEqual(first.dpu, undefined);
    assert.equal((await admitted(rig)).dpu, undefined);
  });

  test('goes on while its DPU is degraded: a BMC that restarts takes no host down', async (context) => {
    const rig = await dpuHostRig(context, { dpu: { state: 'degraded' } });
    assertValue(await attest(rig));
  });

  test('may have what was found out of band in place of what was imported', async (context) => {
    const uuid = BOOTS[1];
    const pairing = { ...HOST, uuid, source: 'host-bmc', checkedAtSeconds: START_SECONDS };
    const rig = await dpuHostRig(context, { dpu: { pairing } });
    await refusedWith(rig, 'VOUCHER_HOST');
    const node = assertValue(await attest(rig, { claims: { host: { ...HOST, uuid } } }));
    assert.equal(node.agentId.path, dpuHostAgentPath(DEVICE_ID, uuid));
  });
});

describe('a voucher that is not for this attestation', () => {
  const other = makeKey();
  const soon = START_SECONDS;
  const cases: readonly (readonly [string, ErrorCode, Partial<VoucherClaims>])[] = [
    ['for another key', 'VOUCHER_KEY', { key: sha256Hex(other.spki) }],
    ['that another key of the boot asked for', 'VOUCHER_KEY', { anchor: sha256Hex(other.spki) }],
    ['of another attestation', 'VOUCHER_NONCE', { nonce: Buffer.alloc(32, 9) }],
    ['for another trust domain', 'VOUCHER_AUDIENCE', { aud: voucherAudience('example.com') }],
    ['for a part of the audience', 'VOUCHER_AUDIENCE', { aud: 'spiffe://example.org' }],
    ['that lives 61 s', 'VOUCHER_TIME', { iat: soon, exp: soon + 61 }],
    ['that lives no time', 'VOUCHER_TIME', { iat: soon, exp: soon }],
    ['that begins in 31 s', 'VOUCHER_TIME', { iat: soon + 31, exp: soon + 60 }],
    ['that ended 30 s ago', 'VOUCHER_TIME', { iat: soon - 90, exp: soon - 30 }],
    ['for another host', 'VOUCHER_HOST', { host: { ...HOST, uuid: BOOTS[0] } }],
    ['for no host', 'VOUCHER_HOST', { host: { ...HOST, uuid: '' } }],
    ['for a host of another serial number', 'VOUCHER_HOST', { host: { ...HOST, serial: 'H2' } }],
    ['without the MAC of PF0', 'VOUCHER_HOST', { host: { ...HOST, pf0Mac: '' } }],
    ['of another tenant', 'VOUCHER_HOST', { tenant: 'red' }],
    ['of no tenant', 'VOUCHER_HOST', { tenant: '' }],
  ];
  test('is refused, for whatever it is that it is not for', async (context) => {
    const rig = await dpuHostRig(context);
    for (const [name, code, claims] of cases) {
      await refusedWith(rig, code, { claims }, 'DPU_HOST_NOT_ATTESTED', `one ${name}`);
    }
  });

  test('is taken where clocks differ by 30 s at most, and a minute is its life', async (context) => {
    const rig = await dpuHostRig(context);
    for (const claims of [
      { iat: soon + 30, exp: soon + 60 },
      { iat: soon - 89, exp: soon - 29 },
      { iat: soon, exp: soon + 60 },
    ]) {
      assertValue(await attest(rig, { claims }));
    }
  });

  test('is refused: one that was shown before', async (context) => {
    const rig = await dpuHostRig(context);
    let recorded: Uint8Array | undefined;
    const { result } = await runAttestation(rig, {
      tamper: (response) => {
        recorded = response;
        return ok(response);
      },
    });
    assertValue(result);
    const replay = await runAttestation(rig, { tamper: () => ok(recorded ?? Buffer.alloc(0)) });
    assertRefused(replay.result, 'DPU_HOST_NOT_ATTESTED');
    assert.deepEqual(rig.refused, ['VOUCHER_NONCE']);
  });

  test('is refused: one that another key shows, or that another key asked for', async (context) => {
    const rig = await dpuHostRig(context);
    await refusedWith(rig, 'DPU_HOST_POSSESSION', { shownBy: makeKey() });
    await refusedWith(rig, 'DPU_HOST_POSSESSION', { proofBy: makeKey() });
  });

  test('is refused where the inventory does not know the host', async (context) => {
    const rig = await dpuHostRig(context, { dpu: { host: { ...HOST, uuid: '' } } });
    await refusedWith(rig, 'DPU_HOST_UNKNOWN');
  });
});

describe('a voucher of somebody else', () => {
  const dpuUri = id(dpuAgentPath(DEVICE_ID)).uri;
  const at = { notAfterMs: (START_SECONDS + 600) * 1000 };
  const cases: readonly (readonly [string, ErrorCode, (rig: DpuHostRig) => Forgery])[] = [
    [
      'a chain to another root',
      'VOUCHER_SIGNER',
      () => ({
        signer: makeLeaf(makeRoot('example.org'), dpuUri, at),
      }),
    ],
    [
      'an SVID of a workload',
      'VOUCHER_SIGNER',
      ({ root }) => ({
        signer: makeLeaf(root, 'spiffe://example.org/web', at),
      }),
    ],
    [
      'an SVID of an agent that is no DPU’s',
      'VOUCHER_SIGNER',
      ({ root }) => ({
        signer: makeLeaf(root, 'spiffe://example.org/spire/agent/x509pop/a', at),
      }),
    ],
    [
      'an SVID of a host that a DPU vouched for',
      'VOUCHER_SIGNER',
      ({ root }) => ({
        signer: makeLeaf(root, id(dpuHostAgentPath(DEVICE_ID, HOST.uuid)).uri, at),
      }),
    ],
    [
      'the certificate of a CA',
      'VOUCHER_SIGNER',
      ({ root }) => ({
        signer: makeIntermediate(root),
      }),
    ],
    [
      'signed by one key, with the chain of another',
      'VOUCHER_SIGNER',
      ({ leaf }) => ({
        signer: makeLeaf(makeRoot('example.org'), dpuUri, at),
        x5c: [leaf.der],
      }),
    ],
    ['a chain that is garbage', 'VOUCHER_SIGNER', () => ({ x5c: [Buffer.alloc(100, 1)] })],
    [
      'the right certificate, and another signature',
      'VOUCHER_SIGNATURE',
      ({ leaf }) => ({
        signer: { ...leaf, key: makeKey() },
      }),
    ],
  ];
  test('is refused: other chains, and another signature', async (context) => {
    const rig = await dpuHostRig(context);
    for (const [name, code, forge] of cases) {
      await refusedWith(rig, code, forge(rig), 'DPU_HOST_NOT_ATTESTED', name);
    }
  });

  test('is refused, to be asked for again: an SVID that the DPU has no more', async (context) => {
    const rig = await dpuHostRig(context, { agent: { serial: '12345' } });
    await refusedWith(rig, 'VOUCHER_SIGNER_OUTDATED', {}, 'DPU_HOST_NOT_JUDGED');
  });

  test('is refused: an SVID that was revoked', async (context) => {
    const rig = await dpuHostRig(context);
    const { serialDecimal } = rig.leaf.certificate;
    unwrap(await rig.registry.revoke([revocation(serialDecimal)]));
    await refusedWith(rig, 'VOUCHER_SIGNER_OUTDATED', {}, 'DPU_HOST_NOT_JUDGED');
  });

  test('is refused: an SVID that has lapsed', async (context) => {
    const rig = await dpuHostRig(context);
    rig.clock.advance(601_000);
    await refusedWith(rig, 'VOUCHER_SIGNER');
  });

  test('is refused: the SVID of an agent that is banned', async (context) => {
    const rig = await dpuHostRig(context);
    unwrap(await rig.registry.banAgent(id(dpuAgentPath(DEVICE_ID)), false));
    await refusedWith(rig, 'VOUCHER_SIGNER');
  });

  test('is refused: an agent of that name that attested otherwise', async (context) => {
    const rig = await dpuHostRig(context, { agent: { attestationType: 'x509pop' } });
    await refusedWith(rig, 'VOUCHER_SIGNER');
  });

  test('is refused: a DPU in quarantine, from the moment of it', async (context) => {
    const rig = await dpuHostRig(context);
    unwrap(await rig.inventory.quarantine(DPU_SERIAL, { reason: 'looks odd' }));
    await refusedWith(rig, 'DPU_HOST_NOT_ADMITTED', {}, 'DPU_HOST_NOT_JUDGED');
  });

  for (const [name, dpu] of [
    ['that is to attest', { mustAttest: true }],
    ['that was commissioned and has not attested', { state: 'commissioned' }],
    ['that is retired', { state: 'retired' }],
  ] as const) {
    test(`is refused: a DPU ${name}`, async (context) => {
      const rig = await dpuHostRig(context, { dpu });
      await refusedWith(rig, 'DPU_HOST_NOT_ADMITTED', {}, 'DPU_HOST_NOT_JUDGED');
    });
  }

  test('is refused: a device key that no DPU of the inventory has, or two', async (context) => {
    await refusedWith(
      await dpuHostRig(context, { dpu: { deviceIds: ['ef'.repeat(32)] } }),
      'VOUCHER_SIGNER',
    );
    const rig = await dpuHostRig(context);
    await rig.write({ ...trustedDpu(), serial: 'MT0000X00002' });
    await refusedWith(rig, 'VOUCHER_SIGNER');
  });
});

describe('one key for each boot of a host', () => {
  const second = { anchor: makeKey() };
  const seen = sha256Hex(Buffer.from('reset 1'));
  const later = sha256Hex(Buffer.from('reset 2'));

  async function withFirst(
    context: TestContext,
    claims: Partial<VoucherClaims> = {},
    options: DpuHostRigOptions = {},
  ): Promise<DpuHostRig> {
    const rig = await dpuHostRig(context, options);
    await admitted(rig, { claims });
    return rig;
  }

  test('a second key in the same boot is refused and alarmed, and the first goes on', async (context) => {
    const rig = await withFirst(context);
    await refusedWith(rig, 'VOUCHER_SECOND_KEY', second);
    assert.deepEqual(rig.alarms, ['VOUCHER_SECOND_KEY']);
    assert.equal(rig.registry.dpus.get(DPU_SERIAL)?.state, 'trusted');
    await admitted(rig);
  });

  test('a second key that invents a boot is refused and alarmed', async (context) => {
    const rig = await withFirst(context);
    const claims = { boot: BOOTS[1] };
    await refusedWith(rig, 'VOUCHER_BOOT_UNCONFIRMED', { ...second, claims });
    assert.deepEqual(rig.alarms, ['VOUCHER_BOOT_UNCONFIRMED']);
  });

  test('the first key may come with another boot: only the host has it', async (context) => {
    const rig = await withFirst(context);
    await admitted(rig, { claims: { boot: BOOTS[1] } });
    await refusedWith(rig, 'VOUCHER_SECOND_KEY', { ...second, claims: { boot: BOOTS[1] } });
  });

  test('another key comes with a boot that the DPU saw, and then it is the one', async (context) => {
    const rig = await withFirst(context, { witness: seen });
    await refusedWith(rig, 'VOUCHER_BOOT_UNCONFIRMED', {
      ...second,
      claims: { boot: BOOTS[1], witness: seen },
    });
    const claims = { boot: BOOTS[1], witness: later };
    await admitted(rig, { ...second, claims });
    await refusedWith(rig, 'VOUCHER_SECOND_KEY', { claims });
  });

  test('a DPU that begins to watch its host has not seen a boot', async (context) => {
    const rig = await withFirst(context);
    const claims = { boot: BOOTS[1], witness: seen };
    await refusedWith(rig, 'VOUCHER_BOOT_UNCONFIRMED', { ...second, claims });
  });

  test('of two first keys at once one is written', async (context) => {
    const rig = await dpuHostRig(context);
    const nodes = [await attest(rig), await attest(rig, second)].map(assertValue);
    const writes = nodes.flatMap(({ dpu }) => (dpu === undefined ? [] : [dpu]));
    const outcomes: string[] = [];
    for (const write of writes) {
      const [written] = unwrap(await rig.registry.writeDpus([write]));
      outcomes.push(written?.outcome ?? '');
    }
    assert.deepEqual(outcomes, ['written', 'conflict']);
  });

  test('is forgotten when an operator commissions the DPU, or gives it another host', async (context) => {
    const rig = await withFirst(context);
    const act = { reason: 'host installed anew' };
    const moved = unwrap(await rig.inventory.move(DPU_SERIAL, 'commission', act));
    assert.equal(moved.hostKey, undefined);
    const other = await withFirst(context);
    const { revision: _revision, ...dpu } = unwrap(other.inventory.find(DPU_SERIAL));
    await other.write({ ...dpu, host: { ...HOST, uuid: BOOTS[1] } });
    const claims = { host: { ...HOST, uuid: BOOTS[1] } };
    await admitted(other, { ...second, claims });
  });
});
