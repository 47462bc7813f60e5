import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { cliCommands } from '../../src/cli/commands.ts';
import { encodePem } from '../../src/der/pem.ts';
import { makeSelfSigned } from '../../src/main/demo/mock-bmc/self-signed.ts';
import { type CliSurroundings, cli } from '../support/cli.ts';
import { Fleet } from '../support/fleet.ts';
import { MOCK_ACCOUNT, MOCK_TLS, startMockBmc } from '../support/mock-bmc.ts';
import { makeCertificate, makeRoot } from '../support/x509.ts';

describe('signet dpu import --from-bmc', () => {
  let fleet: Fleet;
  let account: readonly string[];
  const file = (name: string, content: string): string => {
    const path = join(fleet.dir, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };

  before(async () => {
    fleet = await Fleet.start({ serverOnly: true });
    account = [
      ...['--bmc-user-file', file('user', `${MOCK_ACCOUNT.userName}\n`)],
      ...['--bmc-password-file', file('password', `${MOCK_ACCOUNT.password}\n`)],
    ];
  });
  after(() => fleet.stop());

  const signet = (argv: readonly string[], more: CliSurroundings = {}) =>
    cli(cliCommands, argv, { env: { SIGNET_SERVER_SOCKET: fleet.adminSocket }, ...more });
  const from = (addresses: readonly string[], ...argv: readonly string[]) => [
    ...['dpu', 'import', ...account, ...argv],
    ...addresses.flatMap((address) => ['--from-bmc', address]),
  ];
  const known = async (): Promise<readonly { serial: string; bmc?: { tlsPin?: string } }[]> =>
    JSON.parse((await signet(['dpu', 'list', '-o', 'json'])).out).dpus;
  const serials = async (): Promise<readonly string[]> => (await known()).map((dpu) => dpu.serial);

  /** A BMC on a card of its own; `asked` counts what was sent to it. */
  async function bmc(context: TestContext, serialNumber: string, tls = MOCK_TLS) {
    const { mock, origin } = await startMockBmc(context, { tls, card: { serialNumber } });
    const asked: string[] = [];
    mock.seen = (request) => void asked.push(request);
    return { address: origin.replace('https://', ''), asked, mock };
  }

  test('shows the pins, and sends nothing until somebody says yes', async (context) => {
    const one = await bmc(context, 'MT1');
    const questions: string[] = [];
    for (const answer of [undefined, '', 'no', 'y', 'yes, but']) {
      const asked = (question: string): string => {
        questions.push(question);
        return answer ?? '';
      };
      const refused = await signet(
        from([one.address]),
        answer === undefined ? {} : { answer: asked },
      );
      assert.equal(refused.code, 1);
      assert.match(refused.err, new RegExp(`spki-sha256:${MOCK_TLS.spkiSha256}`));
      assert.match(refused.err, /code: DPU_BMC_UNCONFIRMED/);
    }
    assert.deepEqual([one.asked, await serials(), questions.length], [[], [], 4]);
    const taken = await signet(from([one.address]), { answer: () => ' Yes ' });
    assert.equal(taken.code, 0, taken.err);
    assert.match(taken.err, new RegExp(`^${one.address}: is on MT1 \\(1 of 1\\)$`, 'm'));
    assert.match(taken.out, /^1 created, 0 updated, 0 unchanged\n/);
    const [dpu] = await known();
    assert.deepEqual([dpu?.serial, dpu?.bmc?.tlsPin], ['MT1', MOCK_TLS.spkiSha256]);
    assert.equal(one.mock.sessions.size, 0, 'the session is ended');
  });

  test('takes pins in all their forms, and sends nothing to a BMC that shows another key', async (context) => {
    const otherTls = makeSelfSigned('other.example');
    const one = await bmc(context, 'MT1');
    const other = await bmc(context, 'MT9', otherTls);
    for (const pin of [
      MOCK_TLS.spkiSha256,
      MOCK_TLS.spkiSha256.toUpperCase(),
      `spki-sha256:${MOCK_TLS.spkiSha256}`,
      MOCK_TLS.pin,
    ]) {
      const both = await signet(from([one.address, other.address], '--tls-pin', pin));
      assert.equal(both.code, 1, pin);
      assert.match(both.err, /code: CLI_PARTLY_FAILED/);
      assert.match(both.out, new RegExp(`^${other.address} .*REDFISH_PIN_MISMATCH`, 'm'));
      assert.match(both.out, new RegExp(`^${one.address} +MT1 +bluefield-3 +`, 'm'));
    }
    assert.deepEqual([other.asked, await serials()], [[], ['MT1']]);
    const pins = ['--tls-pin', MOCK_TLS.spkiSha256, '--tls-pin', otherTls.spkiSha256];
    const two = await signet(
      from([one.address, other.address], ...pins, '--dry-run', '-o', 'json'),
    );
    assert.equal(two.code, 0, two.err);
    const { created, unchanged, dryRun, bmcs } = JSON.parse(two.out);
    assert.deepEqual([created, unchanged, dryRun, bmcs.length], [1, 1, true, 2]);
    assert.deepEqual(await serials(), ['MT1'], 'a dry run writes nothing');
  });

  test('takes BMCs whose certificates lead to a CA and hold their address', async (context) => {
    const root = makeRoot();
    const tlsOf = (ips: readonly Uint8Array[]) => {
      const made = makeCertificate({ issuer: root, ips, dnsNames: ['bmc.example.org'] });
      const key = made.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      return { ...MOCK_TLS, key, cert: encodePem('CERTIFICATE', made.der) };
    };
    const here = await bmc(context, 'MT2', tlsOf([new Uint8Array([127, 0, 0, 1])]));
    const elsewhere = await bmc(context, 'MT3', tlsOf([new Uint8Array([127, 0, 0, 2])]));
    const ca = file('ca.pem', root.pem);
    const { code, out } = await signet(from([here.address, elsewhere.address], '--tls-ca', ca));
    assert.equal(code, 1);
    assert.match(out, new RegExp(`^${elsewhere.address} .*REDFISH_TLS_UNTRUSTED`, 'm'));
    assert.deepEqual([elsewhere.asked, await serials()], [[], ['MT1', 'MT2']]);
    const noCa = await signet(from([here.address], '--tls-ca', file('no-ca.pem', 'x')));
    assert.match(noCa.err, /code: REDFISH_SETTINGS/);
  });

  test('takes neither of two BMCs that claim one card', async (context) => {
    const twins = [await bmc(context, 'MT4'), await bmc(context, 'MT4')];
    const third = await bmc(context, 'MT5');
    const addresses = [...twins, third].map(({ address }) => address);
    const { code, out } = await signet(from(addresses, '--accept-pin'));
    assert.equal(code, 1);
    assert.equal(out.match(/says that it is on MT4 too/g)?.length, 2);
    assert.deepEqual(await serials(), ['MT1', 'MT2', 'MT5']);
  });

  test('names a BMC that does not answer, or refuses the account, by its address', async (context) => {
    const one = await bmc(context, 'MT6');
    const gone = await bmc(context, 'MT7');
    await gone.mock.stop();
    gone.mock.stop = async () => {};
    const wrong = file('wrong', 'not-the-password');
    const argv = [
      'dpu',
      'import',
      '--bmc-user-file',
      account[1] ?? '',
      '--bmc-password-file',
      wrong,
    ];
    const flags = ['--accept-pin', '--from-bmc', one.address, '--from-bmc', gone.address];
    const { code, out } = await signet([...argv, ...flags]);
    assert.equal(code, 1);
    assert.match(out, new RegExp(`^${one.address} .*REDFISH_UNAUTHENTICATED`, 'm'));
    assert.match(out, new RegExp(`^${gone.address} .*REDFISH_UNREACHABLE`, 'm'));
    assert.ok(!(await serials()).includes('MT6'));
    assert.equal(one.asked.filter((request) => request.startsWith('POST')).length, 1);
  });

  const USAGE: readonly (readonly [what: string, argv: readonly string[], why: RegExp])[] = [
    ['a file beside it', ['x.csv', '--from-bmc', 'a', '--accept-pin'], /not both/],
    ['a pin with a file', ['x.csv', '--tls-pin', 'ab'], /goes with --from-bmc/],
    ['neither', [], /takes one FILE/],
    ['two ways of trust', ['--from-bmc', 'a', '--accept-pin', '--tls-ca', 'x'], /takes one of/],
    ['a pin that is none', ['--from-bmc', 'a', '--tls-pin', 'ab'], /tls-pin/],
    ['plain HTTP', ['--from-bmc', 'http://a', '--accept-pin'], /from-bmc/],
    ['one address twice', ['--from-bmc', 'a', '--from-bmc', 'https://A:443'], /given twice/],
  ];
  for (const [what, argv, why] of USAGE) {
    test(`refuses ${what}`, async () => {
      const { code, err } = await signet(['dpu', 'import', ...argv]);
      assert.equal(code, 2, err);
      assert.match(err, why);
    });
  }
});
