import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openedRig, TOKEN } from '../../test/support/enrol-proofs.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { id, revocation, START_SECONDS } from '../../test/support/state.ts';
import { makeCsr, makeKey } from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, ok } from '../base/result.ts';
import type { IssuedSvid } from '../issuance/find-issued.ts';
import type { Revocation } from '../rules/revocation.ts';
import { serialToHexForms } from '../x509/serial.ts';
import type { ConnectorParts } from './parts.ts';
import { liveSerialsOf, revokeConnector, revokeSerials, unlisted } from './revoke.ts';

const WHY = { reason: 'lost', requestedBy: 'local:0' };

describe('a revocation', () => {
  test('takes back every live SVID that the ledger knows, also those that the record forgot', async (t) => {
    const rig = await openedRig(t);
    const { parts } = rig.context;
    const key = makeKey();
    const issued: IssuedSvid[] = [];
    for (let turn = 0; turn < 4; turn++) {
      const done = assertValue(await rig.enrol(TOKEN, { key }));
      const { serialDecimal: serial, spiffeId, expiresAtSeconds: notAfterSeconds } = done.issued;
      issued.push({ serial, spiffeId, agentId: undefined, authorityId: '', notAfterSeconds });
    }
    const [first] = issued;
    assert.ok(first);
    const ended = { ...first, serial: '77', notAfterSeconds: START_SECONDS - 86_400 };
    const findIssued: typeof parts.findIssued = async (target) =>
      'agentId' in target ? ok([]) : ok([...issued, ended]);
    const [connector] = rig.state.registry.connectors.connectors();
    assert.ok(connector);
    assertValue(await revokeConnector({ ...parts, findIssued }, connector.id, WHY));
    for (const { serial } of issued) assert.ok(rig.state.registry.revocation(serial), serial);
    assert.equal(rig.state.registry.revocation(ended.serial), undefined);
  });

  test('goes on with what is on record where the ledger cannot be read', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const findIssued = async () => fail('INTERNAL', 'unreadable');
    assertValue(await revokeConnector({ ...rig.context.parts, findIssued }, connector.id, WHY));
    assert.ok(rig.state.registry.revocation(connector.serial));
  });
});

test('what a lost key has ends before the new one has anything, also if that takes two tries', async (t) => {
  const rig = await openedRig(t);
  const lost = assertValue(await rig.enrol(TOKEN)).connector;
  const { parts } = rig.context;
  const { issueX509Batch } = parts.issuer;
  const broken = { ...parts.issuer, issueX509Batch: async () => [fail('INTERNAL', 'no signer')] };
  Object.assign(rig.context, { parts: { ...parts, issuer: broken } });
  const key = makeKey();
  const csr = makeCsr({ key });
  assertRefused(await rig.enrol(TOKEN, { key, csr }), 'INTERNAL');
  assert.ok(rig.state.registry.revocation(lost.serial));
  Object.assign(rig.context, { parts: { ...parts, issuer: { ...broken, issueX509Batch } } });
  const { connector, again } = assertValue(await rig.enrol(TOKEN, { key, csr }));
  assert.deepEqual([connector.id, again], [lost.id, true]);
  assert.ok(rig.state.registry.revocation(lost.serial));
  assert.equal(rig.state.registry.revocation(connector.serial), undefined);
});

describe('the SVIDs of a connector that have not ended', () => {
  const NOW = START_SECONDS;
  const of = (expiresAtSeconds: number, previousExpiresAtSeconds: number, names = ['2', '1']) => {
    const [serial = '', previousSerial = ''] = names;
    const ends = { expiresAtSeconds, previousExpiresAtSeconds };
    return liveSerialsOf({ serial, previousSerial, ...ends }, NOW).map((one) => one.serial);
  };

  test('are those that are good in this second, their last one included', () => {
    assert.deepEqual(of(NOW + 1, NOW - 1), ['2']);
    assert.deepEqual(of(NOW, NOW), ['2', '1']);
    assert.deepEqual(of(NOW - 1, NOW + 1), ['1']);
    assert.deepEqual(of(NOW - 1, NOW - 1), []);
  });

  test('are none where none was signed', () => {
    assert.deepEqual(of(NOW + 1, NOW + 1, ['', '']), []);
    assert.deepEqual(of(NOW + 1, NOW + 1, ['2', '']), ['2']);
  });
});

/** What revocations stand on, without a store: what is asked of it and what it says. */
function parts(extra: Partial<ConnectorParts> = {}, held: readonly string[] = []) {
  const written: Revocation[] = [];
  const asked: unknown[] = [];
  const registry = {
    bundle: { x509Authorities: [900, 700, 800].map(begunAt) },
    revocation: (serial: string) => (held.includes(serial) ? revocation(serial) : undefined),
    revoke: async (all: readonly Revocation[]) => ok(void written.push(...all)),
  };
  const made = {
    registry,
    clock: new ManualClock(START_SECONDS * 1000),
    log: { warn: () => {} },
    findIssued: async (...question: unknown[]) => {
      asked.push(question);
      return ok([]);
    },
    ...extra,
  };
  // The rest of the parts is not asked.
  return { written, asked, made: made as unknown as ConnectorParts };
}

const begunAt = (notBeforeMs: number) => ({ certificate: { notBeforeMs } });
const WHOSE = { spiffeId: id('/connector/edge/c1'), agentId: undefined };
const LIVE = { notAfterSeconds: START_SECONDS + 60 };

describe('SVIDs that are taken back', () => {
  test('are written once: those that are already stay as they are', async () => {
    const { made, written } = parts({}, ['1']);
    const serials = ['1', '2'].map((serial) => ({ serial, ...LIVE }));
    assertValue(await revokeSerials(made, WHOSE, serials, 'superseded'));
    assert.deepEqual(
      written.map(({ serial, reason, spiffeId }) => [serial, reason, spiffeId.path]),
      [['2', 'superseded', '/connector/edge/c1']],
    );
  });

  test('none is neither looked up nor written', async () => {
    const { made, written, asked } = parts({}, ['1']);
    assertValue(await revokeSerials(made, WHOSE, [{ serial: '1', ...LIVE }], 'superseded'));
    assertValue(await revokeSerials(made, WHOSE, [], 'superseded'));
    assert.deepEqual([written, asked], [[], []]);
  });

  test('say who signed them, as far as the ledger knows, since the oldest authority began', async () => {
    const signed: IssuedSvid = { serial: '17', ...WHOSE, authorityId: 'ab', ...LIVE };
    const asked: unknown[] = [];
    const { made, written } = parts({
      findIssued: async (target, sinceMs) => {
        asked.push([target, sinceMs]);
        return ok([signed]);
      },
      findIssuerName: async (authorityId) => Buffer.from(`name of ${authorityId}`),
    });
    const serials = ['17', '18'].map((serial) => ({ serial, ...LIVE }));
    assertValue(await revokeSerials(made, WHOSE, serials, 'superseded'));
    assert.deepEqual(
      written.map(({ authorityId, issuerDer }) => [authorityId, issuerDer?.toString()]),
      [
        ['ab', 'name of ab'],
        ['', undefined],
      ],
    );
    assert.deepEqual(asked, [[{ serials: ['17', '18'].flatMap(serialToHexForms) }, 700]]);
  });

  test('are not said to be where the store does not take them', async () => {
    const { made } = parts();
    const registry = { ...made.registry, revoke: async () => fail('STORE_CONFLICT', 'no') };
    const refusing = { ...made, registry } as ConnectorParts;
    const one = [{ serial: '1', ...LIVE }];
    assertRefused(await revokeSerials(refusing, WHOSE, one, 'superseded'), 'STORE_CONFLICT');
  });
});

describe('a connector that is revoked', () => {
  const RECORD = {
    ...WHOSE,
    serial: '1',
    previousSerial: '',
    expiresAtSeconds: START_SECONDS + 60,
    previousExpiresAtSeconds: 0,
  };
  const revoked = async (changed: unknown, extra: Partial<ConnectorParts> = {}) => {
    const acts: string[] = [];
    const connectors = { changeConnector: async () => changed };
    const { made, written } = parts({
      connectors: connectors as unknown as ConnectorParts['connectors'],
      recordAct: async ({ act }) => ok(void acts.push(act)),
      ...extra,
    });
    const done = await revokeConnector(made, 'c1', WHY);
    return { done, acts, serials: written.map(({ serial }) => serial) };
  };

  test('is on record once its SVIDs are taken back, in the last second of theirs too', async () => {
    const findIssued: ConnectorParts['findIssued'] = async (target) => {
      if (!('spiffeId' in target)) return ok([]);
      return ok(
        [-1, 0, 1].map((later, index) => ({
          serial: String(20 + index),
          ...WHOSE,
          authorityId: '',
          notAfterSeconds: START_SECONDS + later,
        })),
      );
    };
    const { done, acts, serials } = await revoked(ok(RECORD), { findIssued });
    assertValue(done);
    assert.deepEqual([acts, serials], [['revoke'], ['1', '21', '22']]);
  });

  test('that is not there leaves nothing', async () => {
    const { done, acts, serials } = await revoked(ok(undefined));
    assert.equal(assertValue(done), undefined);
    assert.deepEqual([acts, serials], [[], []]);
  });

  test('is not said to be where the store takes not all of it', async () => {
    const first = await revoked(fail('STORE_CONFLICT', 'no'));
    assertRefused(first.done, 'STORE_CONFLICT');
    const registry = {
      ...parts().made.registry,
      revoke: async () => fail('STORE_CONFLICT', 'no'),
    } as ConnectorParts['registry'];
    const second = await revoked(ok(RECORD), { registry });
    assertRefused(second.done, 'STORE_CONFLICT');
    assert.deepEqual([first.acts, second.acts], [[], []]);
  });
});

test('what no CRL can list is told, and revoked all the same', async (t) => {
  const rig = await openedRig(t);
  const { connector } = assertValue(await rig.enrol(TOKEN));
  const { registry } = rig.state;
  const warned: unknown[] = [];
  const { parts } = rig.context;
  const log = { ...parts.log, warn: (facts: unknown) => void warned.push(facts) };
  const without = { ...parts, log: log as typeof parts.log, findIssued: undefined };
  assert.equal(unlisted(registry, [connector]), 0);
  assertValue(await revokeConnector(without, connector.id, WHY));
  assert.ok(registry.revocation(connector.serial));
  assert.equal(unlisted(registry, [connector, { serial: '77' }]), 1);
  assert.deepEqual(warned, [{ spiffeId: connector.spiffeId.uri, count: 1 }]);
});
