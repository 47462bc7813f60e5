import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createTpmAttestor as createTpmHalf } from '../../agent/attestation/tpm/agent.ts';
import { TPM_RH } from '../../agent/attestation/tpm/command.ts';
import { ECC_EK_TEMPLATE, RSA_EK_TEMPLATE } from '../../agent/attestation/tpm/templates.ts';
import { Tpm } from '../../agent/attestation/tpm/tpm.ts';
import { openTpm } from '../../agent/attestation/tpm/transport.ts';
import { createTpmDevIdAttestor as createDevIdHalf } from '../../agent/attestation/tpm_devid/agent.ts';
import { createTpmAttestor, type TpmParts } from '../../src/attestation/tpm/server.ts';
import {
  createTpmDevIdAttestor,
  type TpmDevIdParts,
} from '../../src/attestation/tpm_devid/server.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { readDeviceCrl } from '../../src/dice/device-revocation.ts';
import type { TpmClockMark } from '../../src/rules/assurance.ts';
import type { AgentRecord } from '../../src/rules/entry.ts';
import { judgeEndorsement } from '../../src/tpm/endorsement.ts';
import { parseTpmPublic, tpmKeyObject } from '../../src/tpm/public-area.ts';
import { parsePublicKey } from '../../src/x509/public-key.ts';
import { AGENT_TEST_DOMAIN } from '../support/agent-ca.ts';
import {
  type AttestorRig,
  attestorSuite,
  runAttestation,
  testRequest,
} from '../support/attestor-suite.ts';
import { CRL_FROM_MS, crlOf } from '../support/crl.ts';
import {
  EFI_VARIABLE,
  SECURE_BOOT_DIGEST,
  type WrittenEvent,
  writeEventLog,
} from '../support/event-log.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { EK_PURPOSE } from '../support/tpm.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../support/x509.ts';
import { prepareSwtpm, type Swtpm, startSwtpm } from './swtpm.ts';

const missing = await prepareSwtpm();
if (missing !== undefined && process.env.CI === 'true') assert.fail(missing);

const PCRS = [0, 7, 16];
const ZEROS = Buffer.alloc(32);
const maker = makeRoot();
const makerCa = makeIntermediate(maker);
const devIdRoot = makeRoot();
const registry = { trustDomain: AGENT_TEST_DOMAIN, agent: () => undefined };
const common = {
  registry,
  revocation: async () => ({ crls: [], maxStaleMs: 0 }),
  clock: systemClock,
  random: systemRandom,
};

/** A certificate for a key whose private half is in a TPM. */
function certify(
  issuer: TestCertificate,
  spki: Uint8Array,
  commonName: string,
  purpose: Partial<TestCertificateOptions> = {},
): TestCertificate {
  const publicKey = assertValue(parsePublicKey(spki));
  const key = { ...makeKey(), publicKey, spki };
  return makeCertificate({ issuer, key, subject: { commonName }, ...purpose });
}

/** A TPM whose maker certified its keys, with a DevID key of each kind in it. */
class Machine {
  readonly swtpm: Swtpm;
  readonly certificates: TestCertificate[] = [];
  readonly ek: { readonly certificatePath: string; readonly sha256: string }[] = [];

  constructor(swtpm: Swtpm) {
    this.swtpm = swtpm;
  }

  async provision(): Promise<void> {
    for (const [at, template] of [RSA_EK_TEMPLATE, ECC_EK_TEMPLATE].entries()) {
      const tpm = new Tpm(assertValue(await openTpm(this.swtpm.device, systemClock)));
      const ek = assertValue(await tpm.createPrimary(TPM_RH.endorsement, template));
      await tpm.close();
      const area = assertValue(parseTpmPublic(ek.publicArea));
      const spki = assertValue(tpmKeyObject(area)).export({ type: 'spki', format: 'der' });
      const certificatePath = join(this.swtpm.dir, `ek-${at}.pem`);
      const agrees = { ...EK_PURPOSE, keyUsage: ['keyAgreement'] } as const;
      const certificate = certify(makerCa, spki, 'ek', at === 0 ? EK_PURPOSE : agrees);
      this.certificates.push(certificate);
      writeFileSync(certificatePath, certificate.pem);
      const trust = { roots: [], intermediates: [], knownKeys: new Set<string>(), atMs: 0 };
      const refused = judgeEndorsement(area, undefined, trust);
      assert.ok(!refused.ok);
      this.ek.push({
        certificatePath,
        sha256: /[0-9a-f]{64}/.exec(refused.error.message)?.[0] ?? '',
      });
    }
    for (const kind of ['rsa', 'ecc'] as const) await this.#devId(kind);
  }

  /** A DevID key, made by tpm2-tools under the storage root key that the TCG's guidance names. */
  async #devId(kind: 'rsa' | 'ecc'): Promise<void> {
    const local = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth';
    const storage = kind === 'rsa' ? 'rsa2048:null:aes128cfb' : 'ecc256:null:aes128cfb';
    const signing = kind === 'rsa' ? 'rsa2048:rsassa-sha256:null' : 'ecc256:ecdsa-sha256:null';
    await this.#tool(
      'createprimary',
      '-C',
      'o',
      '-g',
      'sha256',
      '-G',
      storage,
      '-a',
      `${local}|noda|restricted|decrypt`,
      '-c',
      `${kind}-srk.ctx`,
    );
    await this.#tool(
      'create',
      '-C',
      `${kind}-srk.ctx`,
      '-g',
      'sha256',
      '-G',
      signing,
      '-a',
      `${local}|sign`,
      '-u',
      `${kind}.pub`,
      '-r',
      `${kind}.priv`,
      '-f',
      'pem',
      '-o',
      `${kind}.pem`,
    );
    const key = createPublicKey(readFileSync(join(this.swtpm.dir, `${kind}.pem`)));
    const spki = key.export({ type: 'spki', format: 'der' });
    writeFileSync(join(this.swtpm.dir, `${kind}.crt`), certify(devIdRoot, spki, 'node-1').pem);
  }

  async #tool(...args: string[]): Promise<void> {
    const done = await this.swtpm.tool(...args);
    assert.equal(done.code, 0, `${args.join(' ')}: ${done.stderr}`);
    await this.swtpm.tool('flushcontext', '-t');
  }

  tpmRig(
    kind: 'rsa-2048' | 'ec-p256',
    knownKeys: ReadonlySet<string> = new Set(),
    more: Partial<TpmParts> = {},
  ): AttestorRig {
    const request = testRequest();
    const { certificatePath } = this.ek[kind === 'rsa-2048' ? 0 : 1] ?? {};
    const agent = createTpmHalf({
      settings: {
        device: this.swtpm.device,
        ekKeyType: kind,
        eventLogPath: join(this.swtpm.dir, 'event-log'),
        ...(knownKeys.size === 0 ? { ekCertificatePath: certificatePath } : {}),
      },
      trustDomain: AGENT_TEST_DOMAIN,
      clock: systemClock,
    });
    const trust = {
      roots: [maker.certificate],
      intermediates: [makerCa.certificate],
      knownKeys,
    };
    return {
      request,
      server: createTpmAttestor({
        ...common,
        trust,
        pcrs: PCRS,
        eventLog: 'ignored',
        unsafeClock: 'accepted',
        ...more,
      }),
      begin: async () =>
        assertValue(await agent.begin({ spki: request.csrSpki, sign: () => Buffer.alloc(0) })),
    };
  }

  devIdRig(kind: 'rsa' | 'ecc', more: Partial<TpmDevIdParts> = {}): AttestorRig {
    const request = testRequest();
    const agent = createDevIdHalf(
      {
        device: this.swtpm.device,
        devidCertificatePath: join(this.swtpm.dir, `${kind}.crt`),
        devidPublicPath: join(this.swtpm.dir, `${kind}.pub`),
        devidPrivatePath: join(this.swtpm.dir, `${kind}.priv`),
        devidPassword: '',
        ekCertificatePath: this.ek[0]?.certificatePath,
      },
      systemClock,
    );
    return {
      request,
      server: createTpmDevIdAttestor({
        ...common,
        devIdRoots: [devIdRoot.certificate],
        trust: { roots: [maker.certificate], intermediates: [makerCa.certificate] },
        ...more,
      }),
      begin: async () =>
        assertValue(await agent.begin({ spki: request.csrSpki, sign: () => Buffer.alloc(0) })),
    };
  }
}

describe('attestation with a real TPM', { skip: missing ?? false }, () => {
  let machine: Machine;
  let other: Machine;

  before(async () => {
    machine = new Machine(await startSwtpm());
    await machine.provision();
    other = new Machine(await startSwtpm());
    await other.provision();
  });
  after(async () => {
    await machine?.swtpm.stop();
    await other?.swtpm.stop();
  });

  for (const kind of ['rsa-2048', 'ec-p256'] as const) {
    attestorSuite({ name: `tpm, ${kind}`, rounds: 1, rig: async () => machine.tpmRig(kind) });
  }
  for (const kind of ['rsa', 'ecc'] as const) {
    attestorSuite({
      name: `tpm_devid, ${kind}`,
      rounds: 1,
      rig: async () => machine.devIdRig(kind),
    });
  }

  test('tpm: a TPM of a pinned maker gives its registers as selectors, and is firmly bound', async () => {
    const node = assertValue((await runAttestation(machine.tpmRig('rsa-2048'))).result);
    const sha256 = machine.ek[0]?.sha256;
    assert.equal(node.agentId.path, `/spire/agent/tpm/${sha256}`);
    const [ek, ...registers] = node.selectors.map(({ text }) => text);
    assert.equal(ek, `tpm:ek:sha256:${sha256}`);
    assert.deepEqual(
      registers.map((text) => text.split(':').slice(0, 4).join(':')),
      PCRS.map((pcr) => `tpm:pcr:sha256:${pcr}`),
    );
    assert.equal(node.assurance.binding, 'tpm');
  });

  test('tpm: one that is only on the list of known keys gives no registers and raises no trust', async () => {
    const sha256 = machine.ek[0]?.sha256 ?? '';
    const node = assertValue(
      (await runAttestation(machine.tpmRig('rsa-2048', new Set([sha256])))).result,
    );
    assert.deepEqual(
      node.selectors.map(({ text }) => text),
      [`tpm:ek:sha256:${sha256}`],
    );
    assert.equal(node.assurance.binding, 'key');
    const stranger = machine.tpmRig('rsa-2048', new Set(['00'.repeat(32)]));
    assertRefused((await runAttestation(stranger)).result, 'TPM_EK');
  });

  test('tpm: a quote for the key of another SVID is refused', async () => {
    const rig = machine.tpmRig('ec-p256');
    const stolen = { ...rig, request: testRequest() };
    assertRefused((await runAttestation(stolen)).result, 'TPM_QUOTE');
  });

  test('tpm: keys of one TPM with the endorsement key of another are not activated', async () => {
    const rig = machine.tpmRig('rsa-2048');
    const theirs = await other.tpmRig('rsa-2048').begin();
    const own = await rig.begin();
    const mixed = JSON.stringify({
      ...JSON.parse(own.payload.toString()),
      ek_public: JSON.parse(theirs.payload.toString()).ek_public,
      ek_certificate: JSON.parse(theirs.payload.toString()).ek_certificate,
    });
    await own.close();
    await theirs.close();
    const { result } = await runAttestation(rig, { payload: () => Buffer.from(mixed) });
    // This machine's TPM cannot open what is encrypted for the other.
    assertRefused(result, 'AGENT_TPM_REFUSED');
  });

  test('tpm: a TPM that goes on counts forward; one that was set back to a copy is refused', async () => {
    const { swtpm } = machine;
    let last: TpmClockMark | undefined;
    const remembering = {
      ...registry,
      // Only its assurance is looked at.
      agent: () => ({ assurance: { tpmClock: last } }) as unknown as AgentRecord,
    };
    const attest = async () => {
      const rig = machine.tpmRig('ec-p256', new Set(), { registry: remembering });
      return (await runAttestation(rig)).result;
    };
    const next = async (): Promise<TpmClockMark> => {
      last = assertValue(await attest()).assurance.tpmClock;
      return last ?? assert.fail('no clock');
    };
    const first = await next();
    assert.ok((await next()).clockMs >= first.clockMs);
    const state = join(swtpm.dir, 'tpm2-00.permall');
    const copy = readFileSync(state);
    await swtpm.powerCycle();
    await swtpm.powerCycle();
    const later = await next();
    assert.equal(later.resetCount, first.resetCount + 2);
    await swtpm.powerCycle(() => writeFileSync(state, copy));
    assertRefused(await attest(), 'TPM_CLOCK');
  });

  test('tpm: a log that leads to the registers of the boot is taken, with Secure Boot; no other', async () => {
    const { swtpm } = other;
    const attest = async () => {
      const rig = other.tpmRig('ec-p256', new Set(), { eventLog: 'required' });
      return (await runAttestation(rig)).result;
    };
    assertRefused(await attest(), 'AGENT_TPM_FILES');
    const events: WrittenEvent[] = [
      { pcr: 0, digest: Buffer.alloc(32, 1) },
      { pcr: 7, type: EFI_VARIABLE, digest: SECURE_BOOT_DIGEST.on },
      { pcr: 4, digest: Buffer.alloc(32, 2) },
    ];
    const measure = async ({ pcr, digest = ZEROS }: WrittenEvent): Promise<void> => {
      const done = await swtpm.tool(
        'pcrextend',
        `${pcr}:sha256=${Buffer.from(digest).toString('hex')}`,
      );
      assert.equal(done.code, 0, done.stderr);
    };
    const writeLog = () => writeFileSync(join(swtpm.dir, 'event-log'), writeEventLog(events));
    for (const event of events) await measure(event);
    writeLog();
    const node = assertValue(await attest());
    assert.ok(node.selectors.some(({ text }) => text === 'tpm:secure-boot:on'));
    const later = { pcr: 7, digest: Buffer.alloc(32, 3) };
    await measure(later);
    assertRefused(await attest(), 'TPM_EVENT_LOG');
    events.push(later);
    writeLog();
    assertValue(await attest());
  });

  test('a TPM that its maker took back is refused, and others are not', async () => {
    const revocation = async () => ({
      crls: [assertValue(readDeviceCrl(crlOf(makerCa, ...machine.certificates)))],
      maxStaleMs: 0,
    });
    const rules = { revocation, clock: { nowMs: () => CRL_FROM_MS } };
    const judged = [
      other.tpmRig('ec-p256', new Set(), rules),
      other.devIdRig('ecc', rules),
      machine.tpmRig('ec-p256', new Set(), rules),
      machine.devIdRig('ecc', rules),
    ];
    const codes: string[] = [];
    for (const rig of judged) {
      const { result } = await runAttestation(rig);
      codes.push(result.ok ? 'attested' : result.error.code);
    }
    assert.deepEqual(codes, ['attested', 'attested', 'DEVICE_REVOKED', 'DEVICE_REVOKED']);
  });

  test('tpm_devid: ID and selectors are those of SPIRE, and a DevID of another machine is refused', async () => {
    const node = assertValue((await runAttestation(machine.devIdRig('ecc'))).result);
    assert.match(node.agentId.path, /^\/spire\/agent\/tpm_devid\/[0-9a-f]{40}$/);
    const texts = node.selectors.map(({ text }) => text);
    assert.ok(texts.includes('tpm_devid:subject:cn:node-1'), texts.join());
    assert.ok(texts.some((text) => /^tpm_devid:fingerprint:[0-9a-f]{40}$/.test(text)));
    assert.equal(node.assurance.binding, 'tpm');
    const own = await machine.devIdRig('rsa').begin();
    const theirs = await other.devIdRig('rsa').begin();
    const [a, b] = [own, theirs].map(({ payload }) => JSON.parse(payload.toString()));
    await own.close();
    await theirs.close();
    const mixed = Buffer.from(
      JSON.stringify({ ...a, DevIDCert: b.DevIDCert, DevIDPub: b.DevIDPub }),
    );
    const { result } = await runAttestation(machine.devIdRig('rsa'), { payload: () => mixed });
    assertRefused(result, 'TPM_CERTIFY');
    const cert = Buffer.from(JSON.stringify({ ...a, DevIDCert: b.DevIDCert }));
    const wrong = await runAttestation(machine.devIdRig('rsa'), { payload: () => cert });
    assertRefused(wrong.result, 'TPM_DEVID');
  });
});
