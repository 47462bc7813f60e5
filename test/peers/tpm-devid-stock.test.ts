import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { parsePublicKey } from '../../src/x509/public-key.ts';
import { Fleet } from '../support/fleet.ts';
import { stopChild } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { needsShared } from '../support/shared.ts';
import { EK_PURPOSE } from '../support/tpm.ts';
import {
  makeCertificate,
  makeKey,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../support/x509.ts';
import { spirePrograms, startStockAgent } from './stock-agent.ts';
import { prepareSwtpm, type Swtpm, startSwtpm } from './swtpm.ts';

const missing = await prepareSwtpm();
if (missing !== undefined && process.env.CI === 'true') assert.fail(missing);

/** A certificate for the key in a PEM file, whose private half is in the TPM. */
function certify(
  issuer: TestCertificate,
  pemPath: string,
  purpose: Partial<TestCertificateOptions> = {},
): TestCertificate {
  const spki = createPublicKey(readFileSync(pemPath)).export({ type: 'spki', format: 'der' });
  const key = { ...makeKey(), publicKey: assertValue(parsePublicKey(spki)), spki };
  return makeCertificate({ issuer, key, subject: { commonName: 'node-1' }, ...purpose });
}

const LOCAL = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth';

/** A DevID key, and an endorsement certificate where the TPM itself keeps it. */
async function provision({ dir, tool }: Swtpm, maker: TestCertificate, root: TestCertificate) {
  const steps: readonly (readonly string[])[] = [
    ['createek', '-G', 'rsa', '-c', 'ek.ctx', '-f', 'pem', '-u', 'ek.pem'],
    [
      ...['createprimary', '-C', 'o', '-g', 'sha256', '-G', 'rsa2048:null:aes128cfb'],
      ...['-a', `${LOCAL}|noda|restricted|decrypt`, '-c', 'srk.ctx'],
    ],
    [
      ...['create', '-C', 'srk.ctx', '-g', 'sha256', '-G', 'rsa2048:rsassa-sha256:null'],
      ...['-a', `${LOCAL}|sign`, '-u', 'd.pub', '-r', 'd.priv', '-f', 'pem', '-o', 'd.pem'],
    ],
  ];
  const run = async (args: readonly string[]): Promise<void> => {
    const done = await tool(...args);
    assert.equal(done.code, 0, `${args.join(' ')}: ${done.stderr}`);
    await tool('flushcontext', '-t');
  };
  for (const step of steps) await run(step);
  const { der } = certify(maker, join(dir, 'ek.pem'), EK_PURPOSE);
  writeFileSync(join(dir, 'ek.der'), der);
  await run([
    'nvdefine',
    '0x01c00002',
    '-C',
    'o',
    '-s',
    String(der.length),
    '-a',
    'ownerwrite|ownerread|authread',
  ]);
  await run(['nvwrite', '0x01c00002', '-C', 'o', '-i', 'ek.der']);
  writeFileSync(join(dir, 'd.crt'), certify(root, join(dir, 'd.pem')).pem);
  // SPIRE takes the blobs without the size in front.
  for (const name of ['d.pub', 'd.priv']) {
    writeFileSync(join(dir, `${name}.raw`), readFileSync(join(dir, name)).subarray(2));
  }
}

describe('a stock SPIRE agent with tpm_devid', { skip: missing ?? false }, () => {
  test(
    'attests to this server from a TPM',
    needsShared('rig/spire/spire.sh'),
    async (context: TestContext) => {
      const programs = await spirePrograms();
      const swtpm = await startSwtpm();
      context.after(() => swtpm.stop());
      const [maker, root] = [makeRoot(), makeRoot()];
      await provision(swtpm, maker, root);
      writeFileSync(join(swtpm.dir, 'maker.pem'), maker.pem);
      writeFileSync(join(swtpm.dir, 'root.pem'), root.pem);
      const fleet = await Fleet.start({
        serverOnly: true,
        serverYaml: `attestation:\n  tpmDevid:\n    devidRootPaths: ["${swtpm.dir}/root.pem"]\n    ekRootPaths: ["${swtpm.dir}/maker.pem"]\n`,
      });
      context.after(() => fleet.stop());
      const agent = await startStockAgent(
        fleet,
        programs,
        `NodeAttestor "tpm_devid" { plugin_data {
          tpm_device_path = "${swtpm.path}"
          devid_cert_path = "${swtpm.dir}/d.crt"
          devid_pub_path = "${swtpm.dir}/d.pub.raw"
          devid_priv_path = "${swtpm.dir}/d.priv.raw"
        } }`,
      );
      context.after(() => stopChild(agent.child));
      assert.match(await fleet.agentId(), /\/spire\/agent\/tpm_devid\/[0-9a-f]{40}$/);
    },
  );
});
