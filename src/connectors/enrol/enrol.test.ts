import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ACCOUNT,
  ALL_PROOFS,
  bindKey,
  makeProvisioningKey,
  openedRig,
  SVID,
  svidPeer,
  TOKEN,
  usesOf,
} from '../../../test/support/enrol-proofs.ts';
import type { EnrolRig } from '../../../test/support/enrol-rig.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeCsr, makeKey, type TestKey } from '../../../test/support/x509.ts';
import { concatBytes } from '../../base/bytes.ts';
import { systemClock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { seededRandom } from '../../base/random.ts';
import { fail } from '../../base/result.ts';
import { parseX509SvidChain } from '../../spiffe/x509-svid.ts';
import { renewConnector } from '../issue.ts';
import { revokeConnector } from '../revoke.ts';
import { createChallenges } from './challenges.ts';
import type { ShownProof } from './request.ts';

describe('an enrolment', () => {
  test('gives an SVID below /connector/<group>, for the key of the request, on record', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const csr = makeCsr({ key, uris: ['spiffe://example.org/spire/server'], dnsNames: ['a.b'] });
    const done = assertValue(await rig.enrol(TOKEN, { key, csr }));
    const { connector, issued } = done;
    assert.equal(connector.spiffeId.uri, `spiffe://example.org/connector/edge/${connector.id}`);
    assert.equal(connector.claimant, 'pod:east/pod-uid');
    assert.equal(connector.serial, issued.serialDecimal);
    const { leaf } = assertValue(parseX509SvidChain(concatBytes(issued.chain)));
    assert.deepEqual(Buffer.from(leaf.publicKey.spki), Buffer.from(key.spki));
    assert.equal(issued.spiffeId.uri, connector.spiffeId.uri);
    assert.equal(done.again, false);
    assert.match(await rig.metrics.registry.metrics(), /outcome="ok"\} 1/);
  });

  const hostile: readonly [
    string,
    (rig: EnrolRig, key: TestKey) => Parameters<EnrolRig['enrol']>[1],
    ErrorCode,
  ][] = [
    ['without a challenge', () => ({ challenge: new Uint8Array() }), 'CONNECTOR_CHALLENGE_UNKNOWN'],
    [
      'with a challenge of its own making',
      () => ({ challenge: Buffer.alloc(88, 1) }),
      'CONNECTOR_CHALLENGE_UNKNOWN',
    ],
    [
      'with the challenge for another key',
      (rig) => ({ challenge: rig.challengeFor(makeKey()).bytes }),
      'CONNECTOR_CHALLENGE_KEY',
    ],
    ['signed by another key', () => ({ signer: makeKey() }), 'CONNECTOR_SIGNATURE'],
    ['without a signature', () => ({ signature: new Uint8Array() }), 'CONNECTOR_SIGNATURE'],
    [
      'with a request signed by another key',
      (_, key) => ({ csr: makeCsr({ key, signer: makeKey() }) }),
      'SIGNATURE_INVALID',
    ],
    ['with a key of P-521', () => ({ key: makeKey('ec-p521') }), 'KEY_ALGORITHM'],
    ['with no request', () => ({ csr: Buffer.of(1, 2) }), 'DER_TAG'],
    ['into no group', () => ({ group: 'none' }), 'CONNECTOR_GROUP_UNKNOWN'],
    [
      'that was shown another certificate',
      () => ({ request: { serverCertificateSha256: Buffer.alloc(32, 8) } }),
      'CONNECTOR_TLS_INTERCEPTED',
    ],
  ];
  for (const [name, change, code] of hostile) {
    test(`${name} is refused, and leaves nothing`, async (t) => {
      const rig = await openedRig(t);
      const key = makeKey();
      assertRefused(await rig.enrol(TOKEN, { key, ...change(rig, key) }), code);
      assert.equal(rig.state.registry.connectors.connectorCount, 0);
    });
  }

  test('that is sent twice is refused the second time', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const options = { key, csr: makeCsr({ key }), challenge: rig.challengeFor(key).bytes };
    assertValue(await rig.enrol(TOKEN, options));
    assertRefused(await rig.enrol(TOKEN, options), 'CONNECTOR_CHALLENGE_USED');
  });

  test('that proves nothing takes no room from those that do', async (t) => {
    const clocks = { clock: systemClock, random: seededRandom(3) };
    const rig = await openedRig(t, { challenges: createChallenges(clocks, 2) });
    const wrong: ShownProof = { kind: 'kubernetes-token', token: 'none' };
    for (let at = 0; at < 3; at++) assertRefused(await rig.enrol(wrong), 'CONNECTOR_TOKEN');
    assertValue(await rig.enrol(TOKEN));
    assertValue(await rig.enrol(TOKEN));
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_BUSY');
  });

  test('that is sent twice at once is one', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const options = { key, csr: makeCsr({ key }), challenge: rig.challengeFor(key).bytes };
    const both = await Promise.all([rig.enrol(TOKEN, options), rig.enrol(TOKEN, options)]);
    const codes = both.map((done) => (done.ok ? '' : done.error.code));
    assert.deepEqual(codes.sort(), ['', 'CONNECTOR_CHALLENGE_USED']);
  });

  for (const [offsetMs, refused] of [
    [-3_600_000, true],
    [-300_001, true],
    [-300_000, false],
    [-299_999, false],
    [299_999, false],
    [300_000, false],
    [300_001, true],
    [3_600_000, true],
  ] as const) {
    test(`with a clock ${offsetMs} ms away is ${refused ? 'refused' : 'taken'}`, async (t) => {
      const rig = await openedRig(t);
      const clockMs = rig.state.clock.nowMs() + offsetMs;
      const done = await rig.enrol(TOKEN, { request: { clockMs } });
      if (!refused) {
        assert.equal(assertValue(done).clockOffsetMs, offsetMs);
        return;
      }
      assertRefused(done, 'CONNECTOR_CLOCK_SKEW');
      assert.equal(done.ok ? undefined : done.error.details.offsetMs, offsetMs);
    });
  }

  test('with a proof that the group does not take is refused', async (t) => {
    for (const left of ALL_PROOFS) {
      const rig = await openedRig(t);
      await rig.putGroup('edge', {
        proofs: ALL_PROOFS.filter((proof) => proof !== left),
        serviceAccounts: [ACCOUNT],
        spiffeIds: ['spiffe://example.org/edge/*'],
      });
      const proofs = {
        'kubernetes-token': TOKEN,
        'x509-svid': SVID,
        'provisioning-key': await makeProvisioningKey(rig),
        'bound-key': (await bindKey(rig)).proof(0n),
      };
      const caller = svidPeer('/edge/a');
      assertRefused(await rig.enrol(proofs[left], { caller }), 'CONNECTOR_PROOF_DENIED');
    }
  });

  test('of a group that is full is refused, and again is none more', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('edge', { proofs: ALL_PROOFS, maxInstances: 1 });
    const proof = await makeProvisioningKey(rig, { maxUses: 9 });
    const key = makeKey();
    assertValue(await rig.enrol(proof, { key }));
    assertRefused(await rig.enrol(proof), 'CONNECTOR_GROUP_FULL');
    assert.equal(assertValue(await rig.enrol(proof, { key })).again, true);
    assert.equal(usesOf(rig, proof.id), 1);
  });

  test('whose answer was lost is answered again: the same connector, one use', async (t) => {
    const rig = await openedRig(t);
    const proof = await makeProvisioningKey(rig);
    const key = makeKey();
    const { parts } = rig.context;
    const dead = {
      ...parts,
      issuer: { ...parts.issuer, issueX509Batch: async () => [fail('INTERNAL', 'killed')] },
    };
    Object.assign(rig.context, { parts: dead });
    assertRefused(await rig.enrol(proof, { key }), 'INTERNAL');
    const [claimed] = rig.state.registry.connectors.connectors();
    assert.equal(claimed?.serial, '');
    Object.assign(rig.context, { parts });
    const done = assertValue(await rig.enrol(proof, { key }));
    assert.deepEqual([done.again, done.connector.id], [true, claimed?.id]);
    assert.equal(usesOf(rig, proof.id), 1);
  });

  test('of one that was revoked while its SVID was signed gives nothing', async (t) => {
    const rig = await openedRig(t);
    const { parts } = rig.context;
    const issueX509Batch: typeof parts.issuer.issueX509Batch = async (items) => {
      const [connector] = rig.state.registry.connectors.connectors();
      assert.ok(connector);
      assertValue(
        await revokeConnector(parts, connector.id, { reason: 'test', requestedBy: 'local:0' }),
      );
      return parts.issuer.issueX509Batch(items);
    };
    Object.assign(rig.context, {
      parts: { ...parts, issuer: { ...parts.issuer, issueX509Batch } },
    });
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_REVOKED');
  });

  test('of one that was revoked after its SVID was signed gives nothing, and takes it back', async (t) => {
    const rig = await openedRig(t);
    const { parts } = rig.context;
    let serial = '';
    const issueX509Batch: typeof parts.issuer.issueX509Batch = async (items) => {
      const answers = await parts.issuer.issueX509Batch(items);
      const [connector] = rig.state.registry.connectors.connectors();
      assert.ok(connector);
      serial = assertValue(answers[0] ?? fail('INTERNAL', 'none')).serialDecimal;
      assertValue(
        await revokeConnector(parts, connector.id, { reason: 'test', requestedBy: 'local:0' }),
      );
      return answers;
    };
    Object.assign(rig.context, {
      parts: { ...parts, issuer: { ...parts.issuer, issueX509Batch } },
    });
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_REVOKED');
    assert.ok(rig.state.registry.revocation(serial));
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_REVOKED');
  });
});

describe('a renewal', () => {
  test('is for another key, and for one that stands', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const { connector } = assertValue(await rig.enrol(TOKEN, { key }));
    const { parts } = rig.context;
    assertRefused(await renewConnector(connector, makeCsr({ key }), parts), 'CONNECTOR_KEY_REUSED');
    const next = assertValue(await renewConnector(connector, makeCsr(), parts));
    assert.equal(next.connector.previousSerial, connector.serial);
    const revoked = assertValue(
      await revokeConnector(parts, connector.id, { reason: 'lost', requestedBy: 'local:0' }),
    );
    assert.equal(revoked?.standing, 'revoked');
    for (const serial of [connector.serial, next.issued.serialDecimal]) {
      assert.ok(rig.state.registry.revocation(serial), serial);
    }
    assertRefused(await renewConnector(connector, makeCsr(), parts), 'CONNECTOR_REVOKED');
    assert.deepEqual(rig.acts.at(-1)?.act, 'revoke');
  });
});
