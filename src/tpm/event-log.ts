import { createHash } from 'node:crypto';
import { concatBytes, equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { attempt, refuse } from '../der/refuse.ts';
import { TPM_ALG, TPM_DIGEST_BYTES } from './algorithms.ts';
import { EventLogReader } from './event-log-reader.ts';

/** Largest log in bytes: those of servers with many boot entries have some tens of KiB. */
export const MAX_EVENT_LOG_BYTES = 256 * 1024;

const MAX_EVENTS = 4096;
const MAX_BANKS = 8;
const PCRS = 24;

/** Events that are notes and extend nothing (PC Client Platform Firmware Profile, EV_NO_ACTION). */
const EV_NO_ACTION = 0x0000_0003;
const SPEC_ID = Buffer.from('Spec ID Event03\0', 'latin1');
const STARTUP_LOCALITY = Buffer.from('StartupLocality\0', 'latin1');

/** What firmware measured at a boot. */
export interface TpmEvent {
  readonly pcr: number;
  readonly type: number;
  /** Of the SHA-256 bank. */
  readonly digest: Uint8Array;
}

/** A log that is well-formed; that it is true is told by {@link replayEventLog} and a quote alone. */
export interface TpmEventLog {
  /** What extended registers, in its order. */
  readonly events: readonly TpmEvent[];
  /** Locality of the command that started the TPM: where register 0 began. */
  readonly startupLocality: number;
}

interface Bank {
  readonly algorithm: number;
  readonly digestBytes: number;
}

/**
 * Reads a log in the crypto-agile form of the TCG (PC Client Platform Firmware Profile, §10), to its last
 * byte: the head that names the banks, then events with one digest of each bank. Fails with TPM_EVENT_LOG.
 */
export function parseEventLog(bytes: Uint8Array): Result<TpmEventLog> {
  if (bytes.length > MAX_EVENT_LOG_BYTES) {
    return fail('TPM_EVENT_LOG', `event log: ${bytes.length} bytes, limit ${MAX_EVENT_LOG_BYTES}`);
  }
  return attempt('TPM event log', () => {
    const reader = new EventLogReader(bytes);
    const banks = readHead(reader);
    const events: TpmEvent[] = [];
    let startupLocality: number | undefined;
    for (let count = 0; reader.left > 0; count++) {
      if (count >= MAX_EVENTS) refuse('TPM_EVENT_LOG', 'event log: too many events');
      const { data, ...event } = readEvent(reader, banks);
      if (event.type !== EV_NO_ACTION) {
        if (event.pcr >= PCRS) refuse('TPM_EVENT_LOG', `event log: no register ${event.pcr}`);
        events.push(event);
        continue;
      }
      const locality = localityOf(data);
      if (locality === undefined) continue;
      // Once, and before register 0 was extended: it says where that began.
      if (startupLocality !== undefined || event.pcr !== 0 || events.some(({ pcr }) => pcr === 0)) {
        refuse('TPM_EVENT_LOG', 'event log: the startup locality is out of its place');
      }
      startupLocality = locality;
    }
    return { events, startupLocality: startupLocality ?? 0 };
  });
}

/** Values of registers of the SHA-256 bank after all that the log tells of, in the order of the indices. */
export function replayEventLog(
  { events, startupLocality }: TpmEventLog,
  pcrs: readonly number[],
): readonly Uint8Array[] {
  return pcrs.map((pcr) => {
    let value: Uint8Array = initialValue(pcr, startupLocality);
    for (const event of events) {
      if (event.pcr !== pcr) continue;
      value = createHash('sha256').update(value).update(event.digest).digest();
    }
    return value;
  });
}

/**
 * Whether Secure Boot was on, by the first event of register 7, which firmware makes of that variable; a
 * later one may be anybody's. The bytes beside an event's digest are not looked at: no quote covers them.
 * Undefined where the event is neither.
 */
export function secureBootOf({ events }: TpmEventLog): 'on' | 'off' | undefined {
  const first = events.find(({ pcr }) => pcr === 7);
  if (first === undefined || first.type !== EV_EFI_VARIABLE_DRIVER_CONFIG) return undefined;
  if (equalBytes(first.digest, secureBootDigest(1))) return 'on';
  return equalBytes(first.digest, secureBootDigest(0)) ? 'off' : undefined;
}

const EV_EFI_VARIABLE_DRIVER_CONFIG = 0x8000_0001;
/** 8be4df61-93ca-11d2-aa0d-00e098032b8c, EFI_GLOBAL_VARIABLE (UEFI §3.3), as it stands in memory. */
const EFI_GLOBAL_VARIABLE = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex');

/** SHA-256 of the UEFI_VARIABLE_DATA of SecureBoot: GUID, lengths in 64 bits, name in UTF-16, one byte. */
function secureBootDigest(value: 0 | 1): Uint8Array {
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64LE(10n, 0);
  lengths.writeBigUInt64LE(1n, 8);
  const name = Buffer.from('SecureBoot', 'utf16le');
  const data = concatBytes([EFI_GLOBAL_VARIABLE, lengths, name, Buffer.of(value)]);
  return createHash('sha256').update(data).digest();
}

/** Registers of a dynamic start (17 to 22) begin with ones; register 0 with the locality (§3.3.2). */
function initialValue(pcr: number, startupLocality: number): Uint8Array {
  const value = new Uint8Array(TPM_DIGEST_BYTES.sha256);
  if (pcr >= 17 && pcr <= 22) return value.fill(0xff);
  if (pcr === 0) value[value.length - 1] = startupLocality;
  return value;
}

/** TCG_PCClientPCREvent with TCG_EfiSpecIDEvent, the only event in the old form. */
function readHead(reader: EventLogReader): readonly Bank[] {
  const noted = reader.u32() === 0 && reader.u32() === EV_NO_ACTION;
  if (!noted || reader.take(20).some((byte) => byte !== 0)) {
    refuse('TPM_EVENT_LOG', 'event log: does not begin with the head of the crypto-agile form');
  }
  const head = new EventLogReader(reader.take(reader.u32()));
  if (!equalBytes(head.take(SPEC_ID.length), SPEC_ID)) {
    refuse('TPM_EVENT_LOG', 'event log: not in the crypto-agile form');
  }
  // Platform class, version, errata, size of a UINTN.
  head.take(8);
  const count = head.u32();
  if (count < 1 || count > MAX_BANKS) refuse('TPM_EVENT_LOG', `event log: ${count} banks`);
  const banks: Bank[] = [];
  for (let at = 0; at < count; at++) {
    const bank = { algorithm: head.u16(), digestBytes: head.u16() };
    if (banks.some(({ algorithm }) => algorithm === bank.algorithm) || bank.digestBytes > 64) {
      refuse('TPM_EVENT_LOG', 'event log: a bank is there twice, or has too long digests');
    }
    banks.push(bank);
  }
  head.take(head.u8());
  head.finish();
  const sha256 = banks.find(({ algorithm }) => algorithm === TPM_ALG.sha256);
  if (sha256?.digestBytes !== TPM_DIGEST_BYTES.sha256) {
    refuse('TPM_EVENT_LOG', 'event log: without the SHA-256 bank');
  }
  return banks;
}

/** TCG_PCR_EVENT2: one digest of each bank, in any order. */
function readEvent(
  reader: EventLogReader,
  banks: readonly Bank[],
): TpmEvent & { readonly data: Uint8Array } {
  const pcr = reader.u32();
  const type = reader.u32();
  const count = reader.u32();
  if (count !== banks.length) refuse('TPM_EVENT_LOG', `event log: an event of ${count} banks`);
  const digests = new Map<number, Uint8Array>();
  for (let at = 0; at < count; at++) {
    const algorithm = reader.u16();
    const bank = banks.find((each) => each.algorithm === algorithm);
    if (bank === undefined || digests.has(algorithm)) {
      refuse('TPM_EVENT_LOG', 'event log: a digest of another bank, or of one twice');
    }
    digests.set(algorithm, reader.take(bank.digestBytes));
  }
  const digest = digests.get(TPM_ALG.sha256) ?? new Uint8Array();
  return { pcr, type, digest, data: reader.take(reader.u32()) };
}

/** TCG_EfiStartupLocalityEvent: 0, 3, or 4 where a core measured the firmware (H-CRTM). */
function localityOf(data: Uint8Array): number | undefined {
  const { length } = STARTUP_LOCALITY;
  if (!equalBytes(data.subarray(0, length), STARTUP_LOCALITY)) return undefined;
  const locality = data[length] ?? -1;
  if (data.length !== length + 1 || ![0, 3, 4].includes(locality)) {
    refuse('TPM_EVENT_LOG', 'event log: a startup locality that is none');
  }
  return locality;
}

/**
 * Checks a log against registers that were quoted: what it tells of, one after another, has to come to
 * their values. Fails with TPM_EVENT_LOG.
 *
 * @param values Of the SHA-256 bank, in the order of the indices, from a quote that holds.
 */
export function checkEventLog(
  bytes: Uint8Array,
  pcrs: readonly number[],
  values: readonly Uint8Array[],
): Result<TpmEventLog> {
  const log = parseEventLog(bytes);
  if (!log.ok) return log;
  const replayed = replayEventLog(log.value, pcrs);
  const differs = pcrs.find((_pcr, at) => {
    const [own, quoted] = [replayed[at], values[at]];
    return own === undefined || quoted === undefined || !equalBytes(own, quoted);
  });
  if (differs === undefined) return ok(log.value);
  return fail(
    'TPM_EVENT_LOG',
    `event log: does not lead to the quoted value of register ${differs}`,
  );
}
