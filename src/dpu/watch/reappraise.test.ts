import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DPU_CLASS, IROT_TARGET, manifestFor, TestCard } from '../../../test/support/dpu.ts';
import {
  IROT,
  manifestWith,
  type Written,
  writtenRelease,
} from '../../../test/support/manifest.ts';
import { dpuDraft } from '../../../test/support/state.ts';
import { unwrap } from '../../base/result.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import { DEFAULT_SPDM_POLICY } from '../../spdm/policy.ts';
import { appraiseDpu, componentOf } from '../appraise-dpu.ts';
import { verifyEvidence } from '../evidence.ts';
import { reappraise } from './reappraise.ts';

const AT_MS = Date.UTC(2031, 0, 1);
const RULES = { manifestFor, atMs: AT_MS };

/** A DPU that attested, as the inventory remembers it. */
async function attested(): Promise<DpuRecord> {
  const card = new TestCard('A');
  const nonce = new Uint8Array(32).fill(7);
  const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: AT_MS };
  const evidence = unwrap(verifyEvidence(await card.evidence(nonce), IROT_TARGET, nonce, rules));
  const fresh = dpuDraft('A', { state: 'commissioned', deviceIds: [card.deviceId] });
  const commissioned = { ...fresh, revision: 1n };
  const appraisal = unwrap(appraiseDpu(commissioned, [[IROT_TARGET, evidence]], RULES));
  return {
    ...commissioned,
    ...appraisal.remembered,
    state: 'trusted',
    assessment: {
      atSeconds: AT_MS / 1000,
      verdict: 'affirming',
      evidence: ['spdm-redfish'],
      binding: 'dual',
      components: appraisal.components.map(componentOf),
      code: '',
      detail: '',
      posture: {},
      evidenceId: '',
    },
  };
}

const dpu = await attested();
const by = (target: Written) => ({
  manifestFor: (id: string) =>
    id === IROT ? manifestWith({ deviceClass: DPU_CLASS.name, ...target }) : undefined,
  atMs: AT_MS,
});
const judged = (target: Written, record = dpu) => reappraise(record, [IROT_TARGET], by(target));
const without = (change: Written): DpuRecord => {
  const { assessment } = dpu;
  assert.ok(assessment !== undefined);
  const components = assessment.components.map((one) => ({ ...one, ...change }));
  return { ...dpu, assessment: { ...assessment, components } };
};

describe('what is kept of the last evidence, judged by other manifests', () => {
  it('stands where the same release matches in every value and layer', () => {
    assert.deepEqual(judged({}), { kind: 'stands' });
    assert.deepEqual(judged({ releases: [writtenRelease('r2', 2)], minimumRelease: 'r2' }), {
      kind: 'stands',
    });
  });

  for (const [what, target, code] of [
    ['its release was withdrawn', { releases: [writtenRelease('r1', 1)] }, 'MEASUREMENT_MISMATCH'],
    ['its release is below the minimum', { minimumRelease: 'r3' }, 'ROLLBACK_MINIMUM'],
    [
      'a release lists what it does not measure',
      {
        releases: [
          writtenRelease('r2', 2, {
            measurements: [{ index: 77, values: [`sha512:${'ab'.repeat(64)}`] }],
          }),
        ],
        minimumRelease: 'r2',
      },
      'MEASUREMENT_MISSING',
    ],
    [
      'a layer is to have another firmware id',
      {
        releases: [
          writtenRelease('r2', 2, {
            layers: [{ name: 'L5', fwids: [`sha384:${'ab'.repeat(48)}`] }],
          }),
        ],
        minimumRelease: 'r2',
      },
      'MEASUREMENT_FWID',
    ],
    [
      'indices mean something else now',
      { format: { index: 1, values: ['raw:00'] } },
      'MEASUREMENT_FORMAT',
    ],
  ] as const) {
    it(`is contradicted where ${what}`, () => {
      const result = judged(target);
      assert.equal(result.kind, 'contradicted');
      assert.equal(result.kind === 'contradicted' && result.error.code, code);
    });
  }

  it('is open where the match has another name, so that selectors are made anew', () => {
    const renamed = { ...writtenRelease('r2', 2), id: 'r2b' };
    assert.equal(judged({ releases: [renamed], minimumRelease: 'r2b' }).kind, 'open');
  });

  it('is open where firmware ids were not kept, and contradicted all the same by values', () => {
    assert.equal(judged({}, without({ layers: undefined })).kind, 'open');
    assert.equal(judged({ fwids: 'ignored' }, without({ layers: undefined })).kind, 'stands');
    const gone = { releases: [writtenRelease('r1', 1)] };
    assert.equal(judged(gone, without({ layers: undefined })).kind, 'contradicted');
    assert.equal(judged({}, without({ layers: [{ name: 'L5', fwids: ['md5:00'] }] })).kind, 'open');
  });

  it('is open where nothing is kept, or not in this form, or no manifest speaks of it', () => {
    assert.equal(judged({}, { ...dpu, assessment: undefined }).kind, 'open');
    assert.equal(judged({}, without({ values: [] })).kind, 'open');
    assert.equal(
      judged({}, without({ values: [{ target: IROT, index: 2, value: '00' }] })).kind,
      'open',
    );
    const none = { manifestFor: () => undefined, atMs: AT_MS };
    assert.equal(reappraise(dpu, [IROT_TARGET], none).kind, 'open');
  });

  it('is open where the manifest has expired: that is no fault of the card', () => {
    const expired = {
      manifestFor: () =>
        manifestWith({ deviceClass: DPU_CLASS.name }, { expiresAt: '2030-06-01T00:00:00Z' }),
      atMs: AT_MS,
    };
    assert.equal(reappraise(dpu, [IROT_TARGET], expired).kind, 'open');
  });
});
