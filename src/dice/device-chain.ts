import { hash, type KeyObject } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { validatePath } from '../x509/path.ts';
import { toKeyObject } from '../x509/public-key.ts';
import type { SignatureMemo } from '../x509/signature-memo.ts';
import type { Certificate } from '../x509/types.ts';
import type { DeviceClass } from './device-class.ts';
import { agreedDeviceInfo } from './device-info.ts';
import { checkDeviceRevocation, type DeviceRevocation } from './device-revocation.ts';
import {
  FIRMWARE_EXTENSIONS,
  type Fwid,
  firmwareExtensions,
  readFirmwareIds,
} from './firmware-id.ts';
import {
  MAX_DEVICE_CERTIFICATES,
  type PresentedCertificate,
  type PresentedChain,
  readPresented,
} from './presented.ts';

/** What a device's chain is judged by. */
export interface DeviceChainRules {
  readonly deviceClass: DeviceClass;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** CRLs that were imported; none unless told. */
  readonly revocation?: DeviceRevocation;
  /** Signatures that a fleet has in common, checked once; none are kept unless told. */
  readonly signatures?: SignatureMemo;
}

/** A run-time layer: a certificate below the device's, made at a boot. */
export interface DeviceLayer {
  /** By its depth from the root, which is `L1`: such as `L5`. */
  readonly name: string;
  readonly fwids: readonly Fwid[];
}

/** A device chain that holds. */
export interface DeviceChain {
  /** Public key that measurements must be signed with. */
  readonly leafKey: KeyObject;
  /** SHA-256 of the SubjectPublicKeyInfo of the device certificate: the identity that stays. */
  readonly deviceIdSha256: string;
  /** SHA-256 of the certificate of the CA that made the device, one of the class's pins. */
  readonly classCaSha256: string;
  readonly rootSha256: string;
  /** SHA-256 of the leaf's certificate: another at each boot. */
  readonly leafSha256: string;
  /** From the device down to the leaf. */
  readonly layers: readonly DeviceLayer[];
  /** `vendor:product:serial` where the device's certificates say it. */
  readonly deviceInfo: string | undefined;
}

/** A path from the leaf to the root, and where in it the device's certificate is. */
interface Placed {
  readonly path: readonly PresentedCertificate[];
  readonly deviceAt: number;
  readonly device: PresentedCertificate;
  /** The CA that made it. */
  readonly issuer: PresentedCertificate;
}

/**
 * Judges the certificate chain of a device (DSP0274 slot, Redfish CertChain), in any order: the path is
 * built by names and signatures (RFC 5280 §6) to a pinned root and must use every certificate; it must
 * pass through a pinned CA of the class, and that CA must be the one that issued the device's own
 * certificate, the lowest without a firmware extension. Otherwise a genuine device of another product
 * under the same root would pass. Errors: DEVICE_*, PATH_*, CERTIFICATE_*, DER_*.
 *
 * @param certificates DER; at most 8, together 16 KiB.
 */
export function verifyDeviceChain(
  certificates: readonly Uint8Array[],
  rules: DeviceChainRules,
): Result<DeviceChain> {
  const presented = readPresented(certificates, rules.deviceClass);
  if (!presented.ok) return presented;
  const path = buildPath(presented.value, rules);
  if (!path.ok) return path;
  const usages = checkKeyUsages(path.value);
  if (!usages.ok) return usages;
  const placed = placeDevice(path.value, rules.deviceClass);
  if (!placed.ok) return placed;
  const layers = readLayers(placed.value, rules.deviceClass);
  if (!layers.ok) return layers;
  const pathCertificates = path.value.map(({ certificate }) => certificate);
  const revoked = checkDeviceRevocation(pathCertificates, rules);
  if (!revoked.ok) return revoked;
  return describe(placed.value, layers.value);
}

/** A path that uses all that was presented: what is left over was put there by somebody. */
function buildPath(
  { all, leaf, roots }: PresentedChain,
  { atMs, signatures }: DeviceChainRules,
): Result<readonly PresentedCertificate[]> {
  const others = all.filter((each) => each !== leaf && !roots.includes(each));
  const found = validatePath({
    chain: [leaf, ...others].map(({ certificate }) => certificate),
    roots: roots.map(({ certificate }) => certificate),
    atMs,
    maxIntermediates: MAX_DEVICE_CERTIFICATES - 2,
    alsoHonoured: FIRMWARE_EXTENSIONS,
    ...(signatures && { signatures }),
  });
  if (!found.ok) return found;
  const path = found.value.path.flatMap((certificate) =>
    [...roots, ...others, leaf].filter((each) => each.certificate === certificate),
  );
  const unused = all.filter((each) => !path.includes(each)).length;
  if (unused > 0) {
    return fail('DEVICE_CHAIN_UNUSED', `device chain: ${unused} certificates are not of its path`);
  }
  return ok(path);
}

/** Unlike RFC 5280, no key usage is no licence: every CA says keyCertSign, the leaf digitalSignature. */
function checkKeyUsages(path: readonly PresentedCertificate[]): Result<void> {
  for (const [at, { certificate }] of path.entries()) {
    const bit = at === 0 ? 'digitalSignature' : 'keyCertSign';
    if (certificate.keyUsage?.[bit] !== true) {
      const what = `certificate ${certificate.serialDecimal}`;
      return fail('DEVICE_KEY_USAGE', `device chain: ${what} lacks ${bit}`);
    }
  }
  return ok(undefined);
}

function isLayer({ certificate }: PresentedCertificate): boolean {
  return firmwareExtensions(certificate).length > 0;
}

/** Finds the device's certificate and holds its issuer against the pins of the class. */
function placeDevice(
  path: readonly PresentedCertificate[],
  { name, classCas }: DeviceClass,
): Result<Placed> {
  const deviceAt = path.findIndex((each) => !isLayer(each));
  const [device, issuer, ...above] = path.slice(Math.max(deviceAt, 0));
  if (device === undefined || issuer === undefined || !classCas.includes(issuer.sha256)) {
    return fail('DEVICE_CLASS', `device chain: the device was not made by the class "${name}"`);
  }
  // The key of a class CA is the same for all of its devices: it can be no device's identity.
  if (classCas.includes(device.sha256)) {
    return fail('DEVICE_CLASS', `device chain: a CA of the class "${name}" in a device's place`);
  }
  // Above the device nothing runs; an id there would be one that nobody compares.
  if ([issuer, ...above].some(isLayer)) {
    return fail('DEVICE_FWID_PLACE', 'device chain: a firmware id above the device');
  }
  return ok({ path, deviceAt, device, issuer });
}

/** The layers from the device down to the leaf, with what their firmware ids say. */
function readLayers(
  { path, deviceAt, device }: Placed,
  { fwid, compositeKey }: DeviceClass,
): Result<readonly DeviceLayer[]> {
  const layers: DeviceLayer[] = [];
  if (fwid === 'required' && deviceAt === 0) {
    return fail('DEVICE_FWID_MISSING', 'device chain: no layer with a firmware id');
  }
  let parent = device;
  for (const layer of path.slice(0, deviceAt).toReversed()) {
    const name = `L${path.length - path.indexOf(layer)}`;
    const keyHolders = compositeKey === 'parent-or-device' ? [parent, device] : [parent];
    const fwids = fwid === 'ignored' ? ok([]) : readLayer(layer.certificate, keyHolders, name);
    if (!fwids.ok) return fwids;
    layers.push({ name, fwids: fwids.value });
    parent = layer;
  }
  return ok(layers);
}

/** The key in a composite ties it to this device; a flag says that the layer is not in normal use. */
function readLayer(
  layer: Certificate,
  keyHolders: readonly PresentedCertificate[],
  name: string,
): Result<readonly Fwid[]> {
  const ids = readFirmwareIds(layer);
  if (!ids.ok) return ids;
  const { parentSpki, flags, fwids } = ids.value;
  const isNamed = ({ certificate }: PresentedCertificate): boolean =>
    parentSpki === undefined || equalBytes(certificate.publicKey.spki, parentSpki);
  if (!keyHolders.some(isNamed)) {
    return fail('DEVICE_FWID_KEY', `device chain: the firmware id of ${name} names another key`);
  }
  if (flags.length > 0) {
    return fail('DEVICE_FLAGS', `device chain: ${name} is flagged ${flags.join(', ')}`);
  }
  return ok(fwids);
}

function describe(
  { path, deviceAt, device, issuer }: Placed,
  layers: readonly DeviceLayer[],
): Result<DeviceChain> {
  const [leaf = device] = path;
  const root = path.at(-1) ?? issuer;
  const leafKey = toKeyObject(leaf.certificate.publicKey);
  if (!leafKey.ok) return leafKey;
  const own = path.slice(0, deviceAt + 1).map(({ certificate }) => certificate);
  const deviceInfo = agreedDeviceInfo(own);
  if (!deviceInfo.ok) return deviceInfo;
  return ok({
    leafKey: leafKey.value,
    deviceIdSha256: hash('sha256', device.certificate.publicKey.spki, 'hex'),
    classCaSha256: issuer.sha256,
    rootSha256: root.sha256,
    leafSha256: leaf.sha256,
    layers,
    deviceInfo: deviceInfo.value,
  });
}
