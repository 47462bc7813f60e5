import { equalBytes, toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import type { KeyManager, KeyType } from '../keys/key-manager.ts';
import { type LintedKey, onlyLinted } from '../lint/linted-key.ts';
import type { Logger } from '../runtime/log.ts';
import type { KeptView } from '../store/kept-view.ts';
import { derName, type SubjectName } from '../x509/name-writer.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { drawSerial, serialToDecimal } from '../x509/serial.ts';
import type { Certificate } from '../x509/types.ts';
import { signEnrolmentCa } from './enrolment-certificate.ts';
import {
  decodeRoots,
  ENROLMENT_SLOT_PREFIX,
  encodeRoots,
  type KeptRoot,
  type KeptRoots,
} from './enrolment-root-record.ts';
import type { RecordCa } from './x509-certificate.ts';

/** Refusals of a prepared root that will never sign. */
const UNUSABLE: readonly string[] = ['ENROLMENT_ROOT_KEY', 'ENROLMENT_ROOT_ENDED'];

/** Name of what is kept of them. */
const KEPT_NAME = 'enrolment-root';

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
 * authority of the trust domain. It is replaced in two steps: the next one is made, and signs once an
 * operator says that vendors know it.
 */
export class EnrolmentRootKeeper {
  readonly #options: EnrolmentRootOptions;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: EnrolmentRootOptions) {
    this.#options = options;
  }

  /** Those that were made and can be read, as seen last, whether or not their keys are there. */
  get made(): KeptRoots | undefined {
    const read = this.#read();
    return read.ok ? read.value : undefined;
  }

  /** As {@link made}, as the store has them now; undefined where there are none. */
  look(): Promise<Result<KeptRoots | undefined>> {
    return this.#turn(async () => this.#read());
  }

  /**
   * The root that signs; made at the first call. Fails with ENROLMENT_ROOT_KEY, ENROLMENT_ROOT_ENDED,
   * ENROLMENT_RECORD_CORRUPT, and the refusals of key manager, lint, ledger and store.
   */
  ensure(): Promise<Result<EnrolmentRoot>> {
    return this.#turn(async () => {
      const roots = await this.#first();
      return roots.ok ? this.#openLive(roots.value.active) : roots;
    });
  }

  /**
   * The root that is to sign next; made where there is none that could. The one that signs need not be
   * there any more: this is also the way on when its key is lost. Fails as {@link ensure}.
   *
   * @param requestedBy As grants name callers.
   */
  prepare(requestedBy: string): Promise<Result<Certificate>> {
    return this.#turn(async () => {
      const roots = await this.#first();
      if (!roots.ok) return roots;
      const { next } = roots.value;
      const opened = next === undefined ? undefined : await this.#openLive(next);
      if (opened?.ok) return ok(opened.value.certificate);
      // One that cannot sign any more is replaced; that the key manager is out of reach is no reason.
      if (opened !== undefined && !UNUSABLE.includes(opened.error.code)) return opened;
      const made = await this.#make(requestedBy, (root) => ({ ...roots.value, next: root }));
      if (!made.ok) return made;
      return made.value.next === undefined ? noNext() : ok(made.value.next.certificate);
    });
  }

  /**
   * Has the root that was prepared sign from now on. The key of the one before is given up: nothing is
   * signed with it any more. Said again, it ends what was left undone. Fails with ENROLMENT_ROOT_NEXT
   * and as {@link ensure}.
   *
   * @param serial Of the root that vendors were given, decimal.
   */
  activate(serial: string): Promise<Result<Certificate>> {
    return this.#turn(async () => {
      const read = this.#read();
      if (!read.ok) return read;
      const activated = await this.#activate(read.value, serial);
      if (!activated.ok) return activated;
      await this.#releaseOld(activated.value);
      return ok(activated.value.active.certificate);
    });
  }

  async #activate(roots: KeptRoots | undefined, serial: string): Promise<Result<KeptRoots>> {
    if (roots !== undefined && isOf(roots.active, serial)) return ok(roots);
    if (roots?.next === undefined) return noNext();
    const { active, next, old } = roots;
    if (!isOf(next, serial)) {
      const { serialDecimal } = next.certificate;
      return fail('ENROLMENT_ROOT_NEXT', `the root that was prepared is ${serialDecimal}`);
    }
    const opened = await this.#openLive(next);
    if (!opened.ok) return opened;
    const wanted = { active: next, next: undefined, old: [active, ...old] };
    const written = await this.#options.kept.write(KEPT_NAME, encodeRoots(wanted));
    const stands = this.#read();
    if (!stands.ok) return stands;
    // Another server did the same, or the write was done and its answer lost: what is kept counts.
    if (stands.value === undefined || !isOf(stands.value.active, serial)) {
      return written.ok ? noNext() : written;
    }
    this.#options.log.info({ serial, slot: next.slot }, 'enrolment root replaced');
    return ok(stands.value);
  }

  /** Begins from what the store has: another server may have made or replaced roots. */
  #turn<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
    const begin = async (): Promise<Result<T>> => {
      const fresh = await this.#options.kept.refresh();
      return fresh.ok ? work() : fresh;
    };
    // One that throws must not end all that follow it.
    const turn = this.#running.then(begin, begin);
    this.#running = turn;
    return turn;
  }

  #read(): Result<KeptRoots | undefined> {
    const kept = this.#options.kept.get(KEPT_NAME);
    return kept === undefined ? ok(undefined) : decodeRoots(kept.value);
  }

  async #first(): Promise<Result<KeptRoots>> {
    const read = this.#read();
    if (!read.ok) return read;
    if (read.value !== undefined) return ok(read.value);
    return this.#make('self', (active) => ({ active, next: undefined, old: [] }));
  }

  async #openLive(root: KeptRoot): Promise<Result<EnrolmentRoot>> {
    const { notAfterMs } = root.certificate;
    if (this.#options.clock.nowMs() < notAfterMs) return this.#open(root);
    const end = new Date(notAfterMs).toISOString();
    return fail('ENROLMENT_ROOT_ENDED', `the enrolment root ended at ${end}`);
  }

  /** A root whose key is gone is not made anew: vendors' CAs hang on it, and their portals know it. */
  async #open({ slot, certificate }: KeptRoot): Promise<Result<EnrolmentRoot>> {
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

  async #make(
    requestedBy: string,
    withRoot: (root: KeptRoot) => KeptRoots,
  ): Promise<Result<KeptRoots>> {
    const { keys, kept, log } = this.#options;
    const key = await this.#newKey();
    if (!key.ok) return key;
    const certificate = await this.#sign(key.value, requestedBy);
    if (!certificate.ok) return certificate;
    const { slot } = key.value;
    const wanted = withRoot({ slot, certificate: certificate.value });
    const written = await kept.write(KEPT_NAME, encodeRoots(wanted));
    const stands = this.#read();
    if (!stands.ok) return stands;
    const isKept = allOf(stands.value).some((root) => root.slot === slot);
    // Another server was first, or the write was done and its answer lost: what is kept counts.
    if (!written.ok && !(isKept || written.error.code === 'STORE_CONFLICT')) return written;
    if (stands.value === undefined) return written.ok ? noKey('the record is gone') : written;
    if (!isKept) await keys.release(slot);
    const { serialDecimal: serial, notAfterMs } = certificate.value;
    if (isKept) log.info({ slot, serial, notAfterMs }, 'enrolment root made');
    return ok(stands.value);
  }

  /** One that was left by a crash between key and certificate has signed nothing that counts: it serves. */
  async #newKey(): Promise<Result<LintedKey>> {
    const { keys, keyType, random } = this.#options;
    const { persistent } = keys.capabilities;
    if (!persistent) return noKey(`keys.manager ${keys.name} forgets its keys`);
    const taken = allOf(this.made).map(({ slot }) => slot);
    const left = keys
      .list()
      .filter(({ slot, type }) => slot.startsWith(ENROLMENT_SLOT_PREFIX) && type === keyType)
      .find(({ slot }) => !taken.includes(slot));
    if (left !== undefined) return ok(onlyLinted(left));
    const slot = `${ENROLMENT_SLOT_PREFIX}${toHex(random.bytes(4))}`;
    const made = await keys.generate(slot, keyType);
    return made.ok ? ok(onlyLinted(made.value)) : made;
  }

  /** Gives up the keys of roots that sign no more. They stay on the list, so that none serves again. */
  async #releaseOld({ old }: KeptRoots): Promise<void> {
    const { keys, log } = this.#options;
    for (const { slot } of old.filter((root) => keys.get(root.slot) !== undefined)) {
      const released = await keys.release(slot);
      if (released.ok) continue;
      const { code, message: reason } = released.error;
      log.warn({ slot, code, reason }, 'the key of an old enrolment root is still there');
    }
  }

  #sign(key: LintedKey, requestedBy: string): Promise<Result<Certificate>> {
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
      requestedBy,
      purpose: 'enrolment-root',
    });
  }
}

function allOf(roots: KeptRoots | undefined): readonly KeptRoot[] {
  if (roots === undefined) return [];
  const { active, next, old } = roots;
  return [active, ...(next === undefined ? [] : [next]), ...old];
}

function isOf({ certificate }: KeptRoot, serial: string): boolean {
  return certificate.serialDecimal === serial;
}

function noNext(): Failed {
  return fail('ENROLMENT_ROOT_NEXT', 'no enrolment root is prepared');
}

function noKey(why: string): Failed {
  return fail('ENROLMENT_ROOT_KEY', why);
}
