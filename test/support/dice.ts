import { createHash, type KeyObject } from 'node:crypto';
import { contextConstructed, contextPrimitive } from '../../src/der/tags.ts';
import {
  derBitString,
  derElement,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derUtf8String,
} from '../../src/der/writer.ts';
import type { DeviceClass, DeviceKeyType } from '../../src/dice/device-class.ts';
import { DICE_OID } from '../../src/dice/oids.ts';
import { derExtension } from '../../src/x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../../src/x509/general-name.ts';
import { OID } from '../../src/x509/oids.ts';
import {
  makeCertificate,
  makeKey,
  type TestCertificate,
  type TestCertificateOptions,
} from './x509.ts';

/** Which form a firmware id extension takes. */
export type FwidForm = 'composite' | 'tcb-info';

/** Dates of device certificates: a fixed past and the end of time (RFC 5280 §4.1.2.5). */
const DEVICE_DATES = {
  notBeforeMs: Date.UTC(2020, 9, 17),
  notAfterMs: Date.UTC(9999, 11, 31, 23, 59, 59),
} as const;

/** A root with a CA for each of two classes below it, as a vendor of several products has. */
export interface DiceCa {
  /** L1. */
  readonly root: TestCertificate;
  readonly dpu: DiceClassCa;
  readonly gpu: DiceClassCa;
}

/** The CAs of one class. */
export interface DiceClassCa {
  /** Such as `DPU`; it stands in the names of certificates. */
  readonly product: string;
  readonly root: TestCertificate;
  /** L2, which is not of one class: both classes have the same. */
  readonly identity: TestCertificate;
  /** L3, the CA that is pinned. */
  readonly provisioner: TestCertificate;
  /** What accepts the devices of this class and no others. */
  readonly deviceClass: DeviceClass;
}

/** A device as it left the factory. */
export interface DiceDevice {
  readonly classCa: DiceClassCa;
  /** L4, whose key stays. */
  readonly certificate: TestCertificate;
  /** `TEST:<product>:<serial>`, in the leaf of each boot. */
  readonly info: string;
}

/** A boot of a device: what it shows in its SPDM slot. */
export interface DiceBoot {
  /** DER from the root (L1) to the leaf (L6). */
  readonly chain: readonly Uint8Array[];
  /** The same with their keys. */
  readonly certificates: readonly TestCertificate[];
  /** Private key of the leaf: signs measurements. */
  readonly leafKey: KeyObject;
  /** L5. */
  readonly layer: TestCertificate;
  /** L6. */
  readonly leaf: TestCertificate;
  /** Firmware ids of L5 and L6, SHA-384. */
  readonly fwids: readonly [Uint8Array, Uint8Array];
}

/** What differs between boots. */
export interface BootOptions {
  /** The form of both extensions; `composite` unless told. */
  readonly form?: FwidForm;
  /** What runs: its SHA-384 are the firmware ids. */
  readonly firmware?: readonly [string, string];
  /** Changes to the certificates, over everything else. */
  readonly layer?: TestCertificateOptions;
  readonly leaf?: TestCertificateOptions;
}

/** SHA-256 in lower-case hex, as pins are written. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** SHA-384. */
export function sha384(bytes: Uint8Array | string): Uint8Array {
  return createHash('sha384').update(bytes).digest();
}

function fwid(digest: Uint8Array, algorithm: string): Uint8Array {
  return derSequence(derOid(algorithm), derOctetString(digest));
}

/** Composite form: version, key of the parent, firmware ids. */
export function compositeFwid(
  parentSpki: Uint8Array,
  digests: readonly Uint8Array[],
  { version = 1, algorithm = OID.sha384 as string } = {},
): Uint8Array {
  const fwids = digests.map((digest) => fwid(digest, algorithm));
  return derExtension(
    DICE_OID.tcbInfo,
    false,
    derSequence(derNumber(version), parentSpki, ...fwids),
  );
}

/** The fields of a DiceTcbInfo that a test may set. */
export interface TcbInfoFields {
  readonly vendor?: string;
  readonly model?: string;
  readonly svn?: number;
  readonly layer?: number;
  readonly digests?: readonly Uint8Array[];
  readonly algorithm?: string;
  /** Octets of the flags: bit 0 notConfigured, 1 notSecure, 2 recovery, 3 debug. */
  readonly flags?: number;
}

/** A DiceTcbInfo (TCG DICE Attestation Architecture §6.1.1). */
export function tcbInfo(fields: TcbInfoFields): Uint8Array {
  const { vendor, model, svn, layer, digests = [], algorithm = OID.sha384, flags } = fields;
  const retag = (tag: number, der: Uint8Array): Uint8Array => {
    const out = new Uint8Array(der);
    out[0] = tag;
    return out;
  };
  const out: Uint8Array[] = [];
  if (vendor !== undefined) out.push(retag(contextPrimitive(0), derUtf8String(vendor)));
  if (model !== undefined) out.push(retag(contextPrimitive(1), derUtf8String(model)));
  if (svn !== undefined) out.push(retag(contextPrimitive(3), derNumber(svn)));
  if (layer !== undefined) out.push(retag(contextPrimitive(4), derNumber(layer)));
  if (digests.length > 0) {
    out.push(derElement(contextConstructed(6), ...digests.map((each) => fwid(each, algorithm))));
  }
  if (flags !== undefined) {
    out.push(retag(contextPrimitive(7), derBitString(Uint8Array.of(flags), 4)));
  }
  return derSequence(...out);
}

/** The TcbInfo form of the firmware id extension. */
export function tcbInfoExtension(fields: TcbInfoFields, critical = false): Uint8Array {
  return derExtension(DICE_OID.tcbInfo, critical, tcbInfo(fields));
}

/** The otherName in which SPDM devices say what they are. */
export function spdmDeviceInfo(text: string): Uint8Array {
  return derElement(
    GENERAL_NAME_TAG.other,
    derOid(DICE_OID.spdmDeviceInfo),
    derElement(contextConstructed(0), derUtf8String(text)),
  );
}

/** A CA of a chain, with the vendor's dates. */
export function makeDiceCa(
  commonName: string,
  keyType: DeviceKeyType,
  options: TestCertificateOptions = {},
): TestCertificate {
  return makeCertificate({
    ...DEVICE_DATES,
    key: makeKey(keyType === 'rsa' ? 'rsa-4096' : keyType),
    ca: true,
    subject: { organization: 'Test Devices', commonName },
    ...options,
  });
}

function makeClass(
  product: string,
  root: TestCertificate,
  identity: TestCertificate,
  keyType: DeviceKeyType,
): DiceClassCa {
  const provisioner = makeDiceCa(`${product} Provisioner ICA 1`, keyType, { issuer: identity });
  const deviceClass: DeviceClass = {
    name: product.toLowerCase(),
    roots: [sha256Hex(root.der)],
    classCas: [sha256Hex(provisioner.der)],
    keyTypes: [keyType],
    fwid: 'required',
  };
  return { product, root, identity, provisioner, deviceClass };
}

/** A vendor: one root, one identity CA, and a provisioner for each of two classes. P-384 unless told. */
export function makeVendor(keyType: DeviceKeyType = 'ec-p384'): DiceCa {
  const root = makeDiceCa('Test Device Identity CA', keyType);
  const identity = makeDiceCa('Test Device Identity', keyType, { issuer: root });
  return {
    root,
    dpu: makeClass('DPU', root, identity, keyType),
    gpu: makeClass('GPU', root, identity, keyType),
  };
}

/** A device of a class. */
export function makeDevice(
  classCa: DiceClassCa,
  serial: string,
  options: TestCertificateOptions = {},
): DiceDevice {
  const certificate = makeDiceCa(`${classCa.product} BROM`, keyTypeOf(classCa), {
    issuer: classCa.provisioner,
    subject: {
      organization: 'Test Devices',
      commonName: `${classCa.product} BROM`,
      serialNumber: serial,
    },
    keyUsage: ['keyCertSign'],
    ...options,
  });
  return { classCa, certificate, info: `TEST:${classCa.product}:${serial}` };
}

function keyTypeOf({ deviceClass: { keyTypes } }: DiceClassCa): DeviceKeyType {
  const [keyType = 'ec-p384'] = keyTypes;
  return keyType;
}

/** Boots a device: two certificates with fresh keys. The SHA-384 of its firmware are its firmware ids. */
export function bootDevice(device: DiceDevice, options: BootOptions = {}): DiceBoot {
  const { classCa, certificate } = device;
  const [first, second] = options.firmware ?? ['first mutable code 1.0', 'run-time firmware 1.0'];
  const fwids = [sha384(first), sha384(second)] as const;
  const layer = makeLayer(device, certificate, fwids[0], 1, options.form, {
    ca: true,
    keyUsage: ['keyCertSign'],
    ...options.layer,
  });
  const leaf = makeLayer(device, layer, fwids[1], 2, options.form, {
    ca: null,
    keyUsage: ['digitalSignature'],
    otherNames: [spdmDeviceInfo(device.info)],
    ...options.leaf,
  });
  const certificates = [
    classCa.root,
    classCa.identity,
    classCa.provisioner,
    certificate,
    layer,
    leaf,
  ];
  const chain = certificates.map(({ der }) => der);
  return { chain, certificates, leafKey: leaf.key.privateKey, layer, leaf, fwids };
}

function makeLayer(
  { classCa }: DiceDevice,
  parent: TestCertificate,
  digest: Uint8Array,
  number: number,
  form: FwidForm = 'composite',
  options: TestCertificateOptions,
): TestCertificate {
  const keyType = keyTypeOf(classCa);
  const key = options.key ?? makeKey(keyType === 'rsa' ? 'rsa-4096' : keyType);
  const extension =
    form === 'composite'
      ? compositeFwid(parent.key.spki, [digest])
      : tcbInfoExtension({ vendor: 'TEST', layer: number, svn: 1, digests: [digest], flags: 0 });
  return makeCertificate({
    ...DEVICE_DATES,
    issuer: parent,
    subject: {
      organization: 'Test Devices',
      commonName: `${classCa.product} layer ${number}`,
      serialNumber: Buffer.from(key.publicKey.subjectPublicKey.slice(1, 21)).toString('hex'),
    },
    extendedKeyUsage: null,
    extraExtensions: [extension],
    ...options,
    key,
  });
}

/** A vendor, a DPU of it and one boot of that: what most tests want. */
export function makeBootedDpu(
  options: BootOptions & { readonly keyType?: DeviceKeyType } = {},
): DiceBoot & { readonly device: DiceDevice; readonly vendor: DiceCa } {
  const vendor = makeVendor(options.keyType);
  const device = makeDevice(vendor.dpu, 'DPU0001');
  return { ...bootDevice(device, options), device, vendor };
}

/** The chain as SPDM carries it (DSP0274, certificate chain format): length, root hash, certificates. */
export function spdmChainBlob(chain: readonly Uint8Array[], hash = 'sha384'): Uint8Array {
  const [root = new Uint8Array()] = chain;
  const rootHash = createHash(hash).update(root).digest();
  const body = Buffer.concat([rootHash, ...chain]);
  const header = Buffer.alloc(4);
  header.writeUInt16LE(header.length + body.length);
  return Buffer.concat([header, body]);
}

/** The chain as a BMC's `CertificateString` carries it; leaf first, as genuine ones were seen. */
export function pemChain(certificates: readonly TestCertificate[]): string {
  return certificates
    .toReversed()
    .map(({ pem }) => pem)
    .join('');
}
