import { hash } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';
import type { DeviceClass, DeviceKeyType } from './device-class.ts';
import { firmwareExtensions } from './firmware-id.ts';
import { MAX_DEVICE_CERTIFICATES } from './presented.ts';

/** Kinds of key that a product may be described with; what a class then allows is the operator's. */
const KEY_TYPES: readonly DeviceKeyType[] = ['ec-p256', 'ec-p384', 'ec-p521', 'rsa'];

/** What the chain of a device says that its product is, before anybody pinned it. */
export interface ShownProduct {
  /** The self-issued certificate at its top. */
  readonly root: Certificate;
  /** The CA that made the device: the pin of its class. */
  readonly classCa: Certificate;
  /** A class that pins just these two: for looking at a device, never for trusting it. */
  readonly deviceClass: DeviceClass;
}

/**
 * Finds what one would have to pin for a device, by the names in its chain alone. It proves nothing: who
 * asks holds the chain against the class that comes out, and shows the pins to somebody who knows better.
 * Errors: DEVICE_CHAIN_LEAF, DEVICE_ROOT, DEVICE_CLASS, those of `parseCertificate`.
 *
 * @param certificates DER, in any order.
 * @param anchors DER of roots that the device may have left out of its chain.
 */
export function readShownProduct(
  certificates: readonly Uint8Array[],
  anchors: readonly Uint8Array[] = [],
): Result<ShownProduct> {
  const all: Certificate[] = [];
  for (const der of [...certificates.slice(0, MAX_DEVICE_CERTIFICATES), ...anchors]) {
    const parsed = parseCertificate(der);
    if (!parsed.ok) return parsed;
    all.push(parsed.value);
  }
  const leaf = all.find(({ basicConstraints }) => basicConstraints?.ca !== true);
  if (leaf === undefined) return fail('DEVICE_CHAIN_LEAF', 'device chain: all of it are CAs');
  const path = pathByNames(leaf, all);
  const root = path.at(-1);
  if (root === undefined || !isSelfIssued(root)) {
    return fail('DEVICE_ROOT', 'device chain: ends below its root, which the device left out');
  }
  const deviceAt = path.findIndex((each) => firmwareExtensions(each).length === 0);
  const classCa = path[deviceAt + 1];
  if (deviceAt === -1 || classCa === undefined) {
    return fail('DEVICE_CLASS', 'device chain: no CA above the certificate of the device');
  }
  const deviceClass: DeviceClass = {
    name: 'as-shown',
    roots: [hash('sha256', root.der, 'hex')],
    anchors,
    classCas: [hash('sha256', classCa.der, 'hex')],
    keyTypes: KEY_TYPES,
    fwid: deviceAt === 0 ? 'ignored' : 'required',
  };
  return ok({ root, classCa, deviceClass });
}

/** From the leaf up; each certificate stands in it once, so a ring of names ends. */
function pathByNames(leaf: Certificate, all: readonly Certificate[]): readonly Certificate[] {
  const path = [leaf];
  for (let last = leaf; !isSelfIssued(last); ) {
    const { issuerDer } = last;
    const issuer = all.find(
      (each) => !path.includes(each) && equalBytes(each.subjectDer, issuerDer),
    );
    if (issuer === undefined) break;
    path.push(issuer);
    last = issuer;
  }
  return path;
}

function isSelfIssued({ subjectDer, issuerDer }: Certificate): boolean {
  return equalBytes(subjectDer, issuerDer);
}
