import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Random } from '../../src/base/random.ts';
import type { Result } from '../../src/base/result.ts';
import { verifyDeviceChain } from '../../src/dice/device-chain.ts';
import type { DeviceClass } from '../../src/dice/device-class.ts';
import { readDeviceInfo } from '../../src/dice/device-info.ts';
import { readFirmwareIds } from '../../src/dice/firmware-id.ts';
import { readPresented } from '../../src/dice/presented.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { createSignatureMemo } from '../../src/x509/signature-memo.ts';
import { makeBootedDpu, sha256Hex } from '../support/dice.ts';
import { NVIDIA_FILES, readNvidiaEvidence } from '../support/nvidia-evidence.ts';
import { needsShared } from '../support/shared.ts';
import { between, runSeed } from './seed.ts';

/** Cases that are only parsed, and cases that are judged with signatures, for each chain. */
const PARSED = 10_000;
const JUDGED = 2500;

const AT_MS = Date.UTC(2030, 0, 1);

type Chain = readonly Uint8Array[];

/** One bit of one certificate flipped, or one certificate cut short. */
function mutate(chain: Chain, random: Random): { readonly chain: Chain; readonly at: number } {
  const at = between(random, 0, chain.length);
  const der = Uint8Array.from(chain[at] ?? []);
  const byte = between(random, 0, der.length);
  if (between(random, 0, 4) === 0) return { chain: chain.with(at, der.subarray(0, byte)), at };
  der[byte] = (der[byte] ?? 0) ^ (1 << between(random, 0, 8));
  return { chain: chain.with(at, der), at };
}

/** A refusal is one of the table; anything that the program does not expect is INTERNAL. */
function assertCoded(result: Result<unknown>, what: string): void {
  if (!result.ok) assert.notEqual(result.error.code, 'INTERNAL', what);
}

function fuzz(name: string, chain: Chain, deviceClass: DeviceClass): void {
  test(`${PARSED} changed copies are read without a crash: ${name}`, () => {
    const { random } = runSeed(`parsing ${name}`);
    for (let round = 0; round < PARSED; round++) {
      const changed = mutate(chain, random);
      const what = `round ${round}, certificate ${changed.at}`;
      assertCoded(readPresented(changed.chain, deviceClass), what);
      const certificate = parseCertificate(changed.chain[changed.at] ?? new Uint8Array());
      assertCoded(certificate, what);
      if (!certificate.ok) continue;
      assertCoded(readFirmwareIds(certificate.value), what);
      assertCoded(readDeviceInfo(certificate.value), what);
    }
  });

  test(`none of ${JUDGED} changed copies is accepted: ${name}`, () => {
    const { random } = runSeed(`judging ${name}`);
    // With the memory of the true chain, as a server has it: it must not help the changed one.
    const rules = { deviceClass, atMs: AT_MS, signatures: createSignatureMemo(1000) };
    assert.equal(verifyDeviceChain(chain, rules).ok, true);
    for (let round = 0; round < JUDGED; round++) {
      const changed = mutate(chain, random);
      const result = verifyDeviceChain(changed.chain, rules);
      assert.equal(result.ok, false, `round ${round}, certificate ${changed.at}`);
      assertCoded(result, `round ${round}, certificate ${changed.at}`);
    }
  });
}

describe('bit flips and truncations of device chains', () => {
  for (const form of ['composite', 'tcb-info'] as const) {
    const { chain, vendor } = makeBootedDpu({ form });
    fuzz(`our own, ${form}`, chain, vendor.dpu.deviceClass);
  }
});

for (const file of NVIDIA_FILES) {
  describe(`bit flips and truncations of a genuine chain, ${file}`, needsShared(file), () => {
    if (needsShared(file).skip !== false) return;
    const chain = readNvidiaEvidence(file).chain.map(({ der }) => der);
    const [classCa = '', root = ''] = [chain[2], chain[4]].map((der) => der && sha256Hex(der));
    fuzz(file, chain, {
      name: 'genuine',
      roots: [root],
      classCas: [classCa],
      keyTypes: ['ec-p384'],
      fwid: 'required',
    });
  });
}
