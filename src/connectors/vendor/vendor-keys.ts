import { hash } from 'node:crypto';
import { utf8 } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { openSecret, type SecretTools, sealSecret } from '../../keys/sealed/secret.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { KeptView } from '../../store/kept-view.ts';
import {
  decodeVendorKey,
  encodeVendorKey,
  MAX_VENDOR_KEY_USES,
  usesOf,
  VENDOR_KEY_PREFIX,
  type VendorKeyRecord,
} from './key-record.ts';

/** From this part of its uses on a key is alarmed about. */
const ALARM_RATIO = 0.8;

/** Losing the compare-and-swap means that another use was counted: look again, at once. */
const MAX_CONFLICTS = 5;

const GROUP = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** What portals give out: one line of printable ASCII. */
const KEY = /^[\x21-\x7e]{8,4096}$/;

/** What the broker stands on. */
export interface VendorKeysOptions {
  readonly kept: KeptView;
  readonly tools: SecretTools;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A key as an operator gives it. */
export interface VendorKeyDraft {
  readonly group: string;
  readonly key: string;
  readonly maxUses: number;
  readonly used: number;
  readonly description: string;
}

/** What has to be so for a key to be given out. */
export interface HandOut {
  readonly group: string;
  readonly connectorId: string;
  /**
   * Whether the connector may have it now. Asked before anything is counted, and once more right before
   * the key is released: waiting for its turn and for the store takes time.
   */
  readonly mayHave: () => Result<void>;
  /** Told before a use is counted, once for each hand-out; a refusal ends it. */
  readonly record: () => Promise<Result<void>>;
}

/** A key as a connector is given it. */
export interface GivenVendorKey {
  readonly key: string;
  readonly fingerprint: string;
  readonly maxUses: number;
  readonly uses: number;
}

/**
 * The broker of vendors' provisioning keys: one for a connector group, encrypted where it is kept. Each
 * connector that has it counts as one use, durably before it is given out, and never less: the vendor
 * gives no use back either.
 */
export class VendorKeys {
  readonly #options: VendorKeysOptions;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: VendorKeysOptions) {
    this.#options = options;
    const help = 'Uses of the provisioning key of a vendor, as part of what it may be used';
    options.metrics.kept('gauge', 'vendor_key_uses_ratio', help, ['group'], () =>
      this.list().map((record) => [{ group: record.group }, ratioOf(record)] as const),
    );
  }

  /** All there are, as this server saw them last, in the order of their groups; without the keys. */
  list(): readonly VendorKeyRecord[] {
    return this.#options.kept
      .list(VENDOR_KEY_PREFIX)
      .flatMap(({ value }) => decodeVendorKey(value) ?? [])
      .toSorted((a, b) => (a.group < b.group ? -1 : 1));
  }

  /** As {@link list}, as the store has them now: another server may have taken keys in. */
  listNow(): Promise<Result<readonly VendorKeyRecord[]>> {
    return this.#turn(async () => ok(this.list()));
  }

  /**
   * Takes a key in, in place of the one that its group has. The same key again keeps the uses that were
   * counted here. Fails with FIELD_INVALID and the refusals of what wraps, and of the store.
   */
  put(draft: VendorKeyDraft): Promise<Result<VendorKeyRecord>> {
    return this.#turn(() => this.#retry(() => this.#put(draft)));
  }

  /** Forgets the key of a group; false where there was none. */
  delete(group: string): Promise<Result<boolean>> {
    return this.#turn(() =>
      this.#retry(async () => {
        if (this.#options.kept.get(VENDOR_KEY_PREFIX + group) === undefined) return ok(false);
        const written = await this.#options.kept.write(VENDOR_KEY_PREFIX + group, undefined);
        return written.ok ? ok(true) : written;
      }),
    );
  }

  /**
   * The key of a group for one of its connectors. Fails with VENDOR_KEY_NONE, VENDOR_KEY_EXHAUSTED,
   * VENDOR_KEY_SEALED and the refusals of the hand-out and of the store.
   */
  take(wanted: HandOut): Promise<Result<GivenVendorKey>> {
    let recorded: Promise<Result<void>> | undefined;
    // Another use in between is looked at anew; the record of this one stands.
    const record = () => (recorded ??= wanted.record());
    return this.#turn(async () => {
      const given = await this.#retry(() => this.#take({ ...wanted, record }));
      const may = wanted.mayHave();
      return may.ok ? given : may;
    });
  }

  async #put(draft: VendorKeyDraft): Promise<Result<VendorKeyRecord>> {
    const fault = faultOf(draft);
    if (fault !== undefined) return fail('FIELD_INVALID', fault);
    const { group, key, description, maxUses, used } = draft;
    const fingerprint = hash('sha256', key).slice(0, 16);
    const found = this.#find(group);
    // One that cannot be read is replaced: what it counted is gone, as the refusal of it says.
    const before = found.ok ? found.value : undefined;
    const uses = before?.fingerprint === fingerprint ? before.uses : [];
    const sealed = await sealSecret(utf8(key), placeOf(group, fingerprint), this.#options.tools);
    if (!sealed.ok) return sealed;
    const changedAtSeconds = this.#nowSeconds();
    const said = { group, description, fingerprint, maxUses, used, changedAtSeconds, uses };
    return this.#write({ ...said, sealed: sealed.value }, before);
  }

  async #take(wanted: HandOut): Promise<Result<GivenVendorKey>> {
    const { group, connectorId } = wanted;
    const may = wanted.mayHave();
    if (!may.ok) return may;
    const found = this.#find(group);
    if (!found.ok) return found;
    const record = found.value;
    if (record === undefined) return fail('VENDOR_KEY_NONE', `group ${group} has no vendor key`);
    const hasIt = record.uses.some(([id]) => id === connectorId);
    if (!hasIt && usesOf(record) >= record.maxUses) return this.#exhausted(record, connectorId);
    // Opened first: a key that cannot be given is not counted.
    const { fingerprint, maxUses } = record;
    const opened = await openSecret(
      record.sealed,
      placeOf(group, fingerprint),
      this.#options.tools,
    );
    if (!opened.ok) return sealedAway(group, opened);
    const key = Buffer.from(opened.value).toString('utf8');
    if (hasIt) return ok({ key, fingerprint, maxUses, uses: usesOf(record) });
    const recorded = await wanted.record();
    if (!recorded.ok) return recorded;
    const use = [connectorId, this.#nowSeconds()] as const;
    const counted = { ...record, uses: [...record.uses, use] };
    const written = await this.#write(counted, record);
    return written.ok ? ok({ key, fingerprint, maxUses, uses: usesOf(counted) }) : written;
  }

  async #write(
    record: VendorKeyRecord,
    before: VendorKeyRecord | undefined,
  ): Promise<Result<VendorKeyRecord>> {
    const name = VENDOR_KEY_PREFIX + record.group;
    const written = await this.#options.kept.write(name, encodeVendorKey(record));
    if (!written.ok) return written;
    const isNew = before === undefined || before.fingerprint !== record.fingerprint;
    const was = isNew ? 0 : ratioOf(before);
    if (ratioOf(record) >= ALARM_RATIO && was < ALARM_RATIO) {
      const { group, fingerprint, maxUses } = record;
      const facts = { group, fingerprint, uses: usesOf(record), maxUses };
      this.#options.log.warn(
        facts,
        'a vendor key is nearly used up: raise its limit or replace it',
      );
    }
    return ok(record);
  }

  #exhausted({ group, fingerprint, maxUses }: VendorKeyRecord, connectorId: string): Failed {
    const facts = { group, fingerprint, maxUses, connectorId };
    this.#options.log.error(facts, 'a vendor key is used up: no connector of its group gets it');
    return fail('VENDOR_KEY_EXHAUSTED', `the vendor key of group ${group} had ${maxUses} uses`);
  }

  #find(group: string): Result<VendorKeyRecord | undefined> {
    const kept = this.#options.kept.get(VENDOR_KEY_PREFIX + group);
    if (kept === undefined) return ok(undefined);
    const record = decodeVendorKey(kept.value);
    if (record?.group === group) return ok(record);
    const why = `what is kept of the vendor key of group ${group} is of no known form`;
    return fail('VENDOR_KEY_SEALED', why);
  }

  #nowSeconds(): number {
    return Math.floor(this.#options.clock.nowMs() / 1000);
  }

  /**
   * Turns follow one another: no two uses begin from the same count. Each begins from what the store
   * has, since no feed tells of keys that another server took in or deleted.
   */
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

  async #retry<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
    for (let conflicts = 0; ; conflicts++) {
      const done = await work();
      const lost = !done.ok && done.error.code === 'STORE_CONFLICT';
      if (!lost || conflicts === MAX_CONFLICTS) return done;
    }
  }
}

function ratioOf(record: VendorKeyRecord): number {
  return usesOf(record) / record.maxUses;
}

/** What a sealed key is bound to: one that is moved to another group does not open. */
function placeOf(group: string, fingerprint: string): string {
  return `vendor key ${fingerprint} of group ${group}`;
}

function faultOf({ group, key, maxUses, used, description }: VendorKeyDraft): string | undefined {
  if (!GROUP.test(group)) return 'group is no name of a connector group';
  // Never with what was given: it may be the key with one octet too many.
  if (!KEY.test(key)) return 'key is not one line of 8 to 4096 printable ASCII characters';
  if (maxUses < 1 || maxUses > MAX_VENDOR_KEY_USES) {
    return `max_uses is not 1 to ${MAX_VENDOR_KEY_USES}`;
  }
  if (used > maxUses) return 'used is more than max_uses';
  return /^[\x20-\x7e]{0,200}$/.test(description)
    ? undefined
    : 'description is not up to 200 printable ASCII characters';
}

/** Only what opens it is wrong; that the key manager is out of reach stays what it is. */
function sealedAway(group: string, opened: Failed): Failed {
  const { code, message } = opened.error;
  if (code !== 'KEY_SEAL_BROKEN') return opened;
  return fail('VENDOR_KEY_SEALED', `the vendor key of group ${group} does not open: ${message}`);
}
