import { createHash, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import { systemRandom } from '../../../base/random.ts';
import { encodePem } from '../../../der/pem.ts';
import { contextConstructed } from '../../../der/tags.ts';
import {
  derElement,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derTime,
  derUnsigned,
  derUtf8String,
} from '../../../der/writer.ts';
import { DICE_OID } from '../../../dice/oids.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  derExtension,
  keyUsageExtension,
  subjectKeyIdExtension,
} from '../../../x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../../../x509/general-name.ts';
import { derName } from '../../../x509/name-writer.ts';
import { OID } from '../../../x509/oids.ts';
import { signatureAlgorithmDer } from '../../../x509/signature.ts';
import { assembleCertificate, VERSION_3_DER } from '../../../x509/template.ts';

/** A certificate of the chain, with its key. */
interface Level {
  readonly der: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  readonly keyId: Uint8Array;
  readonly privateKey: KeyObject;
}

/** What is told of a level; without an issuer it signs itself. */
interface LevelOptions {
  readonly issuer?: Level;
  readonly commonName: string;
  readonly serialNumber?: string;
  /** Extensions after those that every level has. */
  readonly extensions?: readonly Uint8Array[];
  readonly leaf?: boolean;
}

/** A boot of a device: its chain and the key that signs measurements. */
export interface DiceBoot {
  /** Leaf first, as a BMC shows it. */
  readonly chainPem: string;
  readonly leafKey: KeyObject;
}

/** What a verifier pins, as lower-case hex SHA-256. */
export interface DicePins {
  /** Of the root's certificate. */
  readonly root: string;
  /** Of the certificate of the CA that issues devices of this product. */
  readonly classCa: string;
  /** Of the public key of the device: its identity. */
  readonly device: string;
}

/** A fixed past and the end of time, as vendors of devices write (RFC 5280 §4.1.2.5). */
const DATES = derSequence(
  derTime(Date.UTC(2020, 9, 17)),
  derTime(Date.UTC(9999, 11, 31, 23, 59, 59)),
);

const ALGORITHM = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha384' });

/**
 * A device with a vendor of its own: six certificates on P-384, as BlueField has them (root, identity,
 * product, device; two layers that are made at each boot and name their firmware). Proves nothing: the
 * keys are made in this process.
 */
export class DiceDevice {
  readonly pins: DicePins;
  readonly #factory: readonly Level[];
  readonly #device: Level;
  readonly #serial: string;

  constructor(serial: string) {
    this.#serial = serial;
    const root = makeLevel({ commonName: 'Demo Device Identity CA' });
    const identity = makeLevel({ commonName: 'Demo Device Identity', issuer: root });
    const product = makeLevel({ commonName: 'Demo DPU Provisioner', issuer: identity });
    const named = { commonName: 'Demo DPU', serialNumber: serial };
    this.#device = makeLevel({ ...named, issuer: product });
    this.#factory = [root, identity, product, this.#device];
    this.pins = {
      root: hash('sha256', root.der, 'hex'),
      classCa: hash('sha256', product.der, 'hex'),
      device: hash('sha256', this.#device.spki, 'hex'),
    };
  }

  /** Starts it with what it runs: the SHA-384 of both texts are the firmware ids of its layers. */
  boot([first, second]: readonly [string, string]): DiceBoot {
    const layer = makeLevel({
      commonName: 'Demo DPU first mutable code',
      issuer: this.#device,
      extensions: [firmwareId(this.#device, first)],
    });
    const leaf = makeLevel({
      commonName: 'Demo DPU run-time firmware',
      issuer: layer,
      leaf: true,
      extensions: [deviceName(`DEMO:DPU:${this.#serial}`), firmwareId(layer, second)],
    });
    const chain = [...this.#factory, layer, leaf].toReversed();
    return {
      chainPem: chain.map(({ der }) => encodePem('CERTIFICATE', der)).join(''),
      leafKey: leaf.privateKey,
    };
  }
}

/** Composite firmware id of the TCG's 0.93 draft, the form in BlueField's certificates: version, key above, digest. */
function firmwareId(parent: Level, firmware: string): Uint8Array {
  const digest = createHash('sha384').update(firmware).digest();
  const fwid = derSequence(derOid(OID.sha384), derOctetString(digest));
  return derExtension(DICE_OID.tcbInfo, false, derSequence(derNumber(1), parent.spki, fwid));
}

/** The otherName by which SPDM devices say what they are (DSP0274, certificate requirements). */
function deviceName(text: string): Uint8Array {
  const value = derElement(contextConstructed(0), derUtf8String(text));
  const name = derElement(GENERAL_NAME_TAG.other, derOid(DICE_OID.spdmDeviceInfo), value);
  return derExtension(OID.subjectAltName, false, derSequence(name));
}

function makeLevel({ issuer, leaf, extensions = [], ...name }: LevelOptions): Level {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const keyId = createHash('sha256').update(spki).digest().subarray(0, 20);
  const subject = derName({ organization: 'Demo Devices', ...name });
  const usage =
    leaf === true
      ? [keyUsageExtension(['digitalSignature'])]
      : [keyUsageExtension(['keyCertSign']), basicConstraintsExtension(true)];
  const keyIds = [subjectKeyIdExtension(keyId)];
  if (issuer !== undefined) keyIds.push(authorityKeyIdExtension(issuer.keyId));
  const tbs = derSequence(
    VERSION_3_DER,
    derUnsigned(systemRandom.bytes(16)),
    ALGORITHM,
    issuer?.subject ?? subject,
    DATES,
    subject,
    spki,
    derElement(contextConstructed(3), derSequence(...usage, ...keyIds, ...extensions)),
  );
  const signature = sign('sha384', tbs, issuer?.privateKey ?? privateKey);
  return { der: assembleCertificate(tbs, ALGORITHM, signature), subject, spki, keyId, privateKey };
}
