import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { DPU_SERIAL, type DpuHostRig, dpuHostRig, HOST } from '../../../test/support/dpu-host.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { START_SECONDS } from '../../../test/support/state.ts';
import { type PretendedTpm, pretendTpm } from '../../../test/support/tpm-rig.ts';
import { makeKey } from '../../../test/support/x509.ts';
import { ok, type Result, unwrap } from '../../base/result.ts';
import type { TpmClockMark } from '../../rules/assurance.ts';
import type { DpuDraft } from '../../rules/dpu.ts';
import type { AttestedNode } from '../attestor.ts';
import { attestWithin } from '../bounded.ts';
import { decodeTpmChallenge } from '../tpm/payload.ts';
import type { HostTpmRules } from './host-tpm.ts';
import {
  decodeHostChallenge,
  decodeHostResponse,
  encodeHostChallenge,
  encodeHostPayload,
  encodeHostResponse,
} from './payload.ts';

type Tpm = ReturnType<typeof pretendTpm>;

interface Extra {
  /** TPMs that are known by configuration; the first that is shown is taken where there is none. */
  readonly known?: readonly Tpm[];
  readonly required?: HostTpmRules['isRequired'];
  readonly dpu?: Partial<DpuDraft>;
}

async function setUp(context: TestContext, { known, required, dpu = {} }: Extra = {}) {
  const state: { last: TpmClockMark | undefined } = { last: undefined };
  const tpm: HostTpmRules = {
    trust: {
      ...{ roots: [], intermediates: [] },
      knownKeys: new Set(known?.map((one) => one.known)),
      unknownKeys: known === undefined ? 'taken' : 'refused',
    },
    revocation: async () => ({ crls: [], maxStaleMs: 0 }),
    pcrs: [0, 7],
    unsafeClock: 'accepted',
    lastClock: () => state.last,
    isRequired: required ?? (() => true),
  };
  return { rig: await dpuHostRig(context, { dpu, server: { tpm } }), state };
}

/** What an agent does otherwise than the honest. */
interface Lie {
  /** Key that the TPM quotes for in place of that of the CSR. */
  readonly quotesFor?: Uint8Array;
  /** The TPM was offered, and does not answer. */
  readonly silent?: boolean;
}

/** Attests as the real agent does, with a TPM that answers as it is told. */
async function attest(
  rig: DpuHostRig,
  tpm: Tpm | undefined,
  { quotesFor = rig.key.spki, silent = false }: Lie = {},
): Promise<Result<AttestedNode>> {
  const session = await rig.begin();
  const outcome = await attestWithin(
    rig.server,
    { ...rig.request, payload: encodeHostPayload({ tpm: tpm?.payload }) },
    {
      clock: rig.clock,
      exchange: async (bytes) => {
        const { nonce, tpm: question } = unwrap(decodeHostChallenge(bytes));
        // One nonce for both: neither can be of another attestation.
        if (question) assert.deepEqual(unwrap(decodeTpmChallenge(question)).nonce, nonce);
        const shown = unwrap(await session.respond(encodeHostChallenge({ nonce })));
        const answer = question && !silent ? tpm?.respond(question, quotesFor) : undefined;
        return ok(encodeHostResponse({ ...unwrap(decodeHostResponse(shown)), tpm: answer }));
      },
    },
  );
  await session.close();
  if (!outcome.ok) return outcome;
  assert.ok(outcome.value.kind === 'attested');
  const { node } = outcome.value;
  if (node.dpu !== undefined) unwrap(await rig.registry.writeDpus([node.dpu]));
  return ok(node);
}

async function refusedWith(
  rig: DpuHostRig,
  code: string,
  tpm: Tpm | undefined,
  lie: Lie = {},
): Promise<void> {
  assertRefused(await attest(rig, tpm, lie), 'DPU_HOST_NOT_ATTESTED');
  assert.equal(rig.refused.at(-1), code);
}

const quoting = (quote: PretendedTpm['quote'] = {}): Tpm => pretendTpm({ quote });

describe('the TPM of a host beside its voucher', () => {
  test('quotes over the nonce of the voucher, is pinned and keeps its clock', async (context) => {
    const { rig, state } = await setUp(context);
    const tpm = quoting();
    const node = assertValue(await attest(rig, tpm));
    const texts = node.selectors.map(({ text }) => text);
    assert.ok(texts.includes(`tpm:ek:sha256:${tpm.known}`), texts.join(' '));
    assert.ok(!texts.some((text) => text.startsWith('tpm:pcr')), 'no maker certified it');
    assert.equal(node.assurance?.binding, 'vouched');
    assert.deepEqual(rig.registry.dpus.get(DPU_SERIAL)?.hostTpm, {
      ...{ ekSha256: tpm.known, hostUuid: HOST.uuid },
      sinceSeconds: START_SECONDS,
    });
    const mark = node.assurance?.tpmClock;
    assert.ok(mark !== undefined);
    state.last = { ...mark, resetCount: mark.resetCount + 1 };
    await refusedWith(rig, 'TPM_CLOCK', tpm);
  });

  test('is refused where it is another than the first, and that is an alarm', async (context) => {
    const { rig } = await setUp(context);
    const [first, second] = [quoting(), quoting()];
    assertValue(await attest(rig, first));
    await refusedWith(rig, 'VOUCHER_TPM_KEY', second);
    assert.deepEqual(rig.alarms, ['VOUCHER_TPM_KEY']);
    unwrap(await rig.inventory.forgetHost(DPU_SERIAL, { tpm: false }));
    await refusedWith(rig, 'VOUCHER_TPM_KEY', second);
    unwrap(await rig.inventory.forgetHost(DPU_SERIAL, { tpm: true }));
    assertValue(await attest(rig, second));
    assert.equal(rig.registry.dpus.get(DPU_SERIAL)?.hostTpm?.ekSha256, second.known);
  });

  test('of another host says nothing of this one', async (context) => {
    const hostTpm = { ekSha256: 'ab'.repeat(32), hostUuid: 'other', sinceSeconds: 1 };
    const { rig } = await setUp(context, { dpu: { hostTpm } });
    assertValue(await attest(rig, quoting()));
  });

  test('is refused where nobody knows it and the first does not count', async (context) => {
    const known = quoting();
    const { rig } = await setUp(context, { known: [known] });
    await refusedWith(rig, 'TPM_EK', quoting());
    assertValue(await attest(rig, known));
  });

  test('is refused where it is absent or silent and its zone demands it', async (context) => {
    const { rig } = await setUp(context, { required: (zone) => zone === 1 });
    await refusedWith(rig, 'VOUCHER_TPM_MISSING', undefined);
    await refusedWith(rig, 'VOUCHER_TPM_MISSING', quoting(), { silent: true });
    assert.equal(rig.registry.dpus.get(DPU_SERIAL)?.hostKey, undefined);
  });

  test('may be absent where its zone does not demand it, and has to hold where it is not', async (context) => {
    const { rig } = await setUp(context, { required: (zone) => zone === 2 });
    assertValue(await attest(rig, undefined));
    await refusedWith(rig, 'VOUCHER_TPM_MISSING', quoting(), { silent: true });
    await refusedWith(rig, 'TPM_QUOTE', quoting(), { quotesFor: makeKey().spki });
  });

  test('quotes for no other key and no other nonce', async (context) => {
    const { rig } = await setUp(context);
    await refusedWith(rig, 'TPM_QUOTE', quoting(), { quotesFor: makeKey().spki });
    await refusedWith(rig, 'TPM_QUOTE', quoting({ nonce: Buffer.alloc(32, 1) }));
    assert.equal(rig.registry.dpus.get(DPU_SERIAL)?.hostTpm, undefined);
  });

  test('is not asked, and its answer not taken, by a server that does not look at it', async (context) => {
    const rig = await dpuHostRig(context);
    assertValue(await attest(rig, quoting()));
    assert.equal(rig.registry.dpus.get(DPU_SERIAL)?.hostTpm, undefined);
  });
});
