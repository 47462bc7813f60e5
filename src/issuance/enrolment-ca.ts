import { signEnrolmentCa } from '../authority/enrolment-certificate.ts';
import type { EnrolmentRootKeeper } from '../authority/enrolment-root.ts';
import type { KeptRoots } from '../authority/enrolment-root-record.ts';
import type { RecordCa } from '../authority/x509-certificate.ts';
import { equalBytes, toHex, utf8 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type EnrolmentCaGrant, isEnrolmentCaGrant } from '../policy/enrolment-grants.ts';
import type { AdminCaller, LocalCaller } from '../policy/grant.ts';
import { operatorName } from '../policy/grants.ts';
import type { KeptView } from '../store/kept-view.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { drawSerial } from '../x509/serial.ts';
import type { Certificate } from '../x509/types.ts';
import { checkEnrolmentRequest } from './enrolment-request.ts';

/** Names of what is kept of CAs begin so; the serial number in hexadecimal follows. */
const KEPT_PREFIX = 'enrolment-ca/';
const FORMAT = 'signet-enrolment-ca-1';

/** Below this there is no use in another CA, in seconds. */
const MIN_LIFE_SECONDS = 3600;

/** What signing vendors' CAs stands on. */
export interface EnrolmentCaOptions {
  readonly root: EnrolmentRootKeeper;
  readonly kept: KeptView;
  readonly clock: Clock;
  readonly random: Random;
  /** Told before one is signed; nobody unless given. */
  readonly recordCa: RecordCa | undefined;
  readonly blockedKeys: BlockedKeys;
  /** Every other authority of this server. */
  readonly authorities: () => readonly Certificate[];
  /** Longest life, and the usual one. */
  readonly maxTtlSeconds: number;
  readonly backdateSeconds: number;
}

/** A vendor's enrolment CA that was signed. */
export interface VendorCa {
  /** Name of the vendor, as the operator gave it. */
  readonly vendor: string;
  readonly certificate: Certificate;
}

/** The enrolment CAs of vendors, and the root above them. */
export interface EnrolmentCas {
  /** The root that signs; made where there is none yet. */
  root(): Promise<Result<Certificate>>;
  /** Every root: the one that signs, the one that is prepared, and those before. Makes none. */
  roots(): Promise<Result<EnrolmentRoots>>;
  /** The root that is to sign next; made where there is none. */
  prepareRoot(caller: LocalCaller | AdminCaller): Promise<Result<Certificate>>;
  /** Has the prepared root sign from now on, named by its serial number (decimal). */
  activateRoot(serial: string): Promise<Result<Certificate>>;
  /** Signs one; what it answers is kept. */
  sign(grant: EnrolmentCaGrant, csr: Uint8Array): Promise<Result<VendorCa>>;
  /** Those that were signed, the newest last, as this server saw them last. */
  list(): readonly VendorCa[];
}

/** Every enrolment root. */
export interface EnrolmentRoots {
  readonly active: Certificate | undefined;
  readonly next: Certificate | undefined;
  /** The newest first. */
  readonly old: readonly Certificate[];
}

/** Makes the enrolment CAs of vendors; signs nothing before it is asked. */
export function createEnrolmentCas(options: EnrolmentCaOptions): EnrolmentCas {
  return {
    async root() {
      const root = await options.root.ensure();
      return root.ok ? ok(root.value.certificate) : root;
    },
    async roots() {
      const roots = await options.root.look();
      return roots.ok ? ok(rootsOf(roots.value)) : roots;
    },
    prepareRoot: (caller) => options.root.prepare(operatorName(caller)),
    activateRoot: (serial) => options.root.activate(serial),
    sign: (grant, csr) => signVendorCa(grant, csr, options),
    list: () =>
      options.kept
        .list(KEPT_PREFIX)
        .flatMap(({ value }) => readKept(value) ?? [])
        .toSorted((a, b) => a.certificate.notBeforeMs - b.certificate.notBeforeMs),
  };
}

function rootsOf(roots: KeptRoots | undefined): EnrolmentRoots {
  return {
    active: roots?.active.certificate,
    next: roots?.next?.certificate,
    old: (roots?.old ?? []).map(({ certificate }) => certificate),
  };
}

/** The roots, the one that signs first. */
export function everyRoot({ active, next, old }: EnrolmentRoots): readonly Certificate[] {
  return [active, next, ...old].filter((root) => root !== undefined);
}

async function signVendorCa(
  grant: EnrolmentCaGrant,
  csr: Uint8Array,
  options: EnrolmentCaOptions,
): Promise<Result<VendorCa>> {
  // 1. Policy gave leave, and the request is one for a vendor's CA and nothing else (G-1, G-3, G-4).
  if (!isEnrolmentCaGrant(grant)) {
    return fail('GRANT_FORGED', 'the grant was not made by policy');
  }
  const root = await options.root.ensure();
  if (!root.ok) return root;
  const { certificate: issuer, key } = root.value;
  const { blockedKeys, kept } = options;
  const request = checkEnrolmentRequest(csr, {
    blockedKeys,
    ours: [...everyRoot(rootsOf(options.root.made)), ...options.authorities()],
  });
  if (!request.ok) return request;
  const dates = validity(grant, issuer, options);
  if (!dates.ok) return dates;
  // 2. to 4. Body, lint, record, signature, and what was signed is what was linted (I2, I3, I4).
  const { subjectDer, publicKey } = request.value;
  const serial = drawSerial(options.random);
  const signed = await signEnrolmentCa(key, {
    serial,
    publicKey,
    subjectDer,
    ...dates.value,
    issuer,
    record: options.recordCa,
    requestedBy: grant.requestedBy,
    purpose: `enrolment-ca:${grant.vendor}`,
  });
  if (!signed.ok) return signed;
  // 5. Kept, so that its end is watched, and then the reply.
  const made: VendorCa = { vendor: grant.vendor, certificate: signed.value };
  const written = await kept.write(`${KEPT_PREFIX}${toHex(serial)}`, encodeKept(made));
  return written.ok ? ok(made) : written;
}

function validity(
  { ttlSeconds }: EnrolmentCaGrant,
  issuer: Certificate,
  { clock, maxTtlSeconds, backdateSeconds }: EnrolmentCaOptions,
): Result<{ readonly notBeforeSeconds: number; readonly notAfterSeconds: number }> {
  if (ttlSeconds > maxTtlSeconds) {
    return fail('TTL_RANGE', `lifetime of ${ttlSeconds} s is over ${maxTtlSeconds} s`);
  }
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const asked = nowSeconds + (ttlSeconds === 0 ? maxTtlSeconds : ttlSeconds);
  const notAfterSeconds = Math.min(asked, issuer.notAfterMs / 1000);
  if (notAfterSeconds - nowSeconds < MIN_LIFE_SECONDS && notAfterSeconds < asked) {
    return fail('ENROLMENT_ROOT_ENDED', 'the enrolment root ends within the hour');
  }
  const notBeforeSeconds = Math.max(nowSeconds - backdateSeconds, issuer.notBeforeMs / 1000);
  return ok({ notBeforeSeconds, notAfterSeconds });
}

function encodeKept({ vendor, certificate }: VendorCa): Uint8Array {
  return utf8(`${FORMAT}\n${vendor}\n${Buffer.from(certificate.der).toString('base64')}\n`);
}

/** Undefined for what another program wrote: the list of what was signed is for people. */
function readKept(value: Uint8Array): VendorCa | undefined {
  const [, vendor = '', base64 = ''] = Buffer.from(value).toString('utf8').split('\n');
  const certificate = parseCertificate(Buffer.from(base64, 'base64'));
  if (!certificate.ok) return undefined;
  const made = { vendor, certificate: certificate.value };
  return equalBytes(encodeKept(made), value) ? made : undefined;
}
