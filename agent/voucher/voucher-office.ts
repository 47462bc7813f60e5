import { createHash, sign } from 'node:crypto';
import {
  type BootKey,
  bootKeyChanged,
  judgeBootKey,
} from '../../src/attestation/dpu_host/boot-key.ts';
import {
  askingMessage,
  decodeVoucherRequest,
  type VoucherAnswer,
  type VoucherRequest,
} from '../../src/attestation/dpu_host/payload.ts';
import {
  signVoucher,
  VOUCHER_SECONDS,
  voucherAudience,
} from '../../src/attestation/dpu_host/voucher.ts';
import { concatBytes } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { createRateLimiter, type RateLimiter } from '../../src/rpc/rate-limiter.ts';
import { readKernelFile } from '../../src/runtime/kernel-file.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { parseX509Svid } from '../../src/spiffe/x509-svid.ts';
import { parsePublicKey } from '../../src/x509/public-key.ts';
import { verifyWithScheme } from '../../src/x509/signature.ts';
import type { OwnSvid } from '../attestation/own-svid.ts';
import type { BootMemory } from './boot-memory.ts';
import type { VoucherSettings } from './settings.ts';

/** What an agent of a DPU is named after. */
const DPU_PATH = '/spire/agent/dpu/';

/** Requests in a second, by the known key and by all others: each costs a signature check. */
const ALL_REQUESTS = { perSecond: 10, burst: 50 };

/** What vouching needs. */
export interface VoucherOfficeParts {
  readonly settings: Pick<VoucherSettings, 'host' | 'tenant' | 'hostBootPath' | 'perMinute'>;
  readonly trustDomain: TrustDomain;
  readonly memory: BootMemory;
  /** The agent's own SVID as it is now. */
  readonly svid: () => OwnSvid | undefined;
  /** How far the server's clock is ahead, in milliseconds. */
  readonly offsetMs: () => number;
  readonly clock: Clock;
}

/** Vouches for the agent of the host; one request after the other. */
export type VoucherOffice = (body: Uint8Array) => Promise<Result<VoucherAnswer>>;

/**
 * Makes vouchers (dpu-attestation §7.7, design §5): for whoever holds the first key of the host's boot,
 * for a key that it asks about. Fails with DPU_HOST_MESSAGE, DPU_HOST_POSSESSION, VOUCHER_NOT_READY,
 * VOUCHER_HOST, VOUCHER_BOOT_WITNESS, VOUCHER_SECOND_KEY, VOUCHER_BOOT_UNCONFIRMED, or as files do.
 */
export function createVoucherOffice(parts: VoucherOfficeParts): VoucherOffice {
  const { settings, clock } = parts;
  const { perMinute } = settings;
  const all = createRateLimiter({ limit: ALL_REQUESTS, clock });
  const strangers = createRateLimiter({
    limit: { perSecond: perMinute / 60, burst: perMinute },
    clock,
  });
  let last: Promise<unknown> = Promise.resolve();
  return (body) => {
    // In turn: of two first keys at once, the second has to find the first remembered.
    const next = last.then(() => vouch(parts, { all, strangers }, body));
    last = next.catch(() => undefined);
    return next;
  };
}

interface Limits {
  readonly all: RateLimiter;
  readonly strangers: RateLimiter;
}

async function vouch(
  parts: VoucherOfficeParts,
  { all, strangers }: Limits,
  body: Uint8Array,
): Promise<Result<VoucherAnswer>> {
  const request = decodeVoucherRequest(body);
  if (!request.ok) return request;
  const { memory, settings } = parts;
  const looked = await memory.refresh();
  if (!looked.ok) return looked;
  const anchor = sha256Hex(request.value.anchor);
  // Others have shares of their own, so that nobody on the host can use up what its agent needs.
  const isKnown = anchor === memory.known?.anchor;
  if (!all.take(isKnown ? 'known' : 'other')) return fail('VOUCHER_NOT_READY', 'too many requests');
  const proven = checkProof(parts, request.value);
  if (!proven.ok) return proven;
  if (!isKnown && !strangers.take('')) {
    return fail('VOUCHER_NOT_READY', 'too many requests by keys that are not known');
  }
  const host = hostOf(settings.host, request.value.host);
  if (!host.ok) return host;
  const svid = dpuSvid(parts);
  if (!svid.ok) return svid;
  const witness = await readWitness(settings);
  if (!witness.ok) return witness;
  const shown: BootKey = { anchor, boot: request.value.boot, witness: witness.value };
  const judged = judgeBootKey(memory.known, shown);
  if (!judged.ok) return judged;
  if (bootKeyChanged(memory.known, shown)) {
    // Durable first: a key that is forgotten by a crash would not be the only one.
    const kept = await memory.remember(shown);
    if (!kept.ok) return kept;
  }
  return makeVoucher(parts, svid.value, { ...request.value, host: host.value }, shown);
}

function checkProof({ trustDomain }: VoucherOfficeParts, request: VoucherRequest): Result<void> {
  const key = parsePublicKey(request.anchor);
  const scheme = { kind: 'ecdsa', hash: 'sha256' } as const;
  const message = askingMessage(trustDomain.name, request);
  if (key.ok && verifyWithScheme(key.value, scheme, message, request.proof).ok) {
    return ok(undefined);
  }
  return fail('DPU_HOST_POSSESSION', 'the request is not signed by the key that it shows');
}

/** What this card knows counts; a host that states something else is not the one it sits in. */
function hostOf(
  known: VoucherRequest['host'],
  stated: VoucherRequest['host'],
): Result<VoucherRequest['host']> {
  for (const name of ['serial', 'uuid', 'pf0Mac'] as const) {
    if (known[name] === '' || stated[name] === '' || known[name] === stated[name]) continue;
    return fail('VOUCHER_HOST', `${name} is "${known[name]}", the host states "${stated[name]}"`);
  }
  return ok({
    serial: known.serial || stated.serial,
    uuid: known.uuid || stated.uuid,
    pf0Mac: known.pf0Mac || stated.pf0Mac,
  });
}

function dpuSvid({ svid, clock, offsetMs }: VoucherOfficeParts): Result<OwnSvid> {
  const own = svid();
  if (own === undefined || !own.id.path.startsWith(DPU_PATH)) {
    return fail('VOUCHER_NOT_READY', 'this agent has no SVID of a DPU');
  }
  if (own.notAfterMs > clock.nowMs() + offsetMs()) return ok(own);
  return fail('VOUCHER_NOT_READY', 'the SVID of this agent has lapsed');
}

async function readWitness({
  hostBootPath,
}: VoucherOfficeParts['settings']): Promise<Result<string>> {
  if (hostBootPath === undefined) return ok('');
  const text = await readKernelFile(hostBootPath);
  if (text !== undefined) return ok(sha256Hex(Buffer.from(text)));
  return fail('VOUCHER_BOOT_WITNESS', `${hostBootPath} cannot be read, or is empty`);
}

function makeVoucher(
  { trustDomain, settings, clock, offsetMs }: VoucherOfficeParts,
  { tls }: OwnSvid,
  { key, nonce, host }: VoucherRequest,
  { anchor, boot, witness }: BootKey,
): Result<VoucherAnswer> {
  const svid = parseX509Svid(concatBytes(tls.chainDer), tls.privateKeyPkcs8);
  if (!svid.ok) return svid;
  const { leaf, privateKey } = svid.value;
  const iat = Math.floor((clock.nowMs() + offsetMs()) / 1000);
  const times = { iat, exp: iat + VOUCHER_SECONDS };
  const facts = { key, anchor, boot, witness, nonce, host, tenant: settings.tenant };
  const voucher = signVoucher(
    { aud: voucherAudience(trustDomain.name), ...times, ...facts },
    {
      leaf: leaf.der,
      keyType: leaf.publicKey.type,
      sign: (hash, message) => sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    },
  );
  return voucher.ok ? ok({ voucher: voucher.value, x5c: tls.chainDer }) : voucher;
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
