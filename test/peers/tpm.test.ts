import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { TPM_RH } from '../../agent/attestation/tpm/command.ts';
import {
  ECC_AK_TEMPLATE,
  ECC_EK_TEMPLATE,
  RSA_AK_TEMPLATE,
  RSA_EK_TEMPLATE,
} from '../../agent/attestation/tpm/templates.ts';
import { Tpm } from '../../agent/attestation/tpm/tpm.ts';
import { openTpm } from '../../agent/attestation/tpm/transport.ts';
import { concatBytes } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { makeCredential } from '../../src/tpm/make-credential.ts';
import { parseTpmPublic, tpmKeyObject, tpmName } from '../../src/tpm/public-area.ts';
import { tpmSized, tpmU32 } from '../../src/tpm/tpm-writer.ts';
import { verifyQuote } from '../../src/tpm/verify.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { prepareSwtpm, type Swtpm, startSwtpm } from './swtpm.ts';

const missing = await prepareSwtpm();
if (missing !== undefined && process.env.CI === 'true') assert.fail(missing);

describe('our TPM code against a real TPM and its own tools', { skip: missing ?? false }, () => {
  let swtpm: Swtpm;

  before(async () => {
    swtpm = await startSwtpm();
  });
  after(() => swtpm?.stop());

  const tool = async (...args: string[]): Promise<string> => {
    const done = await swtpm.tool(...args);
    assert.equal(done.code, 0, `${args.join(' ')}: ${done.stderr}`);
    // The tools leave keys in the TPM's memory, which has room for three.
    await swtpm.tool('flushcontext', '-t');
    return done.stdout;
  };
  const session = async (context: TestContext): Promise<Tpm> => {
    const tpm = new Tpm(assertValue(await openTpm(swtpm.device, systemClock)));
    // One client at a time: what a failed test leaves open would keep the next one waiting.
    context.after(() => tpm.close());
    return tpm;
  };

  const kinds = [
    ['rsa', RSA_EK_TEMPLATE, RSA_AK_TEMPLATE],
    ['ecc', ECC_EK_TEMPLATE, ECC_AK_TEMPLATE],
  ] as const;

  for (const [kind, ekTemplate, akTemplate] of kinds) {
    test(`${kind}: its default endorsement key is the one that tpm2-tools makes`, async (context) => {
      await tool('createek', '-G', kind, '-c', `${kind}.ek`, '-f', 'pem', '-u', `${kind}.pem`);
      const tpm = await session(context);
      const ek = assertValue(await tpm.createPrimary(TPM_RH.endorsement, ekTemplate));
      await tpm.close();
      const area = assertValue(parseTpmPublic(ek.publicArea));
      const ours = assertValue(tpmKeyObject(area)).export({ type: 'spki', format: 'der' });
      const theirs = createPublicKey(readFileSync(join(swtpm.dir, `${kind}.pem`)));
      assert.deepEqual(ours, theirs.export({ type: 'spki', format: 'der' }));
    });

    test(`${kind}: a credential that we made is opened, by our client and by theirs`, async (context) => {
      const tpm = await session(context);
      const ek = assertValue(await tpm.createPrimary(TPM_RH.endorsement, ekTemplate));
      const ak = assertValue(await tpm.createPrimary(TPM_RH.endorsement, akTemplate));
      const ekArea = assertValue(parseTpmPublic(ek.publicArea));
      const name = tpmName(assertValue(parseTpmPublic(ak.publicArea)));
      const secret = systemRandom.bytes(32);
      const made = assertValue(makeCredential(ekArea, name, secret, systemRandom));
      const keys = { attestationKey: ak, endorsementKey: ek };
      assert.deepEqual(assertValue(await tpm.activateCredential(keys, made)), Buffer.from(secret));
      const broken = { ...made, credential: Buffer.from(made.credential) };
      broken.credential[3] = (broken.credential[3] ?? 0) ^ 1;
      assertRefused(await tpm.activateCredential(keys, broken), 'AGENT_TPM_REFUSED');
      const other = assertValue(
        makeCredential(ekArea, Buffer.concat([name, name]).subarray(2, 36), secret, systemRandom),
      );
      assertRefused(await tpm.activateCredential(keys, other), 'AGENT_TPM_REFUSED');
      await tpm.close();

      await tool(
        'createak',
        '-C',
        `${kind}.ek`,
        '-c',
        'ak.ctx',
        '-G',
        kind,
        '-g',
        'sha256',
        '-s',
        kind === 'rsa' ? 'rsassa' : 'ecdsa',
        '-u',
        'ak.pub',
        '-n',
        'ak.name',
      );
      const theirs = assertValue(
        parseTpmPublic(readFileSync(join(swtpm.dir, 'ak.pub')).subarray(2)),
      );
      assert.deepEqual(Buffer.from(tpmName(theirs)), readFileSync(join(swtpm.dir, 'ak.name')));
      const credential = assertValue(makeCredential(ekArea, tpmName(theirs), secret, systemRandom));
      // The tool's own file: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
      writeFileSync(
        join(swtpm.dir, 'cred.bin'),
        concatBytes([
          tpmU32(0xbadcc0de),
          tpmU32(1),
          tpmSized(credential.credential),
          tpmSized(credential.encryptedSeed),
        ]),
      );
      await tool('startauthsession', '--policy-session', '-S', 'session.ctx');
      await tool('policysecret', '-S', 'session.ctx', '-c', 'e');
      await tool(
        'activatecredential',
        '-c',
        'ak.ctx',
        '-C',
        `${kind}.ek`,
        '-i',
        'cred.bin',
        '-o',
        'secret.bin',
        '-P',
        'session:session.ctx',
      );
      assert.deepEqual(readFileSync(join(swtpm.dir, 'secret.bin')), Buffer.from(secret));
      await tool('flushcontext', 'session.ctx');
    });

    test(`${kind}: a quote holds, ours and theirs, and not one bit of it can be another`, async (context) => {
      const indices = [0, 7, 16];
      await tool('pcrextend', `16:sha256=${'ab'.repeat(32)}`);
      const tpm = await session(context);
      const ak = assertValue(await tpm.createPrimary(TPM_RH.endorsement, akTemplate));
      const nonce = systemRandom.bytes(32);
      const quote = assertValue(await tpm.quote(ak, nonce, 'sha256', indices));
      const values = assertValue(await tpm.readRegisters('sha256', indices));
      await tpm.close();
      const key = assertValue(parseTpmPublic(ak.publicArea));
      const rules = { key, nonce, bank: 'sha256', indices } as const;
      const verified = assertValue(verifyQuote(quote, values, rules));
      assert.equal(verified.clock.safe, true);
      assert.notDeepEqual(values[2], Buffer.alloc(32));
      assertRefused(verifyQuote(quote, values, { ...rules, nonce: Buffer.alloc(32) }), 'TPM_QUOTE');
      assertRefused(verifyQuote(quote, values, { ...rules, indices: [0, 7] }), 'TPM_QUOTE');
      assertRefused(verifyQuote(quote, [...values].reverse(), rules), 'TPM_QUOTE');
      for (const field of ['attest', 'signature'] as const) {
        for (let at = 0; at < quote[field].length; at++) {
          const bytes = Buffer.from(quote[field]);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
          assert.equal(
            verifyQuote({ ...quote, [field]: bytes }, values, rules).ok,
            false,
            `${field} ${at}`,
          );
        }
      }
      // Their check of our quote.
      const pem = assertValue(tpmKeyObject(key)).export({ type: 'spki', format: 'pem' });
      writeFileSync(join(swtpm.dir, 'ak.pem'), pem);
      writeFileSync(join(swtpm.dir, 'quote.msg'), quote.attest);
      writeFileSync(join(swtpm.dir, 'quote.sig'), quote.signature);
      const hex = Buffer.from(nonce).toString('hex');
      await tool(
        'checkquote',
        '-u',
        'ak.pem',
        '-m',
        'quote.msg',
        '-s',
        'quote.sig',
        '-g',
        'sha256',
        '-q',
        hex,
      );
    });
  }
});
