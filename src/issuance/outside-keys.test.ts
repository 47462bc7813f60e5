import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, describe, test } from 'node:test';
import {
  jwtGrant,
  makeAuthorities,
  makeIssuer,
  startAuthorities,
  x509Grant,
} from '../../test/support/issuance.ts';
import { type Device, outsideKeys } from '../../test/support/outside-keys.ts';
import { makeCsr } from '../../test/support/x509.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const closers: (() => Promise<void>)[] = [];
after(() => Promise.all(closers.map((close) => close())));

async function desk(workers: number) {
  const device: { act: Device } = { act: (sign, ...args) => sign(...args) };
  const authority = await startAuthorities({ keys: outsideKeys(device) });
  const issuer = makeIssuer({ authority, workers });
  closers.push(
    () => issuer.close(),
    () => authority.close(),
  );
  const items = Array.from({ length: 40 }, (_, index) => ({
    grant: x509Grant(`/w/${index}`),
    csr: index === 7 ? makeCsr({ signature: new Uint8Array(70) }) : makeCsr(),
  }));
  return { device, authority, issuer, items };
}

for (const workers of [0, 1]) {
  describe(`keys outside the process, ${workers} workers`, () => {
    test('sign batches and tokens; a bad CSR refuses only itself', async () => {
      const { authority, issuer, items } = await desk(workers);
      const root = new X509Certificate(unwrap(authority.currentX509()).certificate.der);
      const results = await issuer.issueX509Batch(items);
      results.forEach((result, index) => {
        assert.equal(code(result), index === 7 ? 'SIGNATURE_INVALID' : 'ok');
        if (!result.ok) return;
        const leaf = new X509Certificate(result.value.chain[0]!);
        assert.ok(leaf.verify(root.publicKey));
        assert.equal(leaf.subjectAltName, `URI:spiffe://example.org/w/${index}`);
      });
      assert.equal(code(await issuer.issueJwt(jwtGrant())), 'ok');
    });

    test('are asked for all signatures of a batch at once', async () => {
      const { device, issuer, items } = await desk(workers);
      let inFlight = 0;
      let most = 0;
      device.act = async (sign, ...args) => {
        inFlight += 1;
        most = Math.max(most, inFlight);
        await new Promise((resolve) => setImmediate(resolve));
        inFlight -= 1;
        return sign(...args);
      };
      await issuer.issueX509Batch(items);
      assert.equal(most, 39);
    });

    test('B4 a wrong signature is not released', async () => {
      const { device, issuer, items } = await desk(workers);
      const wrong: readonly Device[] = [
        // Another message's signature, a garbled one, nothing at all.
        (sign, _message, options) => sign(Buffer.from('another'), options),
        async () => ok(new Uint8Array(70)),
        async () => ok(new Uint8Array()),
      ];
      for (const act of wrong) {
        device.act = act;
        const [first] = await issuer.issueX509Batch(items.slice(0, 2));
        assert.equal(code(first!), 'KEY_SIGNATURE_WRONG');
        assert.equal(code(await issuer.issueJwt(jwtGrant())), 'KEY_SIGNATURE_WRONG');
      }
    });

    test('I2 a body that changes while it is signed is not released', async () => {
      const { device, issuer, items } = await desk(workers);
      device.act = (sign, message, options) => {
        message[message.length - 1]! ^= 1;
        return sign(message, options);
      };
      const [first] = await issuer.issueX509Batch(items.slice(0, 2));
      assert.equal(code(first!), 'ISSUANCE_MISMATCH');
    });

    test('B5 a key that goes away mid-flight refuses what it did not sign', async () => {
      const { device, issuer, items } = await desk(workers);
      let left = 5;
      device.act = (sign, ...args) => {
        left -= 1;
        return left < 0 ? Promise.resolve(fail('KEY_SIGN_FAILED', 'no such key')) : sign(...args);
      };
      const results = await issuer.issueX509Batch(items);
      const codes = results.map(code);
      assert.equal(codes.filter((each) => each === 'ok').length, 5);
      assert.equal(codes.filter((each) => each === 'KEY_SIGN_FAILED').length, 34);
      assert.equal(codes[7], 'SIGNATURE_INVALID');
    });
  });
}

test('an authority whose key signs wrongly never starts', async () => {
  const device: { act: Device } = { act: async () => ok(new Uint8Array(70)) };
  const started = await makeAuthorities({ keys: outsideKeys(device) }).start();
  assert.equal(code(started), 'KEY_SIGNATURE_WRONG');
});
