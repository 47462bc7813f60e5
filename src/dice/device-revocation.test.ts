import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CRL_FROM_MS,
  CRL_UNTIL_MS,
  crlOf,
  makeAnyCrl,
  makeCrl,
  makeCrlSigner,
  plainExtensions,
} from '../../test/support/crl.ts';
import {
  bootDevice,
  makeDevice,
  makeDiceCa,
  makeVendor,
  sha256Hex,
} from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeKey } from '../../test/support/x509.ts';
import type { Result } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import type { Crl } from '../x509/crl.ts';
import { createSignatureMemo } from '../x509/signature-memo.ts';
import { verifyDeviceChain } from './device-chain.ts';
import { type DeviceRevocation, readDeviceCrl } from './device-revocation.ts';

const vendor = makeVendor();
const device = makeDevice(vendor.dpu, 'DPU0001');
const boot = bootDevice(device);
const { deviceClass, provisioner, identity, root } = vendor.dpu;

function loaded(...ders: readonly Uint8Array[]): readonly Crl[] {
  return ders.map((der) => assertValue(readDeviceCrl(der)));
}

function judge(
  crls: readonly Crl[],
  changes: Partial<DeviceRevocation> = {},
  atMs = CRL_FROM_MS,
  chain: readonly Uint8Array[] = boot.chain,
): Result<unknown> {
  const revocation = { crls, maxStaleMs: 0, ...changes };
  return verifyDeviceChain(chain, { deviceClass, atMs, revocation });
}

describe('revocation of devices and of their CAs', () => {
  test('is not asked for where no CRL of the CA was ever loaded', () => {
    assertValue(judge([]));
    assertValue(judge(loaded(crlOf(makeDiceCa('Somebody', 'ec-p384')))));
  });

  test('clears what a CRL in force does not list', () => {
    assertValue(judge(loaded(crlOf(provisioner), crlOf(identity), crlOf(root))));
  });

  for (const [what, signer, revoked] of [
    ['a device', provisioner, device.certificate],
    ['the CA of its class', identity, provisioner],
    ['the CA above', root, identity],
  ] as const) {
    test(`refuses ${what} that its CA revoked, by a stale CRL too`, () => {
      const crls = loaded(crlOf(signer, revoked));
      assertRefused(judge(crls), 'DEVICE_REVOKED');
      assertRefused(judge(crls, {}, CRL_UNTIL_MS + 1), 'DEVICE_REVOKED');
      assertRefused(judge(crls, { maxStaleMs: 1e12 }, CRL_UNTIL_MS + 1), 'DEVICE_REVOKED');
    });
  }

  test('does not take one device for another', () => {
    const other = makeDevice(vendor.dpu, 'DPU0002');
    assertValue(judge(loaded(crlOf(provisioner, other.certificate))));
  });

  test('closes once a CRL of the CA is loaded and none is in force', () => {
    const crls = loaded(crlOf(provisioner));
    assertRefused(judge(crls, {}, CRL_FROM_MS - 1), 'DEVICE_REVOCATION_UNKNOWN');
    assertValue(judge(crls, {}, CRL_FROM_MS));
    assertValue(judge(crls, {}, CRL_UNTIL_MS));
    assertRefused(judge(crls, {}, CRL_UNTIL_MS + 1), 'DEVICE_REVOCATION_UNKNOWN');
  });

  for (const [after, code] of [
    [999, undefined],
    [1000, undefined],
    [1001, 'DEVICE_REVOCATION_UNKNOWN'],
  ] as const) {
    test(`${after} ms after its end, a CRL that may be 1,000 ms stale ${code ? 'clears nothing' : 'clears'}`, () => {
      const result = judge(loaded(crlOf(provisioner)), { maxStaleMs: 1000 }, CRL_UNTIL_MS + after);
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  test('closes where the only CRL in the name of the CA is signed by another key', () => {
    const forger = { ...provisioner, key: makeKey('ec-p384') };
    assertRefused(judge(loaded(crlOf(forger))), 'DEVICE_REVOCATION_UNKNOWN');
    assertValue(judge(loaded(crlOf(forger), crlOf(provisioner))));
  });

  test('closes where the CA may sign no CRL', () => {
    const silent = makeDiceCa('DPU Provisioner ICA 1', 'ec-p384', {
      issuer: identity,
      keyUsage: ['keyCertSign'],
    });
    const { certificates } = bootDevice(makeDevice({ ...vendor.dpu, provisioner: silent }, 'D1'));
    const chain = certificates.map(({ der }) => der).with(2, silent.der);
    const rules = {
      deviceClass: { ...deviceClass, classCas: [sha256Hex(silent.der)] },
      atMs: CRL_FROM_MS,
      revocation: { crls: loaded(crlOf(silent)), maxStaleMs: 0 },
    };
    assertRefused(verifyDeviceChain(chain, rules), 'DEVICE_REVOCATION_UNKNOWN');
  });

  test('may be demanded of a CA before a CRL of it was loaded', () => {
    const demand = { requiredIssuers: [provisioner.subjectDer] };
    assertRefused(judge([], demand), 'DEVICE_REVOCATION_UNKNOWN');
    assertValue(judge(loaded(crlOf(provisioner)), demand));
  });

  test('checks the signature of a CRL once', () => {
    const signatures = createSignatureMemo(100);
    const crls = loaded(crlOf(provisioner), crlOf(identity));
    const rules = {
      deviceClass,
      atMs: CRL_FROM_MS,
      signatures,
      revocation: { crls, maxStaleMs: 0 },
    };
    assertValue(verifyDeviceChain(boot.chain, rules));
    const { size } = signatures;
    assert.equal(size, boot.chain.length - 1 + crls.length);
    assertValue(verifyDeviceChain(boot.chain, rules));
    assert.equal(signatures.size, size);
  });
});

describe('an imported CRL', () => {
  const der = crlOf(provisioner);

  test('is read as DER and as PEM', () => {
    assertValue(readDeviceCrl(der));
    assertValue(readDeviceCrl(Buffer.from(encodePem('X509 CRL', der))));
  });

  test('is refused under another label, or with nothing in it', () => {
    assertRefused(readDeviceCrl(Buffer.from(encodePem('CERTIFICATE', der))), 'PEM_LABEL');
    assertRefused(readDeviceCrl(new Uint8Array()), 'PEM_LABEL');
    assertRefused(readDeviceCrl(Buffer.from('no CRL here')), 'PEM_LABEL');
  });

  test('is refused where it is indirect', () => {
    const signer = makeCrlSigner(root, { key: makeKey('ec-p384') });
    assertRefused(readDeviceCrl(makeCrl(signer, [])), 'DEVICE_CRL_INDIRECT');
  });

  test('is refused where it breaks RFC 5280 §5.2', () => {
    const [first = new Uint8Array()] = plainExtensions(provisioner);
    const crl = makeAnyCrl(provisioner, { extensions: [first] });
    assertRefused(readDeviceCrl(crl), 'CRL_MALFORMED');
  });
});
