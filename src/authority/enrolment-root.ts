import { equalBytes, toHex, utf8 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import type { KeyManager, KeyType } from '../keys/key-manager.ts';
import { type LintedKey, onlyLinted } from '../lint/linted-key.ts';
import type { Logger } from '../runtime/log.ts';
import type { KeptView } from '../store/kept-view.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { derName, type SubjectName } from '../x509/name-writer.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { drawSerial, serialToDecimal } from '../x509/serial.ts';
import type { Certificate } from '../x509/types.ts';
import { signEnrolmentCa } from './enrolment-certificate.ts';
import type { RecordCa } from './x509-certificate.ts';

/** Name of what is kept of it. */
const KEPT_NAME = 'enrolment-root';
const FORMAT = 'signet-enrolment-root-1';

/**
 * Slots of its key begin so. Each try has a slot of its own, so that no server can replace the key of a
 * root that another has just made; the one that is kept says which counts.
 */
const SLOT_PREFIX = 'Enrolment-Root-';

/** What the enrolment root stands on. */
export interface EnrolmentRootOptions {
  /** Where the authorities' keys are as well; it has slots of its own. */
  readonly keys: KeyManager;
  readonly kept: KeptView;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told before its certificate is signed; nobody unless given. */
  readonly recordCa: RecordCa | undefined;
  readonly keyType: KeyType;
  /** Without the serial number that ends it: never the name of another authority. */
  readonly subject: Omit<SubjectName, 'serialNumber'>;
  readonly ttlSeconds: number;
  readonly backdateSeconds: number;
}

/** The root, ready to sign. */
export interface EnrolmentRoot {
  readonly certificate: Certificate;
  readonly key: LintedKey;
}

/**
 * The root that the enrolment CAs of vendors stand below (design §8). A vendor holds the key of such a
 * CA, so the root is in no bundle and nothing that is published: it is a thing of its own, and no
 * authority of the trust domain.
 */
export class EnrolmentRootKeeper {
  readonly #options: EnrolmentRootOptions;
  #running: Promise<unknown> = Promise.resolve();
  #root: EnrolmentRoot | undefined;

  constructor(options: EnrolmentRootOptions) {
    this.#options = options;
  }

  /** Its certificate where one was made and can be read, whether or not its key is there. */
  get made(): Certificate | undefined {
    const kept = this.#options.kept.get(KEPT_NAME);
    const read = kept === undefined ? undefined : readKept(kept.value);
    return read?.ok === true ? read.value.certificate : undefined;
  }

  /**
   * The root; made at the first call. Fails with ENROLMENT_ROOT_KEY, ENROLMENT_ROOT_ENDED,
   * ENROLMENT_RECORD_CORRUPT, and the refusals of key manager, lint, ledger and store.
   */
  ensure(): Promise<Result<EnrolmentRoot>> {
    const turn = this.#running.then(() => this.#ensure());
    this.#running = turn;
    return turn;
  }

  async #ensure(): Promise<Result<EnrolmentRoot>> {
    const root = this.#root === undefined ? await this.#find() : ok(this.#root);
    if (!root.ok) return root;
    this.#root = root.value;
    const { notAfterMs } = root.value.certificate;
    if (this.#options.clock.nowMs() < notAfterMs) return root;
    const end = new Date(notAfterMs).toISOString();
    return fail('ENROLMENT_ROOT_ENDED', `the enrolment root ended at ${end}`);
  }

  async #find(): Promise<Result<EnrolmentRoot>> {
    const kept = this.#options.kept.get(KEPT_NAME);
    if (kept !== undefined) return this.#open(kept.value);
    const { persistent } = this.#options.keys.capabilities;
    if (!persistent) return noKey(`keys.manager ${this.#options.keys.name} forgets its keys`);
    return this.#make();
  }

  /** A root whose key is gone is not made anew: vendors' CAs hang on it, and their portals know it. */
  async #open(kept: Uint8Array): Promise<Result<EnrolmentRoot>> {
    const read = readKept(kept);
    if (!read.ok) return read;
    const { slot, certificate } = read.value;
    const key = await this.#keyOf(slot);
    if (!key.ok) return key;
    if (!equalBytes(key.value.publicKeySpki, certificate.publicKey.spki)) {
      return noKey(`slot ${slot} holds another key than that of the enrolment root`);
    }
    return ok({ certificate, key: key.value });
  }

  async #keyOf(slot: string): Promise<Result<LintedKey>> {
    const { keys } = this.#options;
    const held = keys.get(slot);
    if (held !== undefined) return ok(onlyLinted(held));
    const looked = await keys.refresh();
    if (!looked.ok) return looked;
    const found = keys.get(slot);
    return found === undefined ? noKey(`the key of slot ${slot} is gone`) : ok(onlyLinted(found));
  }

  async #make(): Promise<Result<EnrolmentRoot>> {
    const { keys, kept, log } = this.#options;
    const key = await this.#newKey();
    if (!key.ok) return key;
    const certificate = await this.#sign(key.value);
    if (!certificate.ok) return certificate;
    const { slot } = key.value;
    const written = await kept.write(KEPT_NAME, encodeKept(slot, certificate.value));
    const stands = kept.get(KEPT_NAME);
    // Another server was first, or the write was done and its answer lost: what is kept counts.
    if (!written.ok && stands === undefined) return written;
    const read = readKept(stands?.value ?? new Uint8Array());
    if (!read.ok) return read;
    if (read.value.slot !== slot) await keys.release(slot);
    const { serialDecimal: serial, notAfterMs } = read.value.certificate;
    log.info({ slot: read.value.slot, serial, notAfterMs }, 'enrolment root made');
    return this.#open(encodeKept(read.value.slot, read.value.certificate));
  }

  /** One that was left by a crash between key and certificate has signed nothing that counts: it serves. */
  async #newKey(): Promise<Result<LintedKey>> {
    const { keys, keyType, random } = this.#options;
    const left = keys
      .list()
      .find(({ slot, type }) => slot.startsWith(SLOT_PREFIX) && type === keyType);
    if (left !== undefined) return ok(onlyLinted(left));
    const made = await keys.generate(`${SLOT_PREFIX}${toHex(random.bytes(4))}`, keyType);
    return made.ok ? ok(onlyLinted(made.value)) : made;
  }

  #sign(key: LintedKey): Promise<Result<Certificate>> {
    const { clock, random, subject, ttlSeconds, backdateSeconds, recordCa } = this.#options;
    const publicKey = parsePublicKey(key.publicKeySpki);
    if (!publicKey.ok) return Promise.resolve(publicKey);
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    const serial = drawSerial(random);
    return signEnrolmentCa(key, {
      serial,
      publicKey: publicKey.value,
      // The serial number in it makes the name its own, whatever authorities are called.
      subjectDer: derName({ ...subject, serialNumber: serialToDecimal(serial) }),
      notBeforeSeconds: nowSeconds - backdateSeconds,
      notAfterSeconds: nowSeconds + ttlSeconds,
      issuer: undefined,
      record: recordCa,
      requestedBy: 'self',
      purpose: 'enrolment-root',
    });
  }
}

interface KeptRoot {
  readonly slot: string;
  readonly certificate: Certificate;
}

function encodeKept(slot: string, { der }: Certificate): Uint8Array {
  return utf8(`${FORMAT}\n${slot}\n${Buffer.from(der).toString('base64')}\n`);
}

function readKept(value: Uint8Array): Result<KeptRoot> {
  const [, slot = '', base64 = ''] = Buffer.from(value).toString('utf8').split('\n');
  const certificate = parseCertificate(Buffer.from(base64, 'base64'));
  if (certificate.ok && equalBytes(encodeKept(slot, certificate.value), value)) {
    return ok({ slot, certificate: certificate.value });
  }
  return fail('ENROLMENT_RECORD_CORRUPT', 'what is kept of the enrolment root is of no known form');
}

function noKey(why: string): Failed {
  return fail('ENROLMENT_ROOT_KEY', why);
}
