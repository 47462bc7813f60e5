import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  bootDevice,
  compositeFwid,
  type DiceBoot,
  makeBootedDpu,
  makeDevice,
  makeDiceCa,
  makeVendor,
  sha256Hex,
  sha384,
  spdmDeviceInfo,
  tcbInfoExtension,
} from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  makeCertificate,
  makeKey,
  type TestCertificate,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Result } from '../base/result.ts';
import { derBoolean, derOid, derSequence } from '../der/writer.ts';
import { derExtension, keyUsageExtension } from '../x509/extension-writer.ts';
import { createSignatureMemo } from '../x509/signature-memo.ts';
import { type DeviceChain, verifyDeviceChain } from './device-chain.ts';
import type { DeviceClass } from './device-class.ts';
import { MAX_DEVICE_CHAIN_BYTES } from './presented.ts';

const AT_MS = Date.UTC(2030, 0, 1);
const vendor = makeVendor();
const device = makeDevice(vendor.dpu, 'DPU0001');
const boot = bootDevice(device);
const { deviceClass } = vendor.dpu;
const [root, identity, provisioner] = boot.certificates as [
  TestCertificate,
  TestCertificate,
  TestCertificate,
];

function verify(
  chain: readonly Uint8Array[],
  changes: Partial<DeviceClass> = {},
  atMs = AT_MS,
): Result<DeviceChain> {
  return verifyDeviceChain(chain, { deviceClass: { ...deviceClass, ...changes }, atMs });
}

function ders(...certificates: readonly TestCertificate[]): Uint8Array[] {
  return certificates.map(({ der }) => der);
}

/** The chain with other certificates below the provisioner. */
function below(...certificates: readonly TestCertificate[]): Uint8Array[] {
  return ders(root, identity, provisioner, ...certificates);
}

/** A boot of the same device, changed. */
function booted(
  layer: TestCertificateOptions,
  leaf: TestCertificateOptions = {},
): readonly Uint8Array[] {
  return bootDevice(device, { layer, leaf }).chain;
}

/** A boot whose leaf is changed. */
function withLeaf(leaf: TestCertificateOptions): readonly Uint8Array[] {
  return booted({}, leaf);
}

/** A boot of a device whose own certificate is changed. */
function withDevice(options: TestCertificateOptions): readonly Uint8Array[] {
  return bootDevice(makeDevice(vendor.dpu, 'DPU0002', options)).chain;
}

/** A layer of the device with a key, under any of its certificates. */
function layerUnder(issuer: TestCertificate, options: TestCertificateOptions = {}) {
  return makeCertificate({
    issuer,
    key: makeKey('ec-p384'),
    ca: null,
    extendedKeyUsage: null,
    extraExtensions: [compositeFwid(issuer.key.spki, [sha384('code')])],
    ...options,
  });
}

function shuffles(chain: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] {
  const rotations = chain.map((_, at) => [...chain.slice(at), ...chain.slice(0, at)]);
  return [...rotations, ...rotations.map((rotation) => rotation.toReversed())];
}

describe('a device chain of six levels', () => {
  test('says which device it is, who made it, and what runs in each layer', () => {
    const chain = assertValue(verify(boot.chain));
    const { leafKey, layers, ...rest } = chain;
    const spki = leafKey.export({ type: 'spki', format: 'der' });
    assert.deepEqual(new Uint8Array(spki), new Uint8Array(boot.leaf.key.spki));
    assert.deepEqual(rest, {
      deviceIdSha256: sha256Hex(device.certificate.key.spki),
      classCaSha256: sha256Hex(provisioner.der),
      rootSha256: sha256Hex(root.der),
      leafSha256: sha256Hex(boot.leaf.der),
      deviceInfo: 'TEST:DPU:DPU0001',
    });
    assert.deepEqual(
      layers.map(({ name, fwids }) => [name, ...fwids.map(({ digest }) => sha256Hex(digest))]),
      [
        ['L5', sha256Hex(boot.fwids[0])],
        ['L6', sha256Hex(boot.fwids[1])],
      ],
    );
  });

  test('is found whatever the order of its certificates', () => {
    const expected = assertValue(verify(boot.chain)).deviceIdSha256;
    for (const chain of shuffles(boot.chain)) {
      assert.equal(assertValue(verify(chain)).deviceIdSha256, expected);
    }
  });

  test('says the same device after a boot, with another leaf and other firmware', () => {
    const [before, after] = [boot, bootDevice(device, { firmware: ['fmc 2', 'run-time 2'] })].map(
      ({ chain }) => assertValue(verify(chain)),
    );
    assert.equal(before?.deviceIdSha256, after?.deviceIdSha256);
    assert.notEqual(before?.leafSha256, after?.leafSha256);
    assert.notDeepEqual(before?.layers, after?.layers);
  });

  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521'] as const) {
    for (const form of ['composite', 'tcb-info'] as const) {
      test(`is accepted with ${keyType} and firmware ids in the ${form} form`, () => {
        const made = makeBootedDpu({ keyType, form });
        const rules = { deviceClass: made.vendor.dpu.deviceClass, atMs: AT_MS };
        const { layers } = assertValue(verifyDeviceChain(made.chain, rules));
        assert.deepEqual(
          layers.map(({ fwids: [fwid] }) => [fwid?.algorithm, fwid && sha256Hex(fwid.digest)]),
          made.fwids.map((digest) => ['sha384', sha256Hex(digest)]),
        );
      });
    }
  }

  test('is valid to the last second of 9999, and not before it begins', () => {
    assertValue(verify(boot.chain, {}, Date.UTC(9999, 11, 31, 23, 59, 59)));
    assertValue(verify(boot.chain, {}, Date.UTC(2020, 9, 17)));
    assertRefused(verify(boot.chain, {}, Date.UTC(2020, 9, 17) - 1), 'PATH_NOT_YET_VALID');
  });

  test('is accepted where a critical firmware extension is one that is judged', () => {
    const leaf = layerUnder(boot.layer, {
      extraExtensions: [tcbInfoExtension({ digests: [sha384('code')] }, true)],
    });
    assertValue(verify(below(device.certificate, boot.layer, leaf)));
  });
});

/** CAs between the root and the provisioner, so that the chain has a number of certificates. */
function chainOf(count: number): { chain: Uint8Array[]; changes: Partial<DeviceClass> } {
  const cas = [root];
  while (cas.length < count - 4) {
    cas.push(makeDiceCa(`CA ${cas.length}`, 'ec-p384', { issuer: cas.at(-1) as TestCertificate }));
  }
  const last = makeDiceCa('Last', 'ec-p384', { issuer: cas.at(-1) as TestCertificate });
  const classCa = { ...vendor.dpu, provisioner: last };
  const { certificates } = bootDevice(makeDevice(classCa, 'DPU0003'));
  return {
    chain: ders(...cas, last, ...certificates.slice(3)),
    changes: { classCas: [sha256Hex(last.der)] },
  };
}

describe('the size of a device chain', () => {
  for (const [count, code] of [
    [7, undefined],
    [8, undefined],
    [9, 'DEVICE_CHAIN_TOO_LARGE'],
  ] as const) {
    test(`${count} certificates are ${code === undefined ? 'accepted' : 'refused'}`, () => {
      const { chain, changes } = chainOf(count);
      assert.equal(chain.length, count);
      const result = verify(chain, changes);
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  for (const [extra, code] of [
    [-1, undefined],
    [0, undefined],
    [1, 'DEVICE_CHAIN_TOO_LARGE'],
  ] as const) {
    const bytes = MAX_DEVICE_CHAIN_BYTES + extra;
    test(`${bytes} bytes are ${code === undefined ? 'accepted' : 'refused'}`, () => {
      const result = verify(chainOfBytes(bytes));
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }
});

/** A chain with a padded leaf; signatures differ in length, so it is tried until it fits. */
function chainOfBytes(bytes: number): Uint8Array[] {
  const others = below(device.certificate, boot.layer);
  const size = (chain: readonly Uint8Array[]): number =>
    chain.reduce((sum, { length }) => sum + length, 0);
  for (let padding = bytes - size(others) - 900; ; padding++) {
    const pad = derExtension('1.3.6.1.4.1.99999.1', false, new Uint8Array(padding));
    const composite = compositeFwid(boot.layer.key.spki, [sha384('code')]);
    const leaf = layerUnder(boot.layer, { extraExtensions: [composite, pad] });
    const chain = [...others, leaf.der];
    if (size(chain) === bytes) return chain;
    if (size(chain) > bytes) padding -= 20;
  }
}

/** Chains that are refused: the rule, the chain, the code. */
const REFUSED: readonly (readonly [string, () => Result<unknown>, ErrorCode])[] = [
  ['no certificate', () => verify([]), 'DEVICE_CHAIN_EMPTY'],
  ['what is no certificate', () => verify([new Uint8Array(9)]), 'DER_TAG'],
  [
    'a certificate twice',
    () => verify([...boot.chain, ...boot.chain.slice(3, 4)]),
    'DEVICE_CHAIN_DUPLICATE',
  ],
  [
    'a CA that is not of the path',
    () => verify([...boot.chain, vendor.gpu.provisioner.der]),
    'DEVICE_CHAIN_UNUSED',
  ],
  [
    'two roots, though both are pinned',
    () => {
      const other = makeDiceCa('Other', 'ec-p384');
      return verify([...boot.chain, other.der], {
        roots: [...deviceClass.roots, sha256Hex(other.der)],
      });
    },
    'DEVICE_CHAIN_UNUSED',
  ],
  ['two leaves', () => verify([...boot.chain, layerUnder(boot.layer).der]), 'DEVICE_CHAIN_LEAF'],
  ['a leaf that is a CA', () => verify(withLeaf({ ca: true })), 'DEVICE_CHAIN_LEAF'],
  ['a chain without its root', () => verify(boot.chain.slice(1)), 'DEVICE_ROOT'],
  [
    'a root of the same name that is not pinned',
    () => verify(makeBootedDpu().chain),
    'DEVICE_ROOT',
  ],
  ['no pinned root at all', () => verify(boot.chain, { roots: [] }), 'DEVICE_ROOT'],
  ['no pinned class at all', () => verify(boot.chain, { classCas: [] }), 'DEVICE_CLASS'],
  [
    'a genuine device of another class under the same root',
    () => verify(bootDevice(makeDevice(vendor.gpu, 'GPU0001')).chain),
    'DEVICE_CLASS',
  ],
  [
    'a device of another class with the CA of this one beside it',
    () => verify([...bootDevice(makeDevice(vendor.gpu, 'GPU1')).chain, provisioner.der]),
    'DEVICE_CHAIN_UNUSED',
  ],
  [
    'a pin above the CA that made the device',
    () => verify(boot.chain, { classCas: [sha256Hex(identity.der)] }),
    'DEVICE_CLASS',
  ],
  [
    'a class CA that stands in the place of the device',
    () => {
      const layer = layerUnder(provisioner);
      return verify(ders(root, identity, provisioner, layer), {
        classCas: [sha256Hex(identity.der), sha256Hex(provisioner.der)],
      });
    },
    'DEVICE_CLASS',
  ],
  [
    'a device that one of the class made: a CA below the pinned one',
    () => {
      const rogue = makeDiceCa('Rogue', 'ec-p384', { issuer: device.certificate });
      return verify(below(device.certificate, rogue, layerUnder(rogue)));
    },
    'DEVICE_CLASS',
  ],
  ['a leaf without a firmware id below a layer', () => verify(withoutFwid('leaf')), 'DEVICE_CLASS'],
  [
    'no layer at all',
    () => {
      const lone = layerUnder(provisioner, { extraExtensions: [] });
      return verify(below(lone));
    },
    'DEVICE_FWID_MISSING',
  ],
  [
    'a firmware id above the device',
    () => {
      const odd = makeDiceCa('Odd', 'ec-p384', {
        issuer: root,
        extraExtensions: [tcbInfoExtension({ digests: [sha384('code')] })],
      });
      const last = makeDiceCa('Last', 'ec-p384', { issuer: odd });
      const { certificates } = bootDevice(
        makeDevice({ ...vendor.dpu, provisioner: last }, 'DPU0004'),
      );
      return verify(ders(root, odd, last, ...certificates.slice(3)), {
        classCas: [sha256Hex(last.der)],
      });
    },
    'DEVICE_FWID_PLACE',
  ],
  [
    'a firmware id that names the key of another device',
    () => {
      const other = makeDevice(vendor.dpu, 'DPU0005').certificate;
      const extension = compositeFwid(other.key.spki, [sha384('code')]);
      return verify(withLeaf({ extraExtensions: [extension] }));
    },
    'DEVICE_FWID_KEY',
  ],
  [
    'a firmware id that names its own key instead of the one above',
    () => {
      const key = makeKey('ec-p384');
      return verify(
        withLeaf({ key, extraExtensions: [compositeFwid(key.spki, [sha384('code')])] }),
      );
    },
    'DEVICE_FWID_KEY',
  ],
  [
    'a firmware id that names the device, where only the parent is allowed',
    () => verify(namesDevice()),
    'DEVICE_FWID_KEY',
  ],
  [
    'a firmware id of a form that is not known',
    () =>
      verify(
        withLeaf({ extraExtensions: [derExtension('2.23.133.5.4.1', false, derBoolean(true))] }),
      ),
    'DER_TAG',
  ],
  ...(['not configured', 'not secure', 'recovery', 'debug', 'unknown'] as const).map(
    (flag, bit): readonly [string, () => Result<unknown>, ErrorCode] => [
      `a layer flagged ${flag}`,
      () => {
        const extension = flagged(0x80 >>> bit);
        return verify(withLeaf({ extraExtensions: [extension] }));
      },
      'DEVICE_FLAGS',
    ],
  ),
  [
    'a key of a kind that the class does not allow',
    () => verify(withLeaf({ key: makeKey('ec-p256') })),
    'DEVICE_KEY_TYPE',
  ],
  [
    'a CA key of a kind that the class does not allow',
    () => verify(withDevice({ key: makeKey('ec-p521') })),
    'DEVICE_KEY_TYPE',
  ],
  ['an Ed25519 key', () => verify(withLeaf({ key: makeKey('ed25519') })), 'DEVICE_KEY_TYPE'],
  [
    'an RSA key of 1,024 bits, though RSA is allowed',
    () => verify(withLeaf({ key: makeKey('rsa-1024') }), { keyTypes: ['ec-p384', 'rsa'] }),
    'PATH_KEY',
  ],
  [
    'ECDSA with SHA-1',
    () => verify(withLeaf({ algorithm: derSequence(derOid('1.2.840.10045.4.1')) })),
    'SIGNATURE_ALGORITHM_WEAK',
  ],
  [
    'RSA with MD5',
    () => verify(withLeaf({ algorithm: derSequence(derOid('1.2.840.113549.1.1.4')) })),
    'SIGNATURE_ALGORITHM_WEAK',
  ],
  [
    'a device that may not sign certificates',
    () => verify(withDevice({ keyUsage: ['digitalSignature'] })),
    'PATH_KEY_USAGE',
  ],
  ['a CA without key usage', () => verify(withDevice({ keyUsage: null })), 'DEVICE_KEY_USAGE'],
  ['a leaf without key usage', () => verify(withLeaf({ keyUsage: null })), 'DEVICE_KEY_USAGE'],
  [
    'a leaf that may not sign',
    () => verify(withLeaf({ keyUsage: ['keyAgreement'] })),
    'DEVICE_KEY_USAGE',
  ],
  [
    'a leaf that is no CA but may sign certificates',
    () => verify(withLeaf({ keyUsage: ['digitalSignature', 'keyCertSign'] })),
    'PATH_EXTENSION',
  ],
  [
    'a layer that is no CA',
    () => verify(booted({ ca: false, keyUsage: ['digitalSignature'] })),
    'DEVICE_CHAIN_LEAF',
  ],
  [
    'a critical extension that nobody knows',
    () => {
      const unknown = derExtension('1.3.6.1.4.1.99999.1', true, derBoolean(true));
      const known = compositeFwid(device.certificate.key.spki, [sha384('code')]);
      return verify(booted({ extraExtensions: [known, unknown] }));
    },
    'PATH_CRITICAL_EXTENSION',
  ],
  ['an expired leaf', () => verify(withLeaf({ notAfterMs: AT_MS - 1000 })), 'PATH_EXPIRED'],
  ['an expired device', () => verify(withDevice({ notAfterMs: AT_MS - 1000 })), 'PATH_EXPIRED'],
  [
    'a leaf that is not valid yet',
    () => verify(withLeaf({ notBeforeMs: AT_MS + 1000 })),
    'PATH_NOT_YET_VALID',
  ],
  [
    'a wrong signature',
    () => verify(withLeaf({ signature: new Uint8Array(72) })),
    'PATH_SIGNATURE',
  ],
  [
    'a leaf that another key signed in the name of the layer',
    () => {
      const impostor = { ...boot.layer, key: makeKey('ec-p384') };
      const extension = compositeFwid(boot.layer.key.spki, [sha384('code')]);
      const leaf = layerUnder(impostor, { extraExtensions: [extension] });
      return verify(below(device.certificate, boot.layer, leaf));
    },
    'PATH_SIGNATURE',
  ],
  [
    'the layers of another device of the class',
    () => {
      const other = bootDevice(makeDevice(vendor.dpu, 'DPU0006'));
      return verify(below(device.certificate, other.layer, other.leaf));
    },
    'PATH_NOT_FOUND',
  ],
  ['a chain with a gap', () => verify(boot.chain.toSpliced(3, 1)), 'PATH_NOT_FOUND'],
  [
    'device information that differs between device and leaf',
    () => verify(withDevice({ otherNames: [spdmDeviceInfo('TEST:DPU:OTHER')] })),
    'DEVICE_INFO',
  ],
  [
    'device information twice in one certificate',
    () => verify(withLeaf({ otherNames: [spdmDeviceInfo('a:b:c'), spdmDeviceInfo('a:b:c')] })),
    'DEVICE_INFO',
  ],
  [
    'device information with a control character',
    () => verify(withLeaf({ otherNames: [spdmDeviceInfo('a:b:c\n')] })),
    'DEVICE_INFO',
  ],
  [
    'device information of 257 bytes',
    () => verify(withLeaf({ otherNames: [spdmDeviceInfo('x'.repeat(257))] })),
    'DEVICE_INFO',
  ],
];

function withoutFwid(which: 'leaf' | 'layer'): readonly Uint8Array[] {
  return bootDevice(device, { [which]: { extraExtensions: [] } }).chain;
}

/** A leaf whose firmware id names the device's key, as the one-layer draft would have it. */
function namesDevice(): readonly Uint8Array[] {
  const extension = compositeFwid(device.certificate.key.spki, [sha384('code')]);
  return withLeaf({ extraExtensions: [extension] });
}

function flagged(flags: number): Uint8Array {
  return tcbInfoExtension({ digests: [sha384('code')], flags });
}

describe('a device chain is refused with', () => {
  for (const [name, attempt, code] of REFUSED) {
    test(name, () => assertRefused(attempt(), code));
  }

  test('another class before any signature is looked at', () => {
    const gpu = bootDevice(makeDevice(vendor.gpu, 'GPU2'), {
      leaf: { signature: new Uint8Array(72) },
    });
    assertRefused(verify(gpu.chain), 'DEVICE_CLASS');
  });

  // A path length of n allows n CAs below before the leaf: the provisioner has two.
  for (const [pathLength, code] of [
    [1, 'PATH_LENGTH'],
    [2, undefined],
    [3, undefined],
  ] as const) {
    test(`path length ${pathLength} in the CA above two, or not`, () => {
      const ca = makeDiceCa('Constrained', 'ec-p384', { issuer: identity, pathLength });
      const { certificates } = bootDevice(
        makeDevice({ ...vendor.dpu, provisioner: ca }, 'DPU0007'),
      );
      const chain = ders(root, identity, ca, ...certificates.slice(3));
      const result = verify(chain, { classCas: [sha256Hex(ca.der)] });
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }
});

describe('what a class may choose', () => {
  test('a firmware id may name the device where the class allows it', () => {
    assertValue(verify(namesDevice(), { compositeKey: 'parent-or-device' }));
  });

  test('a root may be left out where it is an anchor and pinned', () => {
    const chain = boot.chain.slice(1);
    const stranger = makeDiceCa('Test Device Identity CA', 'ec-p384');
    const { rootSha256, layers } = assertValue(verify(chain, { anchors: [root.der] }));
    assert.equal(rootSha256, sha256Hex(root.der));
    assert.deepEqual(
      layers.map(({ name }) => name),
      ['L5', 'L6'],
    );
    // Presented as well, it is used and not left over.
    assertValue(verify(boot.chain, { anchors: [root.der] }));
    assertRefused(verify(chain, { anchors: [stranger.der] }), 'DEVICE_ROOT');
    assertRefused(verify(chain, { anchors: [root.der], roots: [] }), 'DEVICE_ROOT');
    const other = { anchors: [stranger.der], roots: [sha256Hex(stranger.der)] };
    assertRefused(verify(chain, other), 'PATH_SIGNATURE');
    assertRefused(verify(boot.chain, other), 'PATH_SIGNATURE');
    const weak = makeDiceCa('Test Device Identity CA', 'ec-p256');
    const weaker = { anchors: [weak.der], roots: [sha256Hex(weak.der)] };
    assertRefused(verify(chain, weaker), 'DEVICE_KEY_TYPE');
  });

  test('firmware ids may be ignored; then the lone leaf is the device', () => {
    const lone = layerUnder(provisioner, { extraExtensions: [] });
    const chain = assertValue(verify(below(lone), { fwid: 'ignored' }));
    assert.deepEqual(chain.layers, []);
    assert.equal(chain.deviceIdSha256, sha256Hex(lone.key.spki));
  });

  test('firmware ids that are ignored are not read', () => {
    const odd = derExtension('2.23.133.5.4.1', false, derBoolean(true));
    const chain = assertValue(verify(withLeaf({ extraExtensions: [odd] }), { fwid: 'ignored' }));
    assert.deepEqual(
      chain.layers.map(({ name, fwids }) => [name, fwids.length]),
      [
        ['L5', 0],
        ['L6', 0],
      ],
    );
  });

  test('device information may be absent, and other kinds of name are passed over', () => {
    assert.equal(assertValue(verify(withLeaf({ otherNames: [] }))).deviceInfo, undefined);
    const dns = assertValue(verify(withLeaf({ otherNames: [], dnsNames: ['dpu.example.org'] })));
    assert.equal(dns.deviceInfo, undefined);
  });

  test('device information of 256 bytes is taken', () => {
    const text = 'x'.repeat(256);
    const chain = assertValue(verify(withLeaf({ otherNames: [spdmDeviceInfo(text)] })));
    assert.equal(chain.deviceInfo, text);
  });
});

describe('the memory for signatures', () => {
  const signatures = createSignatureMemo(100);
  const rules = { deviceClass, atMs: AT_MS, signatures };

  test('keeps those of a chain that holds, so that the next boot adds only its own', () => {
    assertValue(verifyDeviceChain(boot.chain, rules));
    assert.equal(signatures.size, 5);
    assertValue(verifyDeviceChain(bootDevice(device).chain, rules));
    assert.equal(signatures.size, 7);
  });

  test('keeps none of a chain that is refused', () => {
    const stranger: DiceBoot = makeBootedDpu();
    const broken = withLeaf({ signature: new Uint8Array(72) });
    for (const chain of [stranger.chain, broken]) {
      assert.equal(verifyDeviceChain(chain, rules).ok, false);
    }
    assert.equal(signatures.size, 7);
  });

  test('does not hide a changed byte of any certificate', () => {
    for (const [at, der] of boot.chain.entries()) {
      const changed = Uint8Array.from(der);
      const last = changed.length - 1;
      changed[last] = (changed[last] ?? 0) ^ 1;
      assert.equal(verifyDeviceChain(boot.chain.with(at, changed), rules).ok, false, `L${at + 1}`);
    }
  });

  test('does not hide an expired certificate or another class', () => {
    const leaf = layerUnder(boot.layer, { notAfterMs: AT_MS });
    const chain = below(device.certificate, boot.layer, leaf);
    assertValue(verifyDeviceChain(chain, rules));
    assertRefused(verifyDeviceChain(chain, { ...rules, atMs: AT_MS + 1000 }), 'PATH_EXPIRED');
    const gpu = { ...rules, deviceClass: vendor.gpu.deviceClass };
    assertRefused(verifyDeviceChain(chain, gpu), 'DEVICE_CLASS');
  });

  test('key usage is one of its extensions', () => {
    // A leaf that copies everything but its usage is other bytes, so nothing is known of it.
    const leaf = layerUnder(boot.layer, { extensions: [keyUsageExtension(['keyAgreement'])] });
    const chain = below(device.certificate, boot.layer, leaf);
    assert.equal(verifyDeviceChain(chain, rules).ok, false);
  });
});

test('pins are the SHA-256 of the certificate, as openssl prints them without colons', () => {
  const expected = createHash('sha256').update(root.der).digest('hex');
  assert.deepEqual(deviceClass.roots, [expected]);
});
