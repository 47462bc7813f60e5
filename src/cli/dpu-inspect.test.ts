import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { cli } from '../../test/support/cli.ts';
import { DPU_CLASS, mockTarget, TestCard } from '../../test/support/dpu.ts';
import { IROT, manifestBytes } from '../../test/support/manifest.ts';
import { MOCK_ACCOUNT, plainTarget, startMockBmc } from '../../test/support/mock-bmc.ts';
import { makeKey, type TestKey } from '../../test/support/x509.ts';
import { systemClock } from '../base/clock.ts';
import { unwrap } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import { openManifest } from '../dpu/manifest/open-manifest.ts';
import { parseManifest } from '../dpu/manifest/parse-manifest.ts';
import type { MockTarget } from '../main/demo/mock-bmc/measurements.ts';
import { cliCommands } from './commands.ts';

let folder: string;
let account: readonly string[];
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content, { mode: 0o600 });
  return join(folder, name);
};

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  account = [
    ...['--bmc-user-file', file('user', MOCK_ACCOUNT.userName)],
    ...['--bmc-password-file', file('password', MOCK_ACCOUNT.password), '--accept-pin'],
  ];
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A card behind a BMC: its address, and the card. */
async function card(context: TestContext, serial: string, change: Partial<TestCard['state']> = {}) {
  const made = new TestCard(serial);
  Object.assign(made.state, { own: serial }, change);
  made.reboot();
  const targets = { [IROT]: mockTarget(made) };
  const { origin } = await startMockBmc(context, { targets, card: { serialNumber: serial } });
  return { made, address: origin.replace('https://', '') };
}

/** A card whose signatures do not hold. */
async function forger(context: TestContext): Promise<string> {
  const genuine = mockTarget(new TestCard('MT9'));
  const measure: MockTarget['measure'] = async (request) => {
    const { signedMeasurements } = await genuine.measure(request);
    const forged = Uint8Array.from(signedMeasurements);
    forged.set([(forged.at(-1) ?? 0) ^ 1], forged.length - 1);
    return { signedMeasurements: forged };
  };
  const targets = { [IROT]: { ...genuine, measure } };
  const { origin } = await startMockBmc(context, { targets });
  return origin.replace('https://', '');
}

const signet = (...argv: readonly string[]) =>
  cli(cliCommands, ['dpu', ...argv, ...account], { clock: systemClock });
const draft = (...argv: readonly string[]) =>
  signet('manifest', 'draft', '--id', 'bf3', '--release', '25.04', ...argv);

describe('signet dpu inspect', () => {
  test('shows what a card measures, and the pins that a server would need', async (context) => {
    const { made, address } = await card(context, 'MT1');
    const { code, out, err } = await signet('inspect', address);
    assert.equal(code, 0, err);
    assert.match(out, /^Serial +: MT1$/m);
    assert.match(out, new RegExp(`^Device key +: ${made.deviceId}$`, 'm'));
    assert.match(out, /^2 +1 +sha512:[0-9a-f]{128}$/m);
    assert.match(out, new RegExp(`roots: \\[${DPU_CLASS.roots[0]}\\]`));
    assert.match(out, new RegExp(`classCas: \\[${DPU_CLASS.classCas[0]}\\]`));
    const { cards } = JSON.parse((await signet('inspect', address, '-o', 'json')).out);
    const [{ components }] = cards;
    assert.deepEqual(
      [components.length, components[0].deviceId, components[0].measurements.length],
      [1, made.deviceId, 11],
    );
  });

  test('says of a component that proves nothing why, and of the others what holds', async (context) => {
    const made = new TestCard('MT1');
    const targets = { [IROT]: mockTarget(made), Bluefield_ERoT: plainTarget('Bluefield_ERoT') };
    const { origin } = await startMockBmc(context, { targets });
    const { code, out, err } = await signet('inspect', origin.replace('https://', ''));
    assert.equal(code, 1);
    assert.match(out, /^Component +: Bluefield_ERoT\nRefused +: [A-Z_0-9]+: /m);
    assert.match(out, new RegExp(`^Device key +: ${made.deviceId}$`, 'm'));
    assert.match(err, /code: CLI_PARTLY_FAILED/);
  });

  test('a signature that does not hold is refused, whatever pins the card would like', async (context) => {
    const { code, out } = await signet('inspect', await forger(context));
    assert.equal(code, 1);
    assert.match(out, /^Refused +: SPDM_SIGNATURE/m);
    assert.doesNotMatch(out, /roots:/);
  });

  test('without an account, names the flag that brings it', async () => {
    const argv = ['dpu', 'inspect', '127.0.0.1:1', '--bmc-user-file', '/nonexistent/user'];
    const { code, err } = await cli(cliCommands, argv, { clock: systemClock });
    assert.equal(code, 1);
    assert.match(err, /--bmc-user-file: cannot read/);
  });

  test('needs an address', async () => {
    const { code, err } = await signet('inspect');
    assert.equal(code, 2);
    assert.match(err, /addresses of BMCs/);
  });
});

describe('signet dpu manifest draft', () => {
  const read = (text: string) => unwrap(parseManifest(Buffer.from(text)));

  test('of two cards: what they share is the release, what differs is baseline', async (context) => {
    const [one, two] = [await card(context, 'MT1'), await card(context, 'MT2')];
    const { code, out, err } = await draft(one.address, two.address, '--rollback-counters', '5,6');
    assert.equal(code, 0, err);
    const target = read(out).targets.get(IROT);
    assert.equal(target?.deviceClass, 'bluefield-dpu-irot');
    assert.deepEqual(target?.baseline, [7, 8, 9, 10]);
    assert.deepEqual(target?.rollbackCounters, [5, 6]);
    assert.deepEqual(
      target?.releases[0]?.measurements.map(({ index }) => index),
      [1, 2, 3, 4, 11],
    );
    assert.deepEqual(
      target?.releases[0]?.layers.map(({ name }) => name),
      ['L5', 'L6'],
    );
    assert.match(err, /taken as baseline, for they differ between the cards: 7, 8, 9, 10/);
  });

  test('of one card: says that its own values must be told apart', async (context) => {
    const { address } = await card(context, 'MT1');
    const { out, err } = await draft(address, '--baseline', '7,8,9,10', '--class', `${IROT}=bf3`);
    const target = read(out).targets.get(IROT);
    assert.deepEqual([target?.deviceClass, target?.baseline], ['bf3', [7, 8, 9, 10]]);
    assert.match(err, /of one card only: .*: 1, 2, 3, 4, 5, 6, 11/);
  });

  test('refuses cards of two releases, and a component that shows nothing that holds', async (context) => {
    const one = await card(context, 'MT1');
    const two = await card(context, 'MT2', { release: 'r1' });
    const mixed = await draft(one.address, two.address);
    assert.match(mixed.err, /run different firmware/);
    const refused = await draft(one.address, await forger(context));
    assert.match(refused.err, /SPDM_SIGNATURE/);
    assert.deepEqual([mixed.out, refused.out], ['', '']);
  });

  for (const [name, argv, why] of [
    ['an index of 0', ['--baseline', '0'], /--baseline: is not indices 1 to 254/],
    ['an index of 255', ['--rollback-counters', '7,255'], /--rollback-counters/],
    ['a sequence of 0', ['--sequence', '0'], /--sequence: is not a whole number from 1/],
    ['a class without a name', ['--class', 'X'], /--class: is not component=class/],
  ] as const) {
    test(`refuses ${name}, before anything is asked`, async () => {
      const { code, err } = await draft('127.0.0.1:1', ...argv);
      assert.equal(code, 2);
      assert.match(err, why);
    });
  }
});

describe('signet dpu manifest sign', () => {
  const pem = ({ privateKey }: TestKey): string =>
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const sign = (...argv: readonly string[]) =>
    cli(cliCommands, ['dpu', 'manifest', 'sign', ...argv]);

  test('a draft becomes what servers open, by one key and by two, and once only by each', async (context) => {
    const [one, two] = [await card(context, 'MT1'), await card(context, 'MT2')];
    const drafted = file('draft.json', (await draft(one.address, two.address)).out);
    const [first, second] = [makeKey('ec-p384'), makeKey('rsa-2048')];
    const paths = [file('first.pem', pem(first)), file('second.pem', pem(second))];
    const once = await sign('--key', paths[0] ?? '', drafted);
    assert.equal(once.code, 0, once.err);
    const keys = [first, second].map(({ publicKey }) => publicKey);
    const opens = (text: string, threshold: number) =>
      openManifest(Buffer.from(text), { keys, threshold }).ok;
    assert.deepEqual([opens(once.out, 1), opens(once.out, 2)], [true, false]);
    const again = await sign('--key', paths[0] ?? '', file('once.json', once.out));
    assert.equal(again.out, once.out);
    const both = await sign('--key', paths[1] ?? '', file('once.json', once.out));
    assert.equal(opens(both.out, 2), true, both.err);
  });

  test('signs nothing that no server takes, and takes no key that others may read', async () => {
    const key = file('key.pem', pem(makeKey('ec-p256')));
    const broken = await sign('--key', key, file('broken.json', '{"schema":"x"}'));
    assert.deepEqual([broken.out, broken.code], ['', 1]);
    assert.match(broken.err, /code: MANIFEST_MALFORMED/);
    const open = join(folder, 'open.pem');
    writeFileSync(open, pem(makeKey('ec-p256')), { mode: 0o644 });
    const good = file('good.json', manifestBytes());
    assert.match((await sign('--key', open, good)).err, /code: KEY_PERMISSIONS/);
    const certificate = file('cert.pem', encodePem('CERTIFICATE', new Uint8Array(8)));
    assert.match((await sign('--key', certificate, good)).err, /code: KEY_FILE_CORRUPT/);
  });
});
